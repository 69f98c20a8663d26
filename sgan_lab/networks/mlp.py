"""Fully connected generator and discriminator of Salimans et al. 2016, for any image shape.

Improved Techniques for Training GANs, as in the authors' train_mnist_feature_matching.py
(github.com/openai/improved-gan). Images are in [-1, 1] outside of these networks, as everywhere in
this package, and in [0, 1] inside, as in the paper.
"""

import math
from collections.abc import Iterable
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

from sgan_lab.networks.layers import FeatureNetwork


def weight_normalized(layer: nn.Module, train_scale: bool, dim: int = 0) -> nn.Module:
    """A layer of weights g v / ||v|| for each unit (Salimans and Kingma 2016), g = 1 and no bias.

    The units are a dimension of the weights. Either g is trained, or only `initialize_on_data` sets
    it.
    """
    layer = weight_norm(layer, dim=dim)
    scale = scale_of(layer)
    nn.init.ones_(scale)
    scale.requires_grad_(train_scale)
    nn.init.zeros_(layer.bias)
    return layer


def scale_of(layer: nn.Module) -> nn.Parameter:
    """The g of a weight-normalized layer, a number for each unit."""
    return layer.parametrizations.weight.original0


def direction_of(layer: nn.Module) -> nn.Parameter:
    """The v of a weight-normalized layer, of the shape of its weights."""
    return layer.parametrizations.weight.original1


@torch.no_grad()
def initialize_on_data(layers: Iterable[nn.Module], x: Tensor, last_std: float = 1) -> None:
    """Set scales and biases so that every unit, before its ReLU, has mean 0 and variance 1.

    Data-dependent initialization (Salimans and Kingma 2016, section 3), with noise and dropout.

    Args:
        layers: of a network, one after the other.
        x: input of the first, (N, ...); mean and variance are over these, and over pixels.
        last_std: standard deviation of the last layer's units, in the place of 1.
    """
    *hidden, last = layers
    for layer in (*hidden, last):
        x = layer(x)
        if not is_parametrized(layer):
            continue
        dims = [dim for dim in range(x.dim()) if dim != 1]
        mean, std = x.mean(dim=dims), x.std(dim=dims, correction=0)
        if layer is last:
            std = std / last_std
        scale_of(layer).div_(std.view_as(scale_of(layer)))
        layer.bias.sub_(mean).div_(std)
        shape = [-1] + [1] * (x.dim() - 2)
        x = (x - mean.view(shape)) / std.view(shape)


def norm_of_batch(kind: type[nn.Module], features: int, train_gain: bool) -> nn.Module:
    """Batch normalization of a kind that is always by the batch's own mean and variance."""
    norm = kind(features, eps=1e-6, track_running_stats=False)
    if train_gain:
        nn.init.uniform_(norm.weight)
    norm.weight.requires_grad_(train_gain)
    return norm


class GaussianNoise(nn.Module):
    """Adds noise from N(0, std^2) while training."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x.add(torch.randn_like(x), alpha=self.std) if self.training else x


class MLPGenerator(nn.Module):
    """Images from noise; batch normalization is always by the batch's own mean and variance.

    Args:
        image_shape: (channels, height, width) of an image.
        train_gain: whether the gain of batch normalization is trained, from U(0, 1) on, as in the
            program of Dai et al. 2017; else it stays 1.
    """

    noise_size = 100

    def __init__(self, image_shape: tuple[int, int, int], train_gain: bool = False) -> None:
        super().__init__()
        layers = []
        for in_features, out_features in ((self.noise_size, 500), (500, 500)):
            norm = norm_of_batch(nn.BatchNorm1d, out_features, train_gain)
            layers += [nn.Linear(in_features, out_features, bias=False), norm, nn.Softplus()]
            nn.init.xavier_uniform_(layers[-3].weight)
        pixels = weight_normalized(nn.Linear(500, math.prod(image_shape)), train_scale=True)
        nn.init.xavier_uniform_(direction_of(pixels))
        self.layers = nn.Sequential(*layers, pixels, nn.Sigmoid(), nn.Unflatten(1, image_shape))

    def forward(self, noise: Tensor) -> Tensor:
        """Noise (N, 100) from U(0, 1), N > 1, to images (N, channels, height, width) in [-1, 1]."""
        return self.layers(noise) * 2 - 1


class MLPDiscriminator(FeatureNetwork):
    """Class logits of images; the classifier that training is about."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        sizes = (math.prod(image_shape), 1000, 500, 250, 250, 250)
        hidden = []
        for index, (in_features, out_features) in enumerate(pairwise(sizes)):
            layer = weight_normalized(nn.Linear(in_features, out_features), train_scale=False)
            hidden += [GaussianNoise(0.5 if index else 0.3), layer, nn.ReLU()]
        self.hidden = nn.Sequential(*hidden)
        last = weight_normalized(nn.Linear(sizes[-1], num_classes), train_scale=True)
        self.last = nn.Sequential(GaussianNoise(0.5), last)
        for layer in chain(self.hidden, self.last):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(direction_of(layer), std=0.1)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer (N, 250)."""
        return self.hidden((images.flatten(1) + 1) / 2)

    def initialize(self, images: Tensor) -> None:
        """Data-dependent initialization on images in [-1, 1], see `initialize_on_data`."""
        initialize_on_data([*self.hidden, *self.last], (images.flatten(1) + 1) / 2)
