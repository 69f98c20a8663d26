import copy
from itertools import pairwise

import pytest

from sgan_lab.algorithms.base import frozen
from sgan_lab.algorithms.improved_sgan import ImprovedSGAN
from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.data.batches import SemiSupervisedBatches
from tests.builders import make_data
from tests.steps import changed, check_sgan, make_sgan


@pytest.fixture
def sgan():
    """The tutorial's SGAN."""
    return make_sgan()


def snapshot(sgan):
    """All that an iteration may change: weights, buffers and the three sets of moments."""
    state = {
        "discriminator": dict(sgan.discriminator.named_parameters()),
        "generator": dict(sgan.generator.named_parameters()),
        "running averages": dict(sgan.generator.named_buffers()),
        "labeled moments": sgan.labeled_optimizer.state_dict()["state"],
        "unlabeled moments": sgan.unlabeled_optimizer.state_dict()["state"],
        "generator moments": sgan.generator_optimizer.state_dict()["state"],
    }
    return copy.deepcopy(state)


def test_each_step_changes_only_what_it_should(sgan):
    labeled_images, labels, unlabeled_images = next(iter(SemiSupervisedBatches(make_data(), 1)))
    states = [snapshot(sgan)]
    fake_images = sgan.inferred_images(sgan.noise(8))
    states.append(snapshot(sgan))
    sgan.labeled_step(labeled_images, labels)
    states.append(snapshot(sgan))
    sgan.real_step(unlabeled_images)
    states.append(snapshot(sgan))
    sgan.fake_step(fake_images)
    states.append(snapshot(sgan))
    sgan.generator_step(sgan.noise(8))
    states.append(snapshot(sgan))
    changes = [changed(*pair) for pair in pairwise(states)]
    assert changes == [
        set(),
        {"discriminator", "labeled moments"},
        {"discriminator", "unlabeled moments"},
        {"discriminator", "unlabeled moments"},
        {"generator", "running averages", "generator moments"},
    ]


def test_learning_rates_drive_their_steps(sgan):
    """Adam's first step moves each weight with a gradient by the learning rate."""
    batch = next(iter(SemiSupervisedBatches(make_data(), 1)))
    steps = {
        3e-4: lambda: sgan.labeled_step(batch.labeled_images, batch.labels),
        1e-3: lambda: sgan.real_step(batch.unlabeled_images),
        2e-3: lambda: sgan.generator_step(sgan.noise(8)),
    }
    for rate, step in steps.items():
        before = copy.deepcopy(sgan.state_dict())
        step()
        moved = [(value - before[key]).abs().max() for key, value in sgan.named_parameters()]
        assert max(moved).item() == pytest.approx(rate, rel=1e-3)


def test_the_discriminator_is_trained_again_after_an_error_in_the_generators_step(sgan):
    with pytest.raises(RuntimeError), frozen(sgan.discriminator):
        raise RuntimeError
    assert all(weight.requires_grad for weight in sgan.discriminator.parameters())


@pytest.mark.parametrize("algorithm", [SGAN, ImprovedSGAN])
def test_the_generator_for_color_images_learns(algorithm):
    sgan = make_sgan(algorithm, generator="conv9", generator_channels=16)
    before = snapshot(sgan)
    values = sgan.training_step(next(iter(SemiSupervisedBatches(make_data(), 1))), 0)
    assert all(value.isfinite() for value in values.values())
    learned = changed(before["generator"], snapshot(sgan)["generator"])
    assert {"layers.0.weight", "layers.4.weight", "layers.10.bias"} <= learned
    assert sgan.inferred_images(sgan.noise(3)).shape == (3, 1, 28, 28)


@pytest.mark.parametrize("settings", [{}, {"generator_channels": 12}])
def test_iterations_equal_a_loop_written_out_from_the_tutorial(settings, monkeypatch):
    check_sgan(make_sgan(**settings), {}, monkeypatch)
