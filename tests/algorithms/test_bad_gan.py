import logging
from unittest.mock import Mock

import pytest
import torch

from sgan_lab.algorithms import bad_gan
from sgan_lab.algorithms.bad_gan import BadGAN
from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.data.containers import scale
from sgan_lab.evaluation.classifier import load_classifier
from tests.algorithms.test_feature_matching import (
    discriminate,
    discriminator_losses,
    doubled,
    generate,
    weights_of,
)
from tests.builders import CLASSES, SHAPE, make_data
from tests.plain import plain_adam
from tests.processes import TINY, check_resumed, read_events, steps, succeed

TERMS = {
    "feature_matching_weight": "generator/feature_matching_loss",
    "pull_away_weight": "generator/pull_away_term",
    "low_density_weight": "generator/low_density_loss",
}
WEIGHTS = {"entropy_weight": 0.6, **dict.fromkeys(TERMS, 0.0)}


def make_model(**changes):
    """A module in float64 that has been pretrained, and works without a trainer."""
    torch.manual_seed(0)
    settings = {
        "image_shape": SHAPE,
        "class_names": CLASSES,
        "iterations": 5,
        "learning_rate": 2e-3,
        "generator_learning_rate": 1e-3,
        "beta1": 0.5,
        "beta2": 0.99,
        "unlabeled_weight": 0.8,
        "averaging_rate": 1.5,
        "low_density_start": 1,
        "density_epochs": 1,
    }
    module = BadGAN(**(settings | WEIGHTS | changes))
    module.prepare(make_data())
    module.double()
    optimizers = module.configure_optimizers()
    module.discriminator_optimizer, module.generator_optimizer = optimizers
    module.manual_backward = lambda loss: loss.backward()
    module.trainer = Mock(optimizers=optimizers)
    return module


@pytest.fixture(autouse=True)
def default_dtype():
    """Tests may set another one."""
    yield
    torch.set_default_dtype(torch.float32)


def pixels(images):
    """In [0, 1], rounded as the module's are: Adam makes much of little differences at first."""
    return (scale(images).double().flatten(1) + 1) / 2


