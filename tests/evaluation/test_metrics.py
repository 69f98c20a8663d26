import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from sgan_lab.errors import ConfigError
from sgan_lab.evaluation.evaluate import Evaluation
from sgan_lab.evaluation.metrics import (
    COUNT,
    FRACTION,
    METRICS,
    NATS,
    NUMBER,
    Metric,
    check_metric,
    measure,
    scalars,
    shown,
)
from tests.processes import TINY, read_events, steps, succeed


def evaluation_of(predicted, labels, class_names):
    """An evaluation with given predictions."""
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), len(class_names)) * 3.0
    return Evaluation(logits, torch.tensor(labels), class_names)


def test_the_metrics_equal_a_count_by_hand():
    """Class c has no images, but one image is taken for it."""
    evaluation = evaluation_of([0, 1, 1, 1, 2, 0], [0, 0, 1, 1, 1, 1], ["a", "b", "c"])
    metrics = measure(evaluation)
    assert metrics["accuracy"] == 1 - 3 / 6
    assert metrics["errors"] == 3
    right, wrong = math.log(1 + 2 * math.exp(-3)), math.log(math.exp(3) + 2)
    assert metrics["loss"] == pytest.approx((3 * right + 3 * wrong) / 6)
    assert metrics["class_accuracy"] == {"a": 1 / 2, "b": 2 / 4, "c": None}
    assert metrics["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    # F1 = 2 TP / (2 TP + FP + FN)
    assert metrics["macro_f1"] == pytest.approx((2 / (2 + 1 + 1) + 4 / (4 + 1 + 2)) / 2)


def test_balanced_accuracy_is_no_accuracy():
    metrics = measure(evaluation_of([0] * 9 + [0], [0] * 9 + [1], ["a", "b"]))
    assert (metrics["accuracy"], metrics["balanced_accuracy"]) == (0.9, 0.5)


def calibration_error(logits, labels):
    names = [str(label) for label in range(logits.shape[1])]
    return measure(Evaluation(logits, labels, names))["calibration_error"]


def test_calibration_error_equals_a_count_by_hand():
    generator = np.random.default_rng(0)
    logits = generator.normal(scale=0.5, size=(200, 4)).astype(np.float32)
    labels = generator.integers(4, size=200)
    logits[:20] *= 5000  # confidences of exactly 1, many of them wrong ...
    logits[20:40] = [4.5, 0, 0, 0]  # ... in one bin with lower ones that are all right
    labels[20:40] = 0
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0.0
    for index in range(15):
        low, high = index / 15, (index + 1) / 15 if index < 14 else 2
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    found = calibration_error(torch.from_numpy(logits), torch.from_numpy(labels))
    assert found == pytest.approx(expected, abs=1e-5)


def test_logits_in_the_unit_interval_are_not_taken_for_probabilities():
    logits, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    confidence = 1 / (1 + math.exp(-1))
    assert calibration_error(logits, labels) == pytest.approx(confidence - 0.5, abs=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("num_present", [1, 2, 5])
def test_every_metric_is_in_its_range_whatever_classes_are_missing(num_present):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 5, generator=generator) * 9
    labels = torch.randint(num_present, (40,), generator=generator)
    metrics = measure(Evaluation(logits, labels, "abcde"))
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    numbers = scalars(metrics)
    assert len(numbers) == len(METRICS) - 1 + num_present
    for name, value in numbers.items():
        assert METRICS[name.split("/")[0]].unit.is_possible(value)


def test_a_value_that_is_not_a_finite_number_is_none(monkeypatch):
    for value in (math.nan, math.inf):
        monkeypatch.setitem(METRICS, "odd", Metric(lambda _, value=value: value, NUMBER, True))
        metrics = measure(evaluation_of([0], [0], ["a", "b"]))
        assert metrics["odd"] is None
        assert "odd" not in scalars(metrics)
        assert METRICS["odd"].text(None) == ""


@pytest.mark.parametrize(
    ("unit", "value", "text", "difference"),
    [
        (FRACTION, 0.912, "91.20%", "+91.20"),
        (COUNT, 1234, "1,234", "+1,234"),
        (COUNT, 3.25, "3.2", "+3.2"),
        (NATS, 0.5, "0.5000 nats", "+0.5000"),
        (NUMBER, -2.0, "-2.0000", "-2.0000"),
    ],
)
def test_values_are_written_by_their_unit(unit, value, text, difference):
    assert unit.text(value) == text
    assert unit.text(value, "+") == difference


@pytest.mark.parametrize(
    ("unit", "impossible"),
    [
        (FRACTION, [-0.1, 1.1, math.nan, True, "0.5", None]),
        (COUNT, [-1, math.inf, 10**400]),
        (NUMBER, [math.nan, math.inf, {}]),
    ],
)
def test_values_from_files_are_checked_by_their_unit(unit, impossible):
    assert unit.is_possible(0.5)
    assert unit.is_possible(1)
    assert not any(map(unit.is_possible, impossible))


def test_of_the_classes_the_worst_and_the_best_are_shown():
    values = {"cat": 0.5, "dog": None, "emu": 0.25, "fox": 1.0}
    metrics = {"test_class_accuracy": values, "test_errors": 7, "validation_errors": 9}
    assert shown(metrics, "test") == [
        ("test errors", "7"),
        ("test class accuracy", "25.00% (emu) to 100.00% (fox)"),
    ]
    assert METRICS["class_accuracy"].text({"cat": 0.5}) == "50.00% (cat)"
    assert METRICS["class_accuracy"].text({"cat": None}) == ""


def test_a_metric_that_runs_cannot_be_compared_by_is_one_error():
    check_metric("sweep.metric", "macro_f1")
    for name in ("acuracy", "class_accuracy"):
        expected = f"sweep.metric={name}: must be one of accuracy, errors, loss, balanced_accuracy"
        with pytest.raises(ConfigError, match=expected):
            check_metric("sweep.metric", name)


# The command `sgan-lab` with one more metric.
ONE_MORE = """
from sgan_lab.cli import main
from sgan_lab.evaluation.metrics import FRACTION, metric

@metric(FRACTION, more_is_better=True)
def taken_for_zero(evaluation):
    return (evaluation.predicted == 0).double().mean().item()

main()
"""


@pytest.mark.slow
def test_a_registered_metric_appears_everywhere(tmp_path):
    def sgan_lab(*arguments):
        command = [sys.executable, "-c", ONE_MORE, *arguments]
        return succeed(
            subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        )

    settings = ["model=supervised", "model.epochs=3", "data.num_validation=50"]
    trained = sgan_lab("train", *TINY, *settings, "hydra.run.dir=run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    value = metrics["test_taken_for_zero"]
    assert f"test taken for zero │ {value:.2%}" in " ".join(trained.stdout.split())

    events = read_events(tmp_path / "run")
    assert [event.value for event in events.Scalars("test/taken_for_zero")] == [
        pytest.approx(value)
    ]
    curve = events.Scalars("validation/taken_for_zero")
    assert [event.step for event in curve] == steps(events, "validation/accuracy")
    assert curve[-1].value == pytest.approx(metrics["validation_taken_for_zero"])
    hparams = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    assert b"test/taken_for_zero" in hparams

    (checkpoint, *_) = (tmp_path / "run" / "checkpoints").glob("*-12.ckpt")
    evaluated = sgan_lab("evaluate", str(checkpoint))
    written = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert written["taken_for_zero"] == value == np.sum(written["confusion"], axis=0)[0] / 360
    assert f"taken for zero: {value:.2%}" in evaluated.stdout

    reported = sgan_lab("report", "run", "--output", "report", "--metric", "taken_for_zero")
    assert "Test taken for zero" in reported.stdout
    assert f"{value:.2%}" in reported.stdout
    for name in ("report.html", "report.md"):
        page = (tmp_path / "report" / name).read_text()
        assert "Groups of runs, test taken for zero" in page
        assert page.count(f"{value:.2%}") >= 2  # the group's mean and the run's value
