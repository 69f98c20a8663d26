"""Discriminators by name, as `model.discriminator` and checkpoints give it.

Each is made of (image_shape, num_classes), maps images (N, channels, height, width) in [-1, 1] to
class logits (N, classes), and has `features`, which maps them to its last hidden layer.
"""

from torch import nn

from sgan_lab.networks.mlp import MLPDiscriminator
from sgan_lab.networks.pooling import PoolingDiscriminator
from sgan_lab.networks.tutorial import Discriminator

DISCRIMINATORS: dict[str, type[nn.Module]] = {
    "strided": Discriminator,  # the tutorial's
    "pooling": PoolingDiscriminator,
    "mlp": MLPDiscriminator,
}
