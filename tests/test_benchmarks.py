"""The loops that are compared with make the same updates as the SGAN."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import loop
from benchmarks.loop import plain_discriminator, plain_generator, plain_loop
from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.data import containers
from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.data.containers import LabeledImages, SemiSupervisedData

ITERATIONS, BATCH, LABELED = 20, 4, 10


class GivenMasks(nn.Module):
    """Dropout with masks from a list, since each loop draws its own in its own way."""

    def __init__(self, masks):
        super().__init__()
        self.masks = iter(masks)

    def forward(self, images):
        return images * next(self.masks) * 2


def channels_first(dense):
    """The generator's first layer, whose outputs lie channels last, as the plain one has it."""
    return dense.view(7, 7, 256, -1).permute(2, 0, 1, 3).reshape(256 * 49, *dense.shape[1:])


@pytest.mark.slow
def test_twenty_iterations_equal_the_plain_loop(monkeypatch):
    monkeypatch.setattr(containers, "scale", lambda images: (images.double() - 127.5) / 127.5)
    torch.manual_seed(0)
    sgan = SGAN((1, 28, 28), tuple("0123456789"), ITERATIONS, 3e-4, 1e-3, 1e-3).double()
    optimizers = sgan.configure_optimizers()
    sgan.labeled_optimizer, sgan.unlabeled_optimizer, sgan.generator_optimizer = optimizers
    sgan.manual_backward = torch.Tensor.backward
    discriminator, generator = plain_discriminator().double(), plain_generator().double()
    masks = (torch.rand(4 * ITERATIONS, BATCH, 128, 4, 4) < 0.5).double()
    sgan.discriminator.layers[6] = GivenMasks(masks)
    discriminator[9] = GivenMasks(masks)
    weights = zip(discriminator.parameters(), sgan.discriminator.parameters(), strict=True)
    with torch.no_grad():
        for plain, ours in weights:
            plain.copy_(ours)
        for index, (plain, ours) in enumerate(
            zip(generator.parameters(), sgan.generator.parameters(), strict=True)
        ):
            plain.copy_(channels_first(ours) if index < 2 else ours)

    images = torch.randint(256, (50, 1, 28, 28), dtype=torch.uint8)
    labels = torch.arange(LABELED)
    labeled = LabeledImages(images[:LABELED], labels)
    names = tuple("0123456789")
    drawn_from = SemiSupervisedData(labeled, images[LABELED:], labeled, None, names, BATCH)
    torch.set_default_dtype(torch.float64)  # of the draws
    try:
        torch.manual_seed(1)
        for batch in SemiSupervisedBatches(drawn_from, ITERATIONS):
            sgan.training_step(batch, 0)
        torch.manual_seed(1)
        loop = plain_loop(generator, discriminator, images, labels, BATCH)
        for _ in range(ITERATIONS):
            next(loop)
    finally:
        torch.set_default_dtype(torch.float32)

    # Adam divides by the root of squared gradients, which magnifies roundings where they are tiny.
    close = {"rtol": 1e-6, "atol": 1e-7}
    for plain, ours in zip(
        discriminator.parameters(), sgan.discriminator.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, plain, **close)
    plain_state = generator.state_dict().values()
    for index, (plain, ours) in enumerate(
        zip(plain_state, sgan.generator.state_dict().values(), strict=True)
    ):
        torch.testing.assert_close(channels_first(ours) if index < 2 else ours, plain, **close)


@pytest.mark.slow
def test_a_stacked_seed_equals_the_plain_loop(monkeypatch):
    monkeypatch.syspath_prepend(Path(loop.__file__).parent)
    from benchmarks.gpu import Stacked, stacked_loop

    torch.manual_seed(0)
    networks = plain_generator().double(), plain_discriminator().double()
    stacked = [Stacked([deepcopy(network)]) for network in networks]
    images, labels = torch.randint(256, (50, 1, 28, 28), dtype=torch.uint8), torch.arange(LABELED)
    for iterations in (
        plain_loop(*networks, images, labels, BATCH),
        stacked_loop(*stacked, images, labels, BATCH),
    ):
        torch.manual_seed(1)
        for _ in range(3):
            next(iterations)
    for network, stack in zip(networks, stacked, strict=True):
        for name, value in network.state_dict().items():
            (ours,) = (stack.weights | stack.buffers)[name]
            torch.testing.assert_close(ours, value, rtol=1e-6, atol=1e-7)
