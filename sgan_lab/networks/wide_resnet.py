"""The wide residual network of Oliver et al. 2018 and FixMatch."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from sgan_lab.networks.layers import FeatureNetwork

SLOPE = 0.1  # of the leaky ReLU
WIDTHS = (16, 32, 64, 128)  # 2 times those of Zagoruyko and Komodakis 2016, but for the first
BLOCKS = 4  # of each width: 28 layers


class WideResNet(FeatureNetwork):
    """WRN-28-2, with leaky ReLUs; 1.5 million weights (Zagoruyko and Komodakis 2016)."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        blocks = []
        for group, (before, width) in enumerate(pairwise(WIDTHS)):
            blocks.append(Block(before, width, stride=2 if group else 1))
            blocks += [Block(width, width) for _ in range(BLOCKS - 1)]
        self.layers = nn.Sequential(
            nn.Conv2d(image_shape[0], WIDTHS[0], 3, padding=1, bias=False),
            *blocks,
            *norm(WIDTHS[-1]),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.last = nn.Linear(WIDTHS[-1], num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, SLOPE, mode="fan_out")
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer (N, 128)."""
        return self.layers(images)


class Block(nn.Module):
    """Two 3x3 convolutions, each after its norm and ReLU, and a way past them.

    Where widths differ that way is a 1x1 convolution, and both ways begin with the first norm and
    ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(*norm(in_channels))
        self.second = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            *norm(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        )
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, in_channels, height, width) to (N, out_channels, height / stride, width / stride)."""
        x = self.first(images)
        return self.second(x) + (images if self.shortcut is None else self.shortcut(x))


def norm(channels: int) -> list[nn.Module]:
    """Batch normalization and a leaky ReLU."""
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE)]
