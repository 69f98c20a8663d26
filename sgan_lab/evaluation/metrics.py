"""The metrics of a classifier: what each computes, its unit, and whether more is better.

A function with `@metric` appears everywhere under its name: in metrics.json and evaluation.json, in
the curves on the validation images, in TensorBoard, on the terminal and in the report. This module
imports torch and scikit-learn inside functions only, so that reports read the registry cheaply.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sgan_lab.errors import ConfigError

if TYPE_CHECKING:
    from sgan_lab.evaluation.evaluate import Evaluation

Value = float | int | None | dict[str, float | None]  # a dict holds a value by class name


class Unit(NamedTuple):
    """How the values of a metric are written, and which values it can have.

    Attributes:
        factor: what values are multiplied by before they are written.
        decimals: digits after the point.
        suffix: what follows a value.
        difference: the unit of a difference of two values; empty where it has none.
        low: the least possible value.
        high: the greatest possible value.
    """

    factor: int
    decimals: int
    suffix: str
    difference: str
    low: float
    high: float

    def text(self, value: float, sign: str = "") -> str:
        """A value as text; with the sign "+", a difference of two values."""
        digits = f"{self.factor * value:{sign},.{self.decimals}f}".removesuffix(".0")  # of counts
        return digits if sign else digits + self.suffix

    def is_possible(self, value: Any) -> bool:
        """Whether something read from a file is a finite number in the range of the unit."""
        return type(value) in (int, float) and self.low <= value <= self.high


FRACTION = Unit(100, 2, "%", "percentage points", 0, 1)
COUNT = Unit(1, 1, "", "", 0, sys.float_info.max)
NATS = Unit(1, 4, " nats", "nats", 0, sys.float_info.max)
NUMBER = Unit(1, 4, "", "", -sys.float_info.max, sys.float_info.max)


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        compute: an evaluation to the value; not-a-number stands for a value that is not defined.
        unit: of the value, or of the value of each class.
        more_is_better: whether a greater value is a better one.
        per_class: whether `compute` returns a dict by class name.
    """

    compute: Callable[["Evaluation"], Value]
    unit: Unit
    more_is_better: bool
    per_class: bool = False

    def text(self, value: Value) -> str:
        """A value for the terminal: "91.20%"; of a value by class, the least and the greatest."""
        if isinstance(value, dict):
            known = sorted((each, name) for name, each in value.items() if each is not None)
            ends = dict.fromkeys(known[:1] + known[-1:])
            return " to ".join(f"{self.unit.text(each)} ({name})" for each, name in ends)
        return "" if value is None else self.unit.text(value)


METRICS: dict[str, Metric] = {}


def metric(
    unit: Unit, more_is_better: bool, per_class: bool = False
) -> Callable[[Callable[["Evaluation"], Value]], Callable[["Evaluation"], Value]]:
    """Register a function as a metric under its own name."""

    def register(compute: Callable[["Evaluation"], Value]) -> Callable[["Evaluation"], Value]:
        METRICS[compute.__name__] = Metric(compute, unit, more_is_better, per_class)
        return compute

    return register


@metric(FRACTION, more_is_better=True)
def accuracy(evaluation: "Evaluation") -> float:
    """Correctly classified images, as a fraction of all images."""
    return 1 - errors(evaluation) / len(evaluation.labels)


@metric(COUNT, more_is_better=False)
def errors(evaluation: "Evaluation") -> int:
    """Misclassified images."""
    return int((evaluation.predicted != evaluation.labels).sum())


@metric(NATS, more_is_better=False)
def loss(evaluation: "Evaluation") -> float:
    """Mean cross-entropy."""
    from sgan_lab.losses import class_loss

    return class_loss(evaluation.logits, evaluation.labels).item()


@metric(FRACTION, more_is_better=True, per_class=True)
def class_accuracy(evaluation: "Evaluation") -> dict[str, float]:
    """Correctly classified images of each class, as a fraction of the class; nan without images."""
    from sklearn.metrics import recall_score

    accuracies = recall_score(
        evaluation.labels,
        evaluation.predicted,
        labels=range(len(evaluation.class_names)),
        average=None,
        zero_division=math.nan,
    )
    return dict(zip(evaluation.class_names, accuracies.tolist(), strict=True))


@metric(FRACTION, more_is_better=True)
def balanced_accuracy(evaluation: "Evaluation") -> float:
    """Mean of the class accuracies, over the classes that have images."""
    from sklearn.metrics import recall_score

    present = evaluation.labels.unique()
    recall = recall_score(evaluation.labels, evaluation.predicted, labels=present, average="macro")
    return float(recall)


@metric(FRACTION, more_is_better=True)
def macro_f1(evaluation: "Evaluation") -> float:
    """Mean over classes of F1, the harmonic mean of precision and recall.

    Over the classes that have images. An image that is taken for a class without images counts as
    missed by its own class.
    """
    from sklearn.metrics import f1_score

    present = evaluation.labels.unique()
    return float(f1_score(evaluation.labels, evaluation.predicted, labels=present, average="macro"))


@metric(NUMBER, more_is_better=False)
def calibration_error(evaluation: "Evaluation") -> float:
    """Expected calibration error: the mean absolute gap between confidence and accuracy, 0 to 1.

    The mean is over 15 equal bins of confidence, weighted by their images.
    """
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    probabilities = evaluation.probabilities
    return multiclass_calibration_error(
        # torchmetrics would put a confidence of exactly 1 into a 16th bin.
        probabilities.clamp(max=1 - torch.finfo(probabilities.dtype).eps),
        evaluation.labels,
        probabilities.shape[1],
        n_bins=15,
        norm="l1",
    ).item()


def measure(evaluation: "Evaluation") -> dict[str, Value]:
    """Every registered metric of an evaluation, by name; None for what is not a finite number."""

    def finite(value: Value) -> Value:
        if isinstance(value, dict):
            return {name: finite(each) for name, each in value.items()}
        return value if value is not None and math.isfinite(value) else None

    return {name: finite(metric.compute(evaluation)) for name, metric in METRICS.items()}


def scalars(values: dict[str, Value]) -> dict[str, float]:
    """Metrics as numbers by `<name>`, or `<name>/<class>`; those that are None are left out."""
    numbers = {}
    for name, value in values.items():
        by_class = value.items() if isinstance(value, dict) else [(None, value)]
        for class_name, number in by_class:
            if number is not None:
                numbers[name if class_name is None else f"{name}/{class_name}"] = number
    return numbers


def shown(metrics: dict[str, Any], part: str) -> list[tuple[str, str]]:
    """The registered metrics as label and text, for a terminal.

    Args:
        metrics: values by `<part>_<name>`; those that are missing are left out.
        part: what was evaluated, "test" or "validation".
    """
    return [
        (f"{part} {title(name)}", metric.text(metrics[f"{part}_{name}"]))
        for name, metric in METRICS.items()
        if f"{part}_{name}" in metrics
    ]


def title(name: str) -> str:
    """The name of a metric in words."""
    return name.replace("_", " ")


def single_metrics() -> list[str]:
    """The names of the metrics that are one value, which runs can be compared by."""
    return [name for name, metric in METRICS.items() if not metric.per_class]


def check_metric(key: str, name: str) -> None:
    """Raise a ConfigError, which names the key, for a metric that runs cannot be compared by."""
    if name not in single_metrics():
        raise ConfigError(key, name, f"must be one of {', '.join(single_metrics())}")
