"""Runs in this process: early stopping, the best checkpoint, and code of the user's own."""

import csv
import json
import sys
from unittest.mock import Mock

import pytest
import torch

from sgan_lab.algorithms import consistency
from sgan_lab.errors import ConfigError, UserError
from sgan_lab.evaluation.checkpoint_files import checkpoints, newest_intact
from sgan_lab.evaluation.checksums import damage
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.evaluation.metrics import METRICS
from sgan_lab.report.runs import read_runs
from tests.steps import cut, train_here

pytestmark = pytest.mark.slow

WATCHED = ["+callbacks=[early_stopping,best_checkpoint,learning_rate_monitor]", "logger=csv"]
WATCHED += ["callbacks.early_stopping.patience=2", "callbacks.checkpoint.keep=99"]
WATCHED += ["data.num_validation=100", "data.num_labeled=20", "sample_interval=2"]
WATCHED += ["model=pi_model", "iterations=60", "model.learning_rate=3e-3"]


def result(folder):
    """All that early stopping, the best checkpoint and an interruption have a part in."""
    metrics = json.loads((folder / "metrics.json").read_text())
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    with (folder / "csv" / "metrics.csv").open(newline="") as lines:
        rows = {tuple(sorted(row.items())) for row in csv.DictReader(lines)}
    return {
        "metrics": {key: value for key, value in metrics.items() if "test" in key},
        "iterations": metrics["iterations"],
        "best": (best["global_step"], {key: w.tolist() for key, w in best["state_dict"].items()}),
        "rows": rows,
    }


def test_a_run_that_stops_early_goes_on_from_each_checkpoint_as_if_uninterrupted(tmp_path):
    """Also from its last one, where it had stopped; and from another folder."""
    whole = tmp_path / "whole"
    train_here(whole, *WATCHED)
    expected = result(whole)
    assert expected["iterations"] < 60
    assert expected["best"][0] == expected["iterations"] - 4  # patience
    assert damage(whole / "checkpoints" / "best.ckpt") is None
    newest = newest_intact(whole / "checkpoints")
    assert newest.name == f"iteration-{expected['iterations']}.ckpt"
    assert load_classifier(whole / "checkpoints" / "best.ckpt").discriminator == "strided"
    steps = [int(dict(row)["step"]) for row in expected["rows"] if dict(row)["labeled/class_loss"]]
    assert sorted(steps) == list(range(1, expected["iterations"] + 1))
    rates = [dict(row)["lr-Adam"] for row in expected["rows"] if dict(row)["lr-Adam"]]
    assert len(rates) == len(checkpoints(whole / "checkpoints"))
    for iteration in (2, expected["best"][0], expected["iterations"] - 2, expected["iterations"]):
        copy = cut(whole, tmp_path / str(iteration), iteration)
        if iteration < expected["best"][0]:
            (copy / "checkpoints" / "best.ckpt").unlink()
        train_here(copy, *WATCHED)
        for kind, value in expected.items():
            assert result(copy)[kind] == value, (iteration, kind)


def test_a_metric_that_does_not_exist_cannot_be_watched(tmp_path):
    arguments = ["+callbacks=early_stopping", "callbacks.early_stopping.monitor=validation/acuracy"]
    with pytest.raises(ConfigError, match="monitor=validation/acuracy: must be one of validation/"):
        train_here(tmp_path, *arguments, "data.num_validation=100")


SUGGESTED = ["model=pi_model", "iterations=6", "sample_interval=3", "data.num_labeled=41"]
SUGGESTED += ["data.labeled_split=suggested", "model.propagation_weight=1"]


def test_a_first_run_suggests_labels_and_is_not_run_again(tmp_path, monkeypatch):
    """Resumed within either run, and after both; the first is as a run with random labels."""
    propagated = Mock(wraps=consistency.propagated_labels)
    monkeypatch.setattr(consistency, "propagated_labels", propagated)
    whole, first, random = tmp_path / "whole", tmp_path / "whole/first_half", tmp_path / "random"
    expected = train_here(whole, *SUGGESTED)
    half = ["data.num_labeled=20", "data.labeled_split=random"]
    alone = train_here(random, *SUGGESTED, *half)
    assert (expected["num_labeled"], alone["num_labeled"]) == (41, 20)
    assert json.loads((first / "metrics.json").read_text())["test_loss"] == alone["test_loss"]
    names = [{path.name for path in each.glob("*[!0-9]")} for each in (first, random, whole)]
    assert names[0] == names[1] == names[2] - {"first_half"}  # besides event files
    (whole / "run.log").touch()
    assert list(read_runs([tmp_path]).index) == [whole]  # the first is no run of its own there

    in_first = tmp_path / "in_first"
    cut(first, in_first / "first_half", 3)
    propagated.reset_mock()
    for copy, calls in (
        (in_first, 1),  # at the start of the second
        (cut(whole, tmp_path / "in_second", 3), 1),
        (cut(whole, tmp_path / "after", 6), 1),
    ):
        assert train_here(copy, *SUGGESTED)["test_loss"] == expected["test_loss"]
        assert propagated.call_count == calls
        before, after = ((each / "metrics.json").stat() for each in (first, copy / "first_half"))
        assert (before.st_mtime_ns == after.st_mtime_ns) == (copy != in_first)


def test_the_run_that_suggests_needs_a_checkpoint_in_its_folder(tmp_path):
    elsewhere = f"callbacks.checkpoint.dirpath={tmp_path / 'elsewhere'}"
    with pytest.raises(ConfigError, match=r"callbacks=\[.*must have checkpoint, in the run folder"):
        train_here(tmp_path / "run", *SUGGESTED, elsewhere)
    assert not (tmp_path / "run" / "first_half").exists()


