"""The tutorial's generator and discriminator (GANs in Action, chapter 7), for any image shape."""

import math

import torch
from torch import Tensor, nn
from torchvision.ops import Permute

from sgan_lab.networks.layers import (
    KERNEL,
    LEAKY_SLOPE,
    Dropout,
    SameConv2d,
    SameConvTranspose2d,
    batch_norm,
    initialize_like_keras,
)

LAYERS_AFTER_FEATURES = 3  # of the discriminator: dropout, flatten, linear


class Generator(nn.Module):
    """Images from noise.

    Args:
        image_shape: (channels, height, width) of an image; height and width at least 4.
        first_channels: of the first feature map, at least 4; the next two have a half and a
            quarter of them. The tutorial has 256.
    """

    noise_size = 100

    def __init__(self, image_shape: tuple[int, int, int], first_channels: int = 256) -> None:
        super().__init__()
        channels, height, width = image_shape
        half = (math.ceil(height / 2), math.ceil(width / 2))
        quarter = (math.ceil(half[0] / 2), math.ceil(half[1] / 2))
        second_channels, third_channels = first_channels // 2, first_channels // 4
        self.layers = nn.Sequential(
            nn.Linear(self.noise_size, first_channels * quarter[0] * quarter[1]),
            nn.Unflatten(1, (*quarter, first_channels)),
            Permute([0, 3, 1, 2]),
            SameConvTranspose2d(first_channels, second_channels, half),
            batch_norm(second_channels),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.ConvTranspose2d(second_channels, third_channels, KERNEL, padding=1),
            batch_norm(third_channels),
            nn.LeakyReLU(LEAKY_SLOPE),
            SameConvTranspose2d(third_channels, channels, (height, width)),
            nn.Tanh(),
        )
        self.apply(initialize_like_keras)
        self.to(memory_format=torch.channels_last)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, 100) from N(0, I) to images (N, channels, height, width) in [-1, 1]."""
        return self.layers(noise)


class Discriminator(nn.Module):
    """Class logits of images; the tutorial's classifier.

    Args:
        image_shape: (channels, height, width) of an image.
        num_classes: number of classes.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        eighth = math.ceil(height / 8) * math.ceil(width / 8)
        self.layers = nn.Sequential(
            SameConv2d(channels, 32),
            nn.LeakyReLU(LEAKY_SLOPE),
            SameConv2d(32, 64),
            nn.LeakyReLU(LEAKY_SLOPE),
            SameConv2d(64, 128),
            nn.LeakyReLU(LEAKY_SLOPE),
            Dropout(0.5),
            nn.Flatten(),
            nn.Linear(128 * eighth, num_classes),
        )
        self.apply(initialize_like_keras)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer, flat."""
        return self.layers[:-LAYERS_AFTER_FEATURES](images).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to logits (N, classes)."""
        return self.layers(images)
