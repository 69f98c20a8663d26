"""A discriminator with max pooling, a better classifier than the tutorial's."""

import torch
from torch import Tensor, nn

from sgan_lab.networks.layers import (
    KERNEL,
    LEAKY_SLOPE,
    Dropout,
    FeatureNetwork,
    initialize_like_keras,
)


class PoolingDiscriminator(FeatureNetwork):
    """A discriminator that classifies better than the tutorial's, in 1.3 times the time.

    Its first two convolutions see 5x5 pixels, and max pooling halves images instead of strides.
    Height and width are at least 4.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        # Pooling first: the maximum is the same, of a quarter of the ReLU's values.
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 16, 5, padding=2),
            nn.MaxPool2d(2),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(16, 32, 5, padding=2),
            nn.MaxPool2d(2),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(32, 64, KERNEL, padding=1),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Flatten(),
        )
        num_features = 64 * (height // 4) * (width // 4)
        self.last = nn.Sequential(Dropout(0.5), nn.Linear(num_features, num_classes))
        self.apply(initialize_like_keras)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer, flat."""
        return self.convolutions(images)
