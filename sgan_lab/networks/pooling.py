"""Discriminators with max pooling, better classifiers than the tutorial's."""

import math

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

    Attributes:
        width: channels of the first convolution; the next ones have twice and four times as many.
    """

    width: int = 16

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, *sides = image_shape
        first, second, third = self.width, 2 * self.width, 4 * self.width
        # Pooling first: the maximum is the same, of a quarter of the ReLU's values.
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, first, 5, padding=2),
            nn.MaxPool2d(2),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(first, second, 5, padding=2),
            nn.MaxPool2d(2),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(second, third, KERNEL, padding=1),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Flatten(),
        )
        num_features = third * math.prod(side // 4 for side in sides)
        self.last = nn.Sequential(Dropout(0.5), nn.Linear(num_features, num_classes))
        self.apply(initialize_like_keras)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer, flat."""
        return self.convolutions(images)


class WidePoolingDiscriminator(PoolingDiscriminator):
    """With twice the channels, in three times the time."""

    width = 32
