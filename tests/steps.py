"""Steps and resumed runs of algorithms, checked against plain computations."""

import shutil
from itertools import islice
from math import exp
from unittest.mock import Mock

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sgan_lab.algorithms.propagation import propagated_labels
from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.evaluation.checkpoint_files import iteration_of
from sgan_lab.training.train import train
from tests.builders import CLASSES, SHAPE, make_data
from tests.plain import discriminate, features, generate, plain_adam, plain_alignment
from tests.processes import TINY


def changed(before, after):
    def equal(a, b):
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
        return torch.equal(a, b)

    return {name for name in before if not equal(before[name], after[name])}


def make_step(model_class, monkeypatch, **settings):
    """A module in float64, half way through its ramp-up, and a batch for it.

    Its weights stay as they are: `module.update.call_args` has the loss of a step.
    """
    training = {"iterations": 10, "learning_rate": 1e-3}
    training |= {"learning_rate_decay": 0.2, "weight": 3.0, "ramp_up": 0.4}
    torch.manual_seed(0)
    module = model_class(image_shape=SHAPE, class_names=CLASSES, **training, **settings).double()
    monkeypatch.setattr(model_class, "global_step", 2)
    module.trainer = Mock(optimizers=[module.configure_optimizers()])
    module.update = Mock()
    module.on_train_batch_start()
    (batch,) = islice(module.batches(make_data(), 2), 1)
    return module, batch._make(x.double() if x.is_floating_point() else x for x in batch)


def check_step(module, batch, plain_losses):
    """Losses and gradients of a step are those of a plain computation from equal draws.

    Args:
        module: the algorithm.
        batch: what the step is made on.
        plain_losses: function of the discriminator's weights; labeled log-probabilities and the
            unlabeled loss.

    Returns:
        What the step returned.
    """
    weights = list(module.discriminator.parameters())
    torch.set_default_dtype(torch.float64)  # of what it draws
    try:
        torch.manual_seed(5)
        values = module.training_step(batch, 0)
        torch.manual_seed(5)
        log_probabilities, unlabeled_loss = plain_losses(weights)
    finally:
        torch.set_default_dtype(torch.float32)
    class_loss = -log_probabilities[range(8), batch.labels].mean()
    loss = class_loss + 3 * exp(-5 / 4) * unlabeled_loss
    torch.testing.assert_close(values["labeled/class_loss"], class_loss.detach())
    torch.testing.assert_close(values["unlabeled/loss"], unlabeled_loss.detach())
    updated_loss, _ = module.update.call_args.args
    torch.testing.assert_close(updated_loss, loss)
    correct = log_probabilities.argmax(1) == batch.labels
    assert values["labeled/accuracy"] == correct.float().mean()
    gradients = [torch.autograd.grad(each, weights) for each in (updated_loss, loss)]
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    return values


def make_sgan(algorithm=SGAN, **settings):
    """An SGAN whose optimizers and backward pass work without a trainer."""
    torch.manual_seed(0)
    module = algorithm(
        image_shape=SHAPE,
        class_names=CLASSES,
        iterations=5,
        labeled_learning_rate=3e-4,
        unlabeled_learning_rate=1e-3,
        generator_learning_rate=2e-3,
        **settings,
    )
    optimizers = module.configure_optimizers()
    module.trainer = Mock(optimizers=optimizers)
    module.labeled_optimizer, module.unlabeled_optimizer, module.generator_optimizer = optimizers
    module.manual_backward = lambda loss, **options: loss.backward(**options)
    return module


def check_sgan(sgan, improvements, monkeypatch):
    """Float64, equal draws: a module and an independent loop agree after five iterations."""
    sgan.double()
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
        for done, batch in enumerate(sgan.batches(data, 5)):
            monkeypatch.setattr(type(sgan), "global_step", done)
            sgan.on_train_batch_start()
            sgan.training_step(
                batch._replace(
                    labeled_images=batch.labeled_images.double(),
                    unlabeled_images=batch.unlabeled_images.double(),
                ),
                0,
            )
        torch.manual_seed(5)
        for done, factor in enumerate(rate_factors):
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
                if step == 1 and "propagation_weight" in improvements and done < 0.5 * 5:
                    guesses = propagated_labels(data)[unlabeled]
                    of_guess = logits.log_softmax(1)[range(len(guesses)), guesses]
                    loss = loss - 2 * of_guess[guesses >= 0].sum() / len(guesses)
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


def train_here(folder, *overrides):
    """Train a tiny run on digits in this process; returns the content of metrics.json."""
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config = compose("config", [*TINY, "log_interval=1", *overrides])
    text = OmegaConf.to_yaml(config).replace("${hydra:runtime.output_dir}", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(text), folder / "config.yaml", resolve=True)
    return train(folder)


def cut(folder, copy, iteration):
    """A copy of a run that has ended by a kill, its newest checkpoint being of an iteration."""
    shutil.copytree(folder, copy)
    for path in copy.glob("checkpoints/iteration-*"):
        if iteration_of(path.with_name(path.name.removesuffix(".sha256"))) > iteration:
            path.unlink()
    (copy / "metrics.json").unlink()
    return copy
