"""The 13-layer convolutional network of the papers about consistency training."""

import torch
from torch import Tensor, nn

from sgan_lab.networks.layers import Dropout, FeatureNetwork
from sgan_lab.networks.mlp import GaussianNoise
from sgan_lab.networks.registry import check_size

SLOPE = 0.1  # of the leaky ReLU
LEAST_SIDE = 12  # pixels: a 3x3 convolution without padding follows two poolings


class Conv13Discriminator(FeatureNetwork):
    """The network of Laine and Aila 2017, Temporal Ensembling, table 5; 3.1 million weights.

    As in Tarvainen and Valpola 2017 and as the large network of Miyato et al. 2018, batch
    normalization stands in the place of weight normalization and mean-only batch normalization,
    which have to be initialized on data.

    Raises:
        ConfigError: height or width is below 12.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        check_size(image_shape, LEAST_SIDE, "conv13")
        channels = image_shape[0]
        self.layers = nn.Sequential(
            GaussianNoise(0.15),
            *convolution(channels, 128),
            *convolution(128, 128),
            *convolution(128, 128),
            nn.MaxPool2d(2),
            Dropout(0.5),
            *convolution(128, 256),
            *convolution(256, 256),
            *convolution(256, 256),
            nn.MaxPool2d(2),
            Dropout(0.5),
            *convolution(256, 512, padding=0),
            *convolution(512, 256, kernel=1, padding=0),
            *convolution(256, 128, kernel=1, padding=0),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.last = nn.Linear(128, num_classes)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer (N, 128)."""
        return self.layers(images)


def convolution(
    in_channels: int, out_channels: int, kernel: int = 3, padding: int = 1
) -> list[nn.Module]:
    """A convolution whose weights start as He et al. 2015 have it, a norm and a leaky ReLU."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=False)
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    return [layer, nn.BatchNorm2d(out_channels), nn.LeakyReLU(SLOPE)]