def test_iterations_equal_a_loop_written_out_from_the_paper(monkeypatch):
    """Float64, equal draws, all terms: the module and an independent loop agree."""
    model = make_model(feature_matching_weight=0.9, pull_away_weight=0.7, low_density_weight=1e-3)
    monkeypatch.setattr(bad_gan, "LOW_DENSITY_INTERVAL", 2)
    # Most of what the generator makes at its start is too probable, some of it in iteration 2.
    with torch.no_grad():
        generated = model.generator(torch.rand(99, 100).double())
        model.log_epsilon.copy_(model.density(generated).quantile(0.2))
    torch.set_default_dtype(torch.float64)

    def gradient_step(loss, weights, moments, rate, beta1):
        trained = [weight for weight in weights if weight.requires_grad]
        gradients = torch.autograd.grad(loss, trained)
        with torch.no_grad():
            plain_adam(trained, gradients, moments, rate, beta1, beta2=0.99, epsilon=1e-8)

    data = make_data()
    discriminator, generator = weights_of(model.discriminator), weights_of(model.generator)
    moments, values = [{}, {}], []
    torch.manual_seed(5)
    for done, batch in enumerate(SemiSupervisedBatches(data, 3, unlabeled_batches=2)):
        monkeypatch.setattr(BadGAN, "global_step", done)
        model.on_train_batch_start()
        values.append(model.training_step(doubled(batch), 0))
    torch.manual_seed(5)
    for done in range(3):
        labeled, unlabeled = torch.randint(20, (8,)), torch.randint(50, (16,))
        y = data.labeled.labels[labeled]
        x_labeled = pixels(data.labeled.images[labeled])
        x_unlabeled = pixels(data.unlabeled_images[unlabeled])
        with torch.no_grad():
            x_fake = generate(generator, torch.rand(8, 100))
        class_loss, unlabeled_loss, unlabeled_logits = discriminator_losses(
            discriminator, x_labeled, y, x_unlabeled[:8], x_fake
        )
        p = unlabeled_logits.exp() / unlabeled_logits.exp().sum(1, keepdim=True)
        entropy = -(p * p.log()).sum() / 8
        loss = class_loss + 0.8 * unlabeled_loss + 0.6 * entropy
        gradient_step(loss, discriminator, moments[0], 2e-3, beta1=0.5)

        real = discriminate(discriminator, x_unlabeled[8:]).detach()
        fake = discriminate(discriminator, generate(generator, torch.rand(8, 100)))
        matching = ((fake.mean(0) - real.mean(0)) ** 2).mean()
        pull_away = 0
        for i in range(8):
            for j in set(range(8)) - {i}:
                cosine = fake[i] @ fake[j] / (fake[i].norm() * fake[j].norm())
                pull_away = pull_away + cosine**2 / (8 * 7)
        low_density, dense = torch.tensor(0.0), 0.0
        if done == 1:  # iteration 2 of 3
            images = generate(generator, torch.rand(30, 100)) * 2 - 1
            log_p = model.density(images.view(30, *SHAPE))
            above = [each - model.log_epsilon for each in log_p if each > model.log_epsilon]
            low_density, dense = sum(above) / len(above), len(above) / 30
            assert 0 < dense < 1
        generator_loss = 0.9 * matching + 0.7 * pull_away + 1e-3 * low_density
        gradient_step(generator_loss, generator, moments[1], 1e-3, beta1=0.0)
        returned = values.pop(0)
        for name, expected in (
            ("labeled/class_loss", class_loss),
            ("unlabeled/discriminator_loss", unlabeled_loss),
            ("unlabeled/conditional_entropy", entropy),
            ("generator/feature_matching_loss", matching),
            ("generator/pull_away_term", pull_away),
            ("generator/low_density_loss", low_density),
            ("generator/dense_fraction", torch.tensor(dense)),
            ("generator/loss", generator_loss),
        ):
            torch.testing.assert_close(returned[name], expected.detach(), rtol=1e-9, atol=1e-9)

    for network, weights in ((model.discriminator, discriminator), (model.generator, generator)):
        for ours, expected in zip(network.parameters(), weights, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("alone", [*TERMS, None])
def test_each_of_the_generators_terms_can_stand_alone_and_be_left_out(monkeypatch, alone):
    model = make_model(**({alone: 0.5} if alone else {}))
    monkeypatch.setattr(BadGAN, "global_step", 9)
    if alone == "low_density_weight":
        model.log_epsilon.fill_(-1e6)  # every image is too probable
    torch.set_default_dtype(torch.float64)
    _, _, images = doubled(next(iter(SemiSupervisedBatches(make_data(), 1))))
    before = model.generator.state_dict()["layers.0.weight"].clone()
    values = model.generator_step(images)
    has_moved = not torch.equal(model.generator.state_dict()["layers.0.weight"], before)
    assert has_moved == (alone is not None)
    expected = 0.5 * values[TERMS[alone]].item() if alone else 0
    assert values["generator/loss"].item() == pytest.approx(expected)


def test_epsilon_is_such_that_a_tenth_of_the_unlabeled_images_is_less_probable():
    model = make_model(low_density_weight=1e-4)
    log_densities = model.density(scale(make_data().unlabeled_images).double())
    assert (log_densities < model.log_epsilon).sum() == 5  # of 50


def test_without_a_low_density_term_there_is_no_density_model(caplog):
    with caplog.at_level(logging.INFO):
        model = make_model(feature_matching_weight=1.0)
    assert caplog.messages == []
    names = [name.split(".")[0] for name in model.state_dict()]
    assert set(names) == {"discriminator", "generator", "averaged_discriminator"}


def test_a_run_goes_on_from_a_checkpoint_with_its_density_model(command_line, tmp_path):
    options = ["model=bad_gan", "data.batch_size=20", "data.labeled_split=random"]
    options += ["iterations=10", "sample_interval=5", "log_interval=1"]
    options += ["model.low_density_start=3", "model.density_epochs=1"]
    succeed(command_line(*TINY, *options, "hydra.run.dir=run"))
    folder = tmp_path / "run"
    assert (folder / "run.log").read_text().count("density model: epoch ") == 1
    events = read_events(folder)
    assert steps(events, "generator/dense_fraction") == list(range(1, 11))

    newest = folder / "checkpoints" / "iteration-10.ckpt"
    module = BadGAN.load_from_checkpoint(newest, weights_only=True).eval()
    assert module.log_epsilon < 0
    images = scale(make_data().unlabeled_images)
    assert torch.equal(load_classifier(newest).network(images), module(images))

    check_resumed(command_line, folder, newest)
    assert (tmp_path / "cut" / "run.log").read_text().count("density model: epoch ") == 1
