import sys
from itertools import islice

import pytest
import torch

from sgan_lab.algorithms.mean_teacher import MeanTeacher
from sgan_lab.errors import ConfigError
from sgan_lab.networks.registry import make_discriminator
from tests.builders import make_data
from tests.steps import make_sgan, make_step

SHAPE = (1, 8, 8)
MODULE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5), nn.Dropout())
        self.last = nn.Linear(5, num_classes)

    def features(self, images):
        return self.hidden(images)

    def forward(self, images):
        return self.last(self.features(images))


class Wide(Net):
    def __init__(self, image_shape, num_classes):
        super().__init__(image_shape, num_classes + 1)


class Deep(Net):
    def __init__(self, image_shape, num_classes, depth):
        super().__init__(image_shape, num_classes)


class Pair(Net):
    def forward(self, images):
        return images, images


def plain(image_shape, num_classes):
    return nn.Linear(1, 1)
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)


def test_an_own_network_is_made_and_its_check_leaves_no_trace():
    torch.manual_seed(0)
    network = make_discriminator("own_networks.Net", SHAPE, 3)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    plain = type(network)(SHAPE, 3)
    assert torch.equal(drawn, torch.rand(1))
    assert network.training
    for name, value in plain.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Wide", r"its logits of 2 images must have the shape \(2, 3\), not \(2, 4\)"),
        ("Pair", r"its logits of 2 images must have the shape \(2, 3\), not tuple"),
        ("Deep", r"must be called with \(image_shape, num_classes\): missing .* 'depth'"),
        ("plain", "must be a torch.nn.Module with a method features"),
    ],
)
def test_what_is_no_discriminator_is_named_with_what_is_expected(name, message):
    with pytest.raises(ConfigError, match=f"model.discriminator=own_networks.{name}: {message}"):
        make_discriminator(f"own_networks.{name}", SHAPE, 3)


SETTINGS = {"averaging_rate": 3.0, "target_dropout": True, "distribution_alignment": False}


@pytest.mark.parametrize("discriminator", ["conv9", "conv13", "wide_resnet"])
def test_algorithms_train_any_network_of_the_registry(monkeypatch, discriminator):
    module, batch = make_step(MeanTeacher, monkeypatch, discriminator=discriminator, **SETTINGS)
    module.training_step(batch, 0)
    loss, _ = module.update.call_args.args
    loss.backward()
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
