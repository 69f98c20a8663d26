import copy
from unittest.mock import Mock

import pytest
import torch

from sgan_lab.algorithms.feature_matching import FeatureMatching
from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.data.containers import scale
from sgan_lab.evaluation.classifier import load_classifier
from tests.builders import CLASSES, SHAPE, make_data
from tests.plain import plain_adam
from tests.processes import TINY, check_resumed, read_events, steps, succeed
from tests.steps import changed

DECAY = 0.7
RATE = 2e-3


@pytest.fixture
def model():
    """A module in float64 whose optimizers and backward pass work without a trainer."""
    torch.manual_seed(0)
    module = FeatureMatching(
        SHAPE,
        CLASSES,
        iterations=5,
        learning_rate=RATE,
        beta1=0.5,
        beta2=0.99,
        unlabeled_weight=0.8,
        averaging_rate=1.5,  # a decay of 0.7 over five iterations
    )
    module.prepare(make_data())
    module.double()
    optimizers = module.configure_optimizers()
    module.discriminator_optimizer, module.generator_optimizer = optimizers
    module.manual_backward = lambda loss: loss.backward()
    trainer = Mock(optimizers=optimizers)
    module.trainer = trainer
    torch.set_default_dtype(torch.float64)  # of what it draws
    yield module
    torch.set_default_dtype(torch.float32)


def doubled(batch):
    return batch._make(x.double() if x.is_floating_point() else x for x in batch)


def test_each_step_changes_only_what_it_should(model):
    def snapshot():
        state = {
            "discriminator": dict(model.discriminator.named_parameters()),
            "average": model.averaged_discriminator.state_dict(),
            "generator": model.generator.state_dict(),
            "discriminator moments": model.discriminator_optimizer.state_dict()["state"],
            "generator moments": model.generator_optimizer.state_dict()["state"],
        }
        return copy.deepcopy(state)

    images, labels, unlabeled_images = doubled(next(iter(SemiSupervisedBatches(make_data(), 1))))
    start = snapshot()
    model.discriminator_step(images, labels, unlabeled_images)
    middle = snapshot()
    assert changed(start, middle) == {"discriminator", "average", "discriminator moments"}
    model.discriminator.zero_grad()
    model.generator_step(unlabeled_images)
    assert changed(middle, snapshot()) == {"generator", "generator moments"}
    assert all(weight.grad is None for weight in model.discriminator.parameters())


def linear(x, weights):
    """A layer of weights g v / ||v||, from its (bias, g, v)."""
    b, g, v = weights
    return x @ (g * v / (v**2).sum(1, keepdim=True).sqrt()).T + b


def discriminate(weights, x):
    """Logits and last hidden layer of pixels in [0, 1], noise on."""
    for layer, std in enumerate([0.3, 0.5, 0.5, 0.5, 0.5]):
        x = linear(x + std * torch.randn(x.shape), weights[3 * layer : 3 * layer + 3]).clamp(min=0)
    return x


def classify(weights, features):
    return linear(features + 0.5 * torch.randn(features.shape), weights[15:])


def generate(weights, z):
    """Pixels in [0, 1]."""
    w1, g1, b1, w2, g2, b2, *last = weights
    for w, g, b in ((w1, g1, b1), (w2, g2, b2)):
        h = z @ w.T
        h = (h - h.mean(0)) / (h.var(0, correction=0) + 1e-6).sqrt() * g + b
        z = (1 + h.exp()).log()
    return 1 / (1 + (-linear(z, last)).exp())


def weights_of(network):
    return [w.detach().clone().requires_grad_(w.requires_grad) for w in network.parameters()]


def discriminator_losses(weights, x_labeled, y, x_unlabeled, x_fake):
    """Class loss, unlabeled loss and logits of the unlabeled images; all batches of 8."""
    x = torch.cat([x_labeled, x_unlabeled, x_fake])
    logits = classify(weights, discriminate(weights, x))
    z = logits.exp().sum(1).log()
    class_loss = (z[:8] - logits[range(8), y]).mean()
    unlabeled_loss = -0.5 * z[8:16].mean() + 0.5 * (1 + z[8:16].exp()).log().mean()
    unlabeled_loss = unlabeled_loss + 0.5 * (1 + z[16:].exp()).log().mean()
    return class_loss, unlabeled_loss, logits[8:16]


def gradient_step(loss, weights, moments, rate):
    trained = [weight for weight in weights if weight.requires_grad]
    gradients = torch.autograd.grad(loss, trained)
    with torch.no_grad():
        plain_adam(trained, gradients, moments, rate, beta1=0.5, beta2=0.99, epsilon=1e-4)