def test_lightning_refuses_in_one_line(tmp_path):
    with pytest.raises(UserError, match="Cannot use `LearningRateMonitor` callback with `Trainer`"):
        train_here(tmp_path, "+callbacks=learning_rate_monitor", "logger=none")


MODULE = """
import torch
from pytorch_lightning import Callback
from torch import nn
from torch.optim import Adam

from sgan_lab.algorithms.base import GAN, Algorithm, SemiSupervisedClassifier
from sgan_lab.evaluation.metrics import FRACTION, metric


@metric(FRACTION, more_is_better=True)
def second_accuracy(evaluation):
    guesses = evaluation.probabilities.topk(2, dim=1).indices
    return (guesses == evaluation.labels.unsqueeze(1)).any(dim=1).double().mean().item()


class Net(nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU())
        self.last = nn.Linear(32, num_classes)

    def features(self, images):
        return self.hidden(images)

    def forward(self, images):
        return self.last(self.features(images))


class Good(SemiSupervisedClassifier):
    def labeled_logits_and_unlabeled_loss(self, batch):
        logits, others = self.logits_of(batch.labeled_images, batch.unlabeled_images)
        return logits, {"unlabeled/loss": others.square().mean()}


class Swapped(Good):
    def labeled_logits_and_unlabeled_loss(self, batch):
        logits, others = self.logits_of(batch.labeled_images, batch.unlabeled_images)
        return others[:3], {"unlabeled/loss": others.mean()}


class Nameless(Good):
    def labeled_logits_and_unlabeled_loss(self, batch):
        logits, values = super().labeled_logits_and_unlabeled_loss(batch)
        return logits, {"loss": values["unlabeled/loss"]}


class Silent(Good):
    def training_step(self, batch, _):
        return None


class Lists(Good):
    def training_step(self, batch, _):
        return super().training_step(batch, _) | {"all": torch.zeros(3)}


class Changing(Good):
    def training_step(self, batch, _):
        return super().training_step(batch, _) | {f"n{self.global_step}": torch.tensor(0.0)}


class Wide(Good):
    def forward(self, images):
        return torch.zeros(len(images), 11)


class Late(Good):
    def labeled_logits_and_unlabeled_loss(self, batch):
        if self.global_step == 3:
            {}["missing"]
        return super().labeled_logits_and_unlabeled_loss(batch)


class Refusing(Good):
    def __init__(self, **training):
        super().__init__(**training)
        raise RuntimeError("not today")


class Painter(GAN):
    def __init__(self, image_shape, class_names, **others):
        super().__init__(image_shape, class_names)
        self.generator = nn.Linear(4, 784)

    def noise(self, num_images):
        return torch.rand(num_images, 4)


class Shout(Callback):
    def on_train_epoch_end(self, trainer, module):
        raise ValueError("too loud")


def load():
    raise OSError("no such cable")
"""
SHORT = ["model=pi_model", "iterations=4", "sample_interval=2", "data.num_labeled=20"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own."""
    (tmp_path / "own_code.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_code", raising=False)
    yield tmp_path / "run"
    METRICS.pop("second_accuracy", None)


STEP = "training_step must return a dict of scalar tensors"
LOGITS = "labeled_logits_and_unlabeled_loss must return logits (N, classes)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["Swapped"], f"model._target_=own_code.Swapped: {LOGITS}"),
        (["Nameless"], f"model._target_=own_code.Nameless: {LOGITS}"),
        (["Silent"], f"model._target_=own_code.Silent: {STEP}"),
        (["Lists"], f"model._target_=own_code.Lists: {STEP}"),
        (["Changing"], f"model._target_=own_code.Changing: {STEP}"),
        (["Wide"], "its logits of 2 images must have the shape (2, 10), not (2, 11)"),
        (["Late"], "own_code.Late.labeled_logits_and_unlabeled_loss (own_code.py, line"),
        (["Refusing"], "own_code.Refusing.__init__ (own_code.py, line"),
        (["Painter"], "generated images of 2 images must have the shape (2, 1, 28, 28), not (2, "),
        (["Good", "+callbacks.shout._target_=own_code.Shout"], "own_code.Shout.on_train_epoch_end"),
        (["Good", "metrics=[own_code.load]"], "metrics=own_code.load: must be a function with"),
        (["Good", "data=own", "data.source._target_=own_code.load"], "own_code.load (own_code.py"),
    ],
)
def test_an_error_in_own_code_names_it_and_leaves_the_traceback(own, changes, message):
    name, *overrides = changes
    target = ["model=pseudo_label", f"model._target_=own_code.{name}", "~model.threshold"]
    with pytest.raises(UserError) as caught:
        train_here(own, *SHORT[1:], *target, "logger=none", *overrides)
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 0
    if "The traceback is in" in str(caught.value):
        assert "Traceback (most recent call last)" in (own / "run.log").read_text()


@pytest.mark.parametrize("algorithm", ["supervised", "sgan", "improved_sgan", "feature_matching"])
def test_an_own_network_and_metric_are_of_every_algorithm(own, algorithm):
    arguments = ["model.epochs=1"] if algorithm == "supervised" else SHORT[1:]
    arguments += [f"model={algorithm}", "model.discriminator=own_code.Net", "logger=none"]
    metrics = train_here(own, *arguments, "metrics=[own_code.second_accuracy]")
    assert metrics["test_second_accuracy"] >= metrics["test_accuracy"]
    checkpoint = newest_intact(own / "checkpoints")
    with pytest.raises(UserError, match=r"has the network own_code\.Net, which is not of sgan_lab"):
        load_classifier(checkpoint)
    assert load_classifier(checkpoint, ["own_code"]).discriminator == "own_code.Net"
    (own / "metrics.json").unlink()
    assert train_here(own, *arguments)["test_loss"] == metrics["test_loss"]  # resumed
