"""Convolutional generator and discriminator of Salimans et al. 2016, for color images.

Improved Techniques for Training GANs, as in the authors' train_cifar_feature_matching.py
(github.com/openai/improved-gan).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from sgan_lab.networks.layers import Dropout, FeatureNetwork
from sgan_lab.networks.mlp import (
    direction_of,
    initialize_on_data,
    norm_of_batch,
    scale_of,
    weight_normalized,
)
from sgan_lab.networks.registry import check_size

SLOPE = 0.2  # of the leaky ReLU
WEIGHT_STD = 0.05  # of the weights at the start
LEAST_SIDE = 9  # pixels: a 3x3 convolution without padding follows two of stride 2
FIRST_SIDE = 4  # pixels of the generator's first feature map


class Conv9Generator(nn.Module):
    """Images from noise; batch normalization is always by the batch's own mean and variance.

    Transposed convolutions double the image from 4 pixels on: three of them up to 32x32, the
    paper's size, and four up to 64x64.

    Args:
        image_shape: (channels, height, width) of an image.
        train_gain: see `MLPGenerator`.
        first_channels: of the first feature map, a half in each that follows; at least 8. The paper
            has 512.
    """

    noise_size = 100

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        train_gain: bool = False,
        first_channels: int = 512,
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        doublings = max(1, round(math.log2(max(height, width) / FIRST_SIDE)))
        first = [math.ceil(side / 2**doublings) for side in (height, width)]
        units = first_channels * first[0] * first[1]
        layers = [
            nn.Linear(self.noise_size, units, bias=False),
            norm_of_batch(nn.BatchNorm1d, units, train_gain),
            nn.ReLU(),
            nn.Unflatten(1, (first_channels, *first)),
        ]
        widths = [max(1, first_channels >> index) for index in range(doublings)]
        for before, after in pairwise(widths):
            layers += [doubling(before, after, bias=False)]
            layers += [norm_of_batch(nn.BatchNorm2d, after, train_gain), nn.ReLU()]
        for layer in layers:
            if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=WEIGHT_STD)
        pixels = weight_normalized(doubling(widths[-1], channels), train_scale=True, dim=1)
        nn.init.normal_(direction_of(pixels), std=WEIGHT_STD)
        self.layers = nn.Sequential(*layers, pixels, nn.Tanh())
        self.size = (height, width)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, 100), N > 1, to images (N, channels, height, width) in [-1, 1].

        The paper's noise is from U(0, 1).
        """
        height, width = self.size
        return self.layers(noise)[..., :height, :width]


class Conv9Discriminator(FeatureNetwork):
    """Class logits of images; nine weight-normalized convolutions, 1.4 million weights.

    `initialize` sets the scales of hidden layers, which are not trained. Without it they keep the
    variance of the features, as He et al. 2015 do.

    Raises:
        ConfigError: height or width is below 9.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        check_size(image_shape, LEAST_SIDE, "conv9")
        channels = image_shape[0]
        self.hidden = nn.Sequential(
            Dropout(0.2),
            *convolution(channels, 96),
            *convolution(96, 96),
            *convolution(96, 96, stride=2),
            Dropout(0.5),
            *convolution(96, 192),
            *convolution(192, 192),
            *convolution(192, 192, stride=2),
            Dropout(0.5),
            *convolution(192, 192, padding=0),
            *convolution(192, 192, kernel=1, padding=0),
            *convolution(192, 192, kernel=1, padding=0),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.last = weight_normalized(nn.Linear(192, num_classes), train_scale=True)
        nn.init.normal_(direction_of(self.last), std=WEIGHT_STD)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer (N, 192)."""
        return self.hidden(images)

    def initialize(self, images: Tensor) -> None:
        """As `MLPDiscriminator.initialize`; logits have deviation 0.1."""
        initialize_on_data([*self.hidden, self.last], images, last_std=0.1)


def convolution(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, padding: int = 1
) -> list[nn.Module]:
    """A weight-normalized convolution and a leaky ReLU."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
    layer = weight_normalized(layer, train_scale=False)
    nn.init.normal_(direction_of(layer), std=WEIGHT_STD)
    nn.init.constant_(scale_of(layer), nn.init.calculate_gain("leaky_relu", SLOPE))
    return [layer, nn.LeakyReLU(SLOPE)]


def doubling(in_channels: int, out_channels: int, bias: bool = True) -> nn.ConvTranspose2d:
    """A 5x5 transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(
        in_channels, out_channels, 5, stride=2, padding=2, output_padding=1, bias=bias
    )
