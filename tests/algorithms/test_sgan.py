import copy
from itertools import pairwise
from unittest.mock import Mock

import pytest
import torch

from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.data.batches import SemiSupervisedBatches
from tests.builders import CLASSES, SHAPE, make_data
from tests.plain import discriminate, features, generate, plain_adam, plain_alignment
from tests.steps import changed


@pytest.fixture
def sgan():
    """The tutorial's SGAN."""
    return make_sgan()


def make_sgan(**improvements):
    """An SGAN whose optimizers and backward pass work without a trainer."""
    torch.manual_seed(0)
    module = SGAN(
        SHAPE,
        CLASSES,
        iterations=5,
        sample_interval=2,
        log_interval=1,
        labeled_learning_rate=3e-4,
        unlabeled_learning_rate=1e-3,
        generator_learning_rate=2e-3,
        **improvements,
    )
    optimizers = module.configure_optimizers()
    module.trainer = Mock(optimizers=optimizers)
    module.labeled_optimizer, module.unlabeled_optimizer, module.generator_optimizer = optimizers
    module.manual_backward = lambda loss, **options: loss.backward(**options)
    return module


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
    sgan.generator_step(sgan.noise(8), unlabeled_images)
    states.append(snapshot(sgan))
    changes = [changed(*pair) for pair in pairwise(states)]
    assert changes == [
        set(),
        {"discriminator", "labeled moments"},
        {"discriminator", "unlabeled moments"},
        {"discriminator", "unlabeled moments"},
        {"generator", "running averages", "generator moments"},
    ]


