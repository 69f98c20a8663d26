"""Discriminators by the name that `model.discriminator` gives."""

from sgan_lab.networks.mlp import MLPDiscriminator
from sgan_lab.networks.pooling import PoolingDiscriminator
from sgan_lab.networks.tutorial import Discriminator

DISCRIMINATORS = {
    "strided": Discriminator,
    "pooling": PoolingDiscriminator,
    "mlp": MLPDiscriminator,
}
