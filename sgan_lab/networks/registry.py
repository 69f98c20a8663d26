"""Discriminators by name, as `model.discriminator` and checkpoints give it; without torch.

The class of a discriminator is called with (image_shape, num_classes). The network maps images (N,
channels, height, width) in [-1, 1] to class logits (N, classes), and its method `features` maps
them to its last hidden layer.
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

DISCRIMINATORS = {
    "strided": "sgan_lab.networks.tutorial.Discriminator",
    "pooling": "sgan_lab.networks.pooling.PoolingDiscriminator",
    "mlp": "sgan_lab.networks.mlp.MLPDiscriminator",
    "conv9": "sgan_lab.networks.conv9.Conv9Discriminator",
    "conv13": "sgan_lab.networks.conv13.Conv13Discriminator",
    "wide_resnet": "sgan_lab.networks.wide_resnet.WideResNet",
}
# Of feature matching, by the discriminator of its paper that it belongs to. They are called with
# (image_shape, train_gain).
GENERATORS = {
    "mlp": "sgan_lab.networks.mlp.MLPGenerator",
    "conv9": "sgan_lab.networks.conv9.Conv9Generator",
}


def make_discriminator(
    name: str, image_shape: tuple[int, int, int], num_classes: int
) -> "nn.Module":
    """A new discriminator, its weights drawn by torch's default generator.

    Args:
        name: key of `DISCRIMINATORS`.
        image_shape: (channels, height, width) of an image.
        num_classes: number of classes.
    """
    return resolve_name(DISCRIMINATORS[name])(image_shape, num_classes)