def test_compiled_networks_make_the_same_updates(sgan):
    compiled = copy.deepcopy(sgan)
    compiled.hparams.compile = "eager"
    for module in (sgan, compiled):
        optimizers = module.configure_optimizers()
        module.optimizers = lambda optimizers=optimizers, **_: optimizers
        module.on_train_start()
        torch.manual_seed(1)
        for batch in SemiSupervisedBatches(make_data(), 2):
            module.training_step(batch, 0)
    assert compiled.generator._compiled_call_impl is not None
    for ours, expected in zip(compiled.parameters(), sgan.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_learning_rates_drive_their_steps(sgan):
    rates = [o.defaults["lr"] for o in sgan.configure_optimizers()]
    assert rates == [3e-4, 1e-3, 2e-3]
    for optimizer in sgan.configure_optimizers():
        assert (optimizer.defaults["betas"], optimizer.defaults["eps"]) == ((0.9, 0.999), 1e-7)


IMPROVEMENTS = {
    "joint_update": True,
    "feature_matching": True,
    "label_smoothing": 0.1,
    "consistency_weight": 3.0,
    "distribution_alignment": True,  # of the consistency's targets
    "unlabeled_batches": 2,
    "averaging_rate": 1.5,  # a decay of 0.7 over five iterations
    "learning_rate_decay": 0.5,
    "generator_channels": 12,
}


@pytest.mark.parametrize(
    "improvements",
    [
        {},
        *({key: IMPROVEMENTS[key]} for key in IMPROVEMENTS),
        {key: IMPROVEMENTS[key] for key in ("consistency_weight", "distribution_alignment")},
        IMPROVEMENTS,
    ],
)
def test_iterations_equal_a_loop_written_out_from_the_tutorial(improvements, monkeypatch):
    """Float64, equal draws: the module and an independent loop agree after five iterations."""
    sgan = make_sgan(**improvements).double()
    smoothing = improvements.get("label_smoothing", 0)
    rate_factors = [1, 1, 1, 0.8, 0.4] if "learning_rate_decay" in improvements else [1] * 5
    distributions = [torch.full((10,), 0.1, dtype=torch.float64)] * 2
    history = []
    data = make_data()
    discriminator = [w.detach().clone().requires_grad_() for w in sgan.discriminator.parameters()]
    generator = [w.detach().clone().requires_grad_() for w in sgan.generator.parameters()]
    averages = [b.clone() for b in sgan.generator.buffers()]
    moments = [{}, {}, {}]

    torch.manual_seed(5)
    torch.set_default_dtype(torch.float64)
    try:
        sgan.hparams.sample_interval = 5
        for done, batch in enumerate(sgan.batches(data)):
            monkeypatch.setattr(SGAN, "global_step", done)
            sgan.on_train_batch_start()
            sgan.training_step(
                batch._replace(
                    labeled_images=batch.labeled_images.double(),
                    unlabeled_images=batch.unlabeled_images.double(),
                ),
                0,
            )
        torch.manual_seed(5)
        for factor in rate_factors:
            labeled = torch.randint(20, (8,))
            unlabeled = torch.randint(50, (8 * improvements.get("unlabeled_batches", 1),))
            images = ((data.labeled.images[labeled].float() - 127.5) / 127.5).double()
            labels = data.labeled.labels[labeled]
            real = ((data.unlabeled_images[unlabeled].float() - 127.5) / 127.5).double()
            with torch.no_grad():
                fake = generate(generator, averages, torch.randn(8, 100), training=False)

            gradients_of_steps = []
            for step, x in enumerate((images, real, fake)):
                logits = discriminate(discriminator, x)
                if step == 0:
                    loss = -logits.log_softmax(1)[range(8), labels].mean()
                else:
                    probability = 1 - 1 / (logits.exp().sum(1) + 1)
                    target = 1 - smoothing if step == 1 else 0
                    loss = -target * probability.log() - (1 - target) * (1 - probability).log()
                    loss = loss.mean()
                if step == 1 and "consistency_weight" in improvements:
                    with torch.no_grad():
                        target = discriminate(discriminator, x, dropout=False).softmax(1)
                    if "distribution_alignment" in improvements:
                        target = plain_alignment(target, labels, distributions)
                    loss = loss + 3 * ((logits.softmax(1) - target) ** 2).mean()
                gradients = torch.autograd.grad(loss, discriminator)
                gradients_of_steps.append(gradients)
                if "joint_update" not in improvements:
                    moment, rate = (moments[1], 1e-3) if step else (moments[0], 3e-4)
                    with torch.no_grad():
                        plain_adam(discriminator, gradients, moment, factor * rate)
            if "joint_update" in improvements:
                gradients = [a + (b + c) / 2 for a, b, c in zip(*gradients_of_steps, strict=True)]
                with torch.no_grad():
                    plain_adam(discriminator, gradients, moments[1], factor * 1e-3)
            history.append([weight.detach().clone() for weight in discriminator])

            images = generate(generator, averages, torch.randn(8, 100), training=True)
            if "feature_matching" in improvements:
                fake_mean = features(discriminator, images).mean(0)
                loss = ((fake_mean - features(discriminator, real[:8]).mean(0)) ** 2).mean()
            else:
                score = discriminate(discriminator, images).exp().sum(1).log()
                loss = (1 + (-score).exp()).log().mean()
            gradients = torch.autograd.grad(loss, generator)
            with torch.no_grad():
                plain_adam(generator, gradients, moments[2], factor * 2e-3)
    finally:
        torch.set_default_dtype(torch.float32)

    for ours, expected in zip(sgan.discriminator.parameters(), discriminator, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    for ours, expected in zip(sgan.generator.parameters(), generator, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    if "averaging_rate" in improvements:
        ages = torch.tensor([0.7 ** (4 - i) for i in range(5)], dtype=torch.float64)
        discriminator = [
            (torch.stack(of_iterations, dim=-1) * ages).sum(-1) / ages.sum()
            for of_iterations in zip(*history, strict=True)
        ]
        averaged = sgan.averaged_discriminator.module.parameters()
        for ours, expected in zip(averaged, discriminator, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    logits = sgan.eval()(real)
    expected = features(discriminator, real).flatten(1) @ discriminator[6].T + discriminator[7]
    torch.testing.assert_close(logits, expected)
    assert sgan.generator.layers[4].num_batches_tracked == 5
    for index in (0, 1, 3, 4):
        buffer = list(sgan.generator.buffers())[index]
        torch.testing.assert_close(buffer, averages[index], rtol=1e-6, atol=1e-9)
