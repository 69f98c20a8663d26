from itertools import islice

import pytest
import torch

from sgan_lab.algorithms.mean_teacher import MeanTeacher
from tests.builders import make_data
from tests.steps import make_sgan, make_step

SETTINGS = {"averaging_rate": 3.0, "target_dropout": True, "distribution_alignment": False}


@pytest.mark.parametrize("discriminator", ["conv9", "conv13", "wide_resnet"])
def test_algorithms_train_any_network_of_the_registry(monkeypatch, discriminator):
    module, batch = make_step(MeanTeacher, monkeypatch, discriminator=discriminator, **SETTINGS)
    module.training_step(batch, 0)["loss"].backward()
    trained = [weight for weight in module.discriminator.parameters() if weight.requires_grad]
    assert all(weight.grad is not None for weight in trained)
    sgan = make_sgan(discriminator=discriminator, generator_channels=8)
    before = [weight.clone() for weight in sgan.parameters()]
    (batch,) = islice(sgan.batches(make_data(batch_size=4), 1), 1)
    values = sgan.training_step(batch, 0)
    assert all(value.isfinite() for value in values.values())
    changed = [
        not torch.equal(weight, old)
        for weight, old in zip(sgan.parameters(), before, strict=True)
        if weight.requires_grad
    ]
    assert sum(changed) > 0.9 * len(changed)
