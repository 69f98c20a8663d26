"""Discriminators by name, as `model.discriminator` and checkpoints give it; without torch.

The class of a discriminator is called with (image_shape, num_classes). The network maps images (N,
channels, height, width) in [-1, 1] to class logits (N, classes), and its method `features` maps
them to its last hidden layer. One of the user's own has its dotted name, such as "my_networks.Net".
"""

import inspect
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from sgan_lab.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

LEAST_SIDE = 4  # pixels of an image's height and width, of all networks
DISCRIMINATORS = {
    "strided": "sgan_lab.networks.tutorial.Discriminator",
    "pooling": "sgan_lab.networks.pooling.PoolingDiscriminator",
    "wide_pooling": "sgan_lab.networks.pooling.WidePoolingDiscriminator",
    "mlp": "sgan_lab.networks.mlp.MLPDiscriminator",
    "conv9": "sgan_lab.networks.conv9.Conv9Discriminator",
    "conv13": "sgan_lab.networks.conv13.Conv13Discriminator",
    "wide_resnet": "sgan_lab.networks.wide_resnet.WideResNet",
    "resnet18": "sgan_lab.networks.resnet.ResNet18",
}
# Of feature matching, by the discriminator of its paper that it belongs to. They are called with
# (image_shape, train_gain).
GENERATORS = {
    "mlp": "sgan_lab.networks.mlp.MLPGenerator",
    "conv9": "sgan_lab.networks.conv9.Conv9Generator",
}
# Of the SGAN. They are called with (image_shape, first_channels=...).
SGAN_GENERATORS = {
    "tutorial": "sgan_lab.networks.tutorial.Generator",
    "conv9": "sgan_lab.networks.conv9.Conv9Generator",
}


def make_discriminator(
    name: str, image_shape: tuple[int, int, int], num_classes: int
) -> "nn.Module":
    """A new discriminator, its weights drawn by torch's default generator.

    Args:
        name: key of `DISCRIMINATORS`, or the dotted name of a class, which is imported.
        image_shape: (channels, height, width) of an image.
        num_classes: number of classes.

    Raises:
        ConfigError: a class of the user's own is not as this module says.
    """
    if name in DISCRIMINATORS:
        return resolve_name(DISCRIMINATORS[name])(image_shape, num_classes)
    return own_discriminator(name, image_shape, num_classes)


def check_size(image_shape: tuple[int, int, int], least_side: int, name: str) -> None:
    """Raise a ConfigError where height or width has fewer pixels than a network needs."""
    _, *size = image_shape
    if min(size) < least_side:
        allowed = f"makes images too small for {name}: {least_side} pixels at least"
        raise ConfigError("data.image_size", size, allowed)


def own_discriminator(
    name: str, image_shape: tuple[int, int, int], num_classes: int
) -> "nn.Module":
    """A new discriminator of the user's own, checked on two images; see `make_discriminator`."""
    import torch

    key, made = "model.discriminator", resolve_name(name)
    try:
        inspect.signature(made).bind(image_shape, num_classes)
    except TypeError as error:
        allowed = f"must be called with (image_shape, num_classes): {error}"
        raise ConfigError(key, name, allowed) from error
    network = made(image_shape, num_classes)
    if not isinstance(network, torch.nn.Module) or not hasattr(network, "features"):
        raise ConfigError(key, name, "must be a torch.nn.Module with a method features")
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        logits = network.eval()(torch.zeros(2, *image_shape))
        network.train()
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (2, num_classes):
        allowed = f"its logits of 2 images must have the shape {(2, num_classes)}, not {shape}"
        raise ConfigError(key, name, allowed)
    return network