def test_iterations_equal_a_loop_written_out_from_the_paper(model, monkeypatch):
    """Float64, equal draws: the module and an independent loop agree over the whole schedule."""
    data = make_data()
    discriminator, generator = weights_of(model.discriminator), weights_of(model.generator)
    moments, history, values = [{}, {}], [], []
    torch.manual_seed(5)
    for done, batch in enumerate(SemiSupervisedBatches(data, 5, unlabeled_batches=2)):
        monkeypatch.setattr(FeatureMatching, "global_step", done)
        model.on_train_batch_start()
        values.append(model.training_step(doubled(batch), 0))
    torch.manual_seed(5)
    for rate in (RATE, RATE, RATE, RATE, RATE * 0.6):  # 3 (1 - 4/5) of it in the last one
        labeled, unlabeled = torch.randint(20, (8,)), torch.randint(50, (16,))
        y = data.labeled.labels[labeled]
        x_labeled = data.labeled.images[labeled].flatten(1).double() / 255
        x_unlabeled = data.unlabeled_images[unlabeled].flatten(1).double() / 255
        with torch.no_grad():
            x_fake = generate(generator, torch.rand(8, 100))
        class_loss, unlabeled_loss, _ = discriminator_losses(
            discriminator, x_labeled, y, x_unlabeled[:8], x_fake
        )
        loss = class_loss + 0.8 * unlabeled_loss
        gradient_step(loss, discriminator, moments[0], rate)
        history.append([weight.detach().clone() for weight in discriminator])
        real = discriminate(discriminator, x_unlabeled[8:]).detach()
        fake = discriminate(discriminator, generate(generator, torch.rand(8, 100)))
        generator_loss = ((fake.mean(0) - real.mean(0)) ** 2).mean()
        gradient_step(generator_loss, generator, moments[1], rate)
        returned = values.pop(0)
        for name, expected in (
            ("labeled/class_loss", class_loss),
            ("unlabeled/discriminator_loss", unlabeled_loss),
            ("generator/loss", generator_loss),
        ):
            torch.testing.assert_close(returned[name], expected.detach(), rtol=1e-5, atol=1e-7)

    # The images that the module takes are floats of 32 bits.
    close = {"rtol": 1e-5, "atol": 1e-6}
    for ours, expected in zip(model.discriminator.parameters(), discriminator, strict=True):
        torch.testing.assert_close(ours, expected, **close)
    for ours, expected in zip(model.generator.parameters(), generator, strict=True):
        torch.testing.assert_close(ours, expected, **close)
    ages = torch.tensor([DECAY ** (4 - i) for i in range(5)], dtype=torch.float64)
    for index, ours in enumerate(model.averaged_discriminator.module.parameters()):
        weights = torch.stack([of_iteration[index] for of_iteration in history], dim=-1)
        torch.testing.assert_close(ours, (weights * ages).sum(-1) / ages.sum(), **close)


def test_the_average_of_long_training_is_the_authors(model):
    """From their start at zero, decay 0.7, nothing is left after 100 iterations."""
    weight = next(model.discriminator.parameters())
    expected = torch.zeros_like(weight)
    torch.manual_seed(0)
    for _ in range(100):
        weight.data = torch.randn_like(weight)
        model.averaged_discriminator.update_parameters(model.discriminator)
        expected = expected + (1 - DECAY) * (weight.data - expected)
    torch.testing.assert_close(
        next(model.averaged_discriminator.parameters()), expected, rtol=0, atol=1e-12
    )


def test_learning_rate_is_constant_for_two_thirds_then_falls_to_zero(model, monkeypatch):
    model.hparams.iterations = 300
    rates = []
    for iteration in range(301):
        monkeypatch.setattr(FeatureMatching, "global_step", iteration)
        model.on_train_batch_start()
        (of_generator,) = [group["lr"] for group in model.generator_optimizer.param_groups]
        (of_discriminator,) = [group["lr"] for group in model.discriminator_optimizer.param_groups]
        assert of_generator == of_discriminator
        rates.append(of_generator)
    assert rates[:201] == [RATE] * 201
    assert rates[250] == pytest.approx(RATE / 2)
    assert rates[300] == 0


def test_a_run_leaves_a_complete_folder_and_goes_on_from_a_checkpoint(command_line, tmp_path):
    options = ["model=feature_matching", "data.batch_size=20", "data.labeled_split=random"]
    options += ["iterations=6", "sample_interval=3", "log_interval=1", "seed=3"]
    options += ["model.averaging_rate=2"]
    succeed(command_line(*TINY, *options, "hydra.run.dir=run"))
    folder = tmp_path / "run"
    events = read_events(folder)
    names = ["real_loss", "fake_loss", "discriminator_loss"]
    for tag in ("labeled/class_loss", "labeled/accuracy", "generator/loss"):
        assert steps(events, tag) == [1, 2, 3, 4, 5, 6]
    for name in names:
        assert steps(events, f"unlabeled/{name}") == [1, 2, 3, 4, 5, 6]
    assert [image.step for image in events.Images("generator/images")] == [3, 6]
    assert (folder / "discriminator_supervised_loss.png").read_bytes().startswith(b"\x89PNG")
    assert "6: class loss " in (folder / "run.log").read_text()

    newest = folder / "checkpoints" / "iteration-6.ckpt"
    module = FeatureMatching.load_from_checkpoint(newest, weights_only=True).eval()
    assert module.averaged_discriminator.n_averaged == 6
    images = scale(make_data().unlabeled_images)
    classifier = load_classifier(newest)
    assert torch.equal(classifier.network(images), module(images))
    assert not torch.equal(classifier.network(images), module.discriminator(images))

    check_resumed(command_line, folder, newest)
