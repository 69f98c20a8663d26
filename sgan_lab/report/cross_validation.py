"""The predictions of all folds of a cross-validation, pooled."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from sgan_lab.evaluation.metrics import FRACTION
from sgan_lab.report.runs import FOLD, finished_runs, in_order, setting_text, varied_settings

FOLDS = "data.folds"
POOLING = (
    "Each labeled image is tested once, by the run that has not learned from it. The interval of "
    "the accuracy is Wilson's, 95 %: it takes the predictions as independent, and does not know "
    "how much another training would change them."
)
NBSP = "\N{NO-BREAK SPACE}"


class Pooled(NamedTuple):
    """A cross-validation: its varied settings, seed and number of folds, and those that are pooled.

    The confusion matrix has counts, (true class, predicted class).
    """

    settings: dict[str, Any]
    finished: int
    class_names: list[str]
    confusion: np.ndarray

    def row(self) -> dict[str, str]:
        """The results as texts by heading."""
        images, correct = int(self.confusion.sum()), int(np.trace(self.confusion))
        interval = binomtest(correct, images).proportion_ci(method="wilson")
        of_class = self.confusion.sum(axis=1)
        recall = np.diag(self.confusion)[of_class > 0] / of_class[of_class > 0]
        return {
            **{name: setting_text(value) for name, value in self.settings.items() if name != FOLDS},
            "folds": f"{self.finished} of {setting_text(self.settings[FOLDS])}",
            "images": f"{images:,}",
            "accuracy": FRACTION.text(correct / images),
            "95 % interval": f"{FRACTION.text(interval.low)}{NBSP}to{NBSP}"
            f"{FRACTION.text(interval.high)}",
            "balanced accuracy": FRACTION.text(recall.mean()),
        }


def cross_validations(runs: pd.DataFrame) -> list[Pooled]:
    """The cross-validations among some runs, by varied settings and seed."""
    if FOLDS not in runs or FOLD not in runs:
        return []
    finished = finished_runs(runs)
    finished = finished[pd.to_numeric(finished[FOLDS], errors="coerce").notna()]
    keys = list(dict.fromkeys([*varied_settings(runs), "seed", FOLDS]))
    found = []
    for values, group in in_order(finished, keys).groupby(keys, dropna=False, sort=False):
        folds = [read_confusion(folder) for folder in group.drop_duplicates(FOLD).index]
        names = folds[0][0]
        if all(each[0] == names for each in folds):
            total = sum(each[1] for each in folds)
            found.append(Pooled(dict(zip(keys, values, strict=True)), len(folds), names, total))
    return found


def read_confusion(folder: Path) -> tuple[list[str], np.ndarray]:
    """Class names and counts of a run's test images, from metrics.json."""
    metrics = json.loads((folder / "metrics.json").read_text())
    return list(metrics["test_class_accuracy"]), np.array(metrics["test_confusion"])
