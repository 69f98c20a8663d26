"""What the algorithms without a GAN share, and runs of theirs and of the improved models.

Their losses are in tests of their own.
"""

import json
import signal

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf

from sgan_lab.algorithms.pseudo_label import PseudoLabel
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.data.containers import scale
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.evaluation.evaluate import evaluate
from sgan_lab.evaluation.export import export
from sgan_lab.evaluation.metrics import measure
from sgan_lab.jobs import worker
from sgan_lab.report.runs import read_runs
from sgan_lab.signals import Interrupted
from tests.builders import SHAPE, digits, make_data
from tests.plain import plain_adam
from tests.processes import TINY, read_events, steps
from tests.steps import make_sgan, make_step

SCALARS = {
    "pseudo_label": ["unlabeled/loss", "unlabeled/confident"],
    "pi_model": ["unlabeled/loss"],
    "mean_teacher": ["unlabeled/loss"],
    "fixmatch": ["unlabeled/loss", "unlabeled/confident"],
    "freematch": ["unlabeled/loss", "unlabeled/confident", "unlabeled/threshold"],
    "improved_pi_model": ["unlabeled/loss"],
    "vat": ["unlabeled/loss", "unlabeled/entropy"],
    "margin_gan": ["unlabeled/loss", "unlabeled/real_loss", "generator/loss"],
    "improved_sgan": ["unlabeled/real_loss", "unlabeled/fake_loss", "generator/loss"],
}


def prepare(folder, name):
    """Leave the configuration of a run of six iterations in its folder."""
    settings = [f"model={name}", "iterations=6", "sample_interval=3", "log_interval=1"]
    settings += ["data/augmentation=digits", f"logger.tensorboard.save_dir={folder}", "seed=3"]
    settings += [f"callbacks.checkpoint.dirpath={folder}/checkpoints"]
    if name.startswith("improved"):
        settings.append("model.discriminator=pooling")
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config = compose("config", [*TINY, *settings])
    folder.mkdir()
    OmegaConf.resolve(config)
    OmegaConf.save(config, folder / "config.yaml")
    return config


def interrupted(training_step):
    """A training step that gets SIGINT in the second iteration, within an interval."""

    def step(module, batch, index):
        if module.global_step == 1:
            signal.raise_signal(signal.SIGINT)
        return training_step(module, batch, index)

    return step


@pytest.mark.slow
@pytest.mark.parametrize("name", SCALARS)
def test_a_run_leaves_a_complete_folder_and_goes_on_bit_for_bit(tmp_path, monkeypatch, name):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    config = prepare(whole, name)
    metrics = worker.run(whole)
    events = read_events(whole)
    for tag in ("labeled/class_loss", "labeled/accuracy", *SCALARS[name]):
        assert steps(events, tag) == [1, 2, 3, 4, 5, 6]
    assert ("generator/images" in events.Tags()["images"]) == ("generator/loss" in SCALARS[name])
    assert "6: class loss " in (whole / "run.log").read_text()
    assert (whole / "discriminator_supervised_loss.png").is_file()
    assert read_runs([whole]).test_accuracy.tolist() == [metrics["test_accuracy"]]

    newest = whole / "checkpoints" / "iteration-6.ckpt"
    module = get_class(config.model._target_).load_from_checkpoint(newest, weights_only=True)
    images = scale(make_data().unlabeled_images)
    classifier = load_classifier(newest)
    assert torch.equal(classifier.network(images), module.eval()(images))
    test = digits(100, "first", 32).test
    evaluated = measure(evaluate(classifier.network, test, classifier.class_names))
    assert evaluated["loss"] == pytest.approx(metrics["test_loss"])
    export(classifier, "safetensors", tmp_path / "classifier.safetensors")

    prepare(cut, name)
    with monkeypatch.context() as patch:
        patch.setattr(type(module), "training_step", interrupted(type(module).training_step))
        with pytest.raises(Interrupted):
            worker.run(cut)
    assert [path.name for path in checkpoints(cut / "checkpoints")] == ["iteration-2.ckpt"]
    assert worker.run(cut)["test_loss"] == metrics["test_loss"]
    contents = [
        torch.load(folder / "checkpoints" / newest.name, weights_only=True)
        for folder in (whole, cut)
    ]
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(*[content[key] for content in contents], rtol=0, atol=0)
    histories = [content["callbacks"]["History"]["values"] for content in contents]
    torch.testing.assert_close(*histories, rtol=0, atol=0)
    assert json.loads((cut / "metrics.json").read_text())["iterations"] == 6


@pytest.mark.parametrize("strength", [0, 1, 2.5])
def test_logits_are_adjusted_by_how_frequent_a_class_is(strength, monkeypatch):
    settings = {"threshold": 0.9, "logit_adjustment": strength}
    module, batch = make_step(PseudoLabel, monkeypatch, **settings)
    labels = make_data().labeled.labels.tolist()
    frequencies = [max(1, labels.count(label)) / 20 for label in range(10)]  # one at least
    logits = module.discriminator(batch.labeled_images).detach()
    odds = logits.exp() * torch.tensor(frequencies).double() ** strength
    expected = -(odds[range(8), batch.labels] / odds.sum(1)).log().mean()
    torch.testing.assert_close(module.class_loss(logits, batch.labels), expected)


def test_a_step_is_adams_along_the_gradient_of_the_loss(monkeypatch):
    module, batch = make_step(PseudoLabel, monkeypatch, threshold=0.1)
    weights = [weight.detach().clone() for weight in module.discriminator.parameters()]
    torch.manual_seed(5)
    module.training_step(batch, 0)
    loss, _ = module.update.call_args.args
    gradients = torch.autograd.grad(loss, list(module.discriminator.parameters()))
    plain_adam(weights, gradients, {}, 1e-3)

    del module.update  # that of `make_step`
    (optimizer,) = module.trainer.optimizers
    module.optimizers = lambda: optimizer
    module.manual_backward = lambda loss: loss.backward()
    torch.manual_seed(5)
    module.training_step(batch, 0)
    for weight, expected in zip(module.discriminator.parameters(), weights, strict=True):
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-6, atol=1e-9)


def test_in_mixed_precision_a_pass_has_the_weights_of_the_last_update():
    sgan = make_sgan()
    images, labels = torch.rand(8, *SHAPE), torch.arange(8)
    with torch.autocast("cpu", torch.bfloat16):
        sgan.labeled_step(images, labels)
        logits = sgan.eval()(images)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(logits, sgan(images), rtol=0, atol=0)


def test_optimizer_is_kerass_adam_with_the_decay(monkeypatch):
    module, _ = make_step(PseudoLabel, monkeypatch, threshold=0.9)
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.defaults["lr"], optimizer.defaults["eps"]) == (1e-3, 1e-7)
    assert module.learning_rate_decay == 0.2
