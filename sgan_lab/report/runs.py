"""The runs below some folders as tables: every run, the groups over seeds, paired differences.

Runs that differ in the seed alone form a group. Its interval is the 95 % confidence interval of the
mean by Student's t, mean ± t(0.975, n - 1) s / sqrt(n), which assumes that the values of different
seeds are independent and normally distributed. Runs of equal settings and seed are not independent:
they count once, with their mean. Only finished runs that have the metric enter a mean.
"""

import itertools
import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from sgan_lab.config.files import read_config
from sgan_lab.config.settings import flatten
from sgan_lab.errors import DataError
from sgan_lab.evaluation.metrics import COUNT, METRICS, NUMBER, Metric, scalars, single_metrics
from sgan_lab.jobs.status import FILE, read_status
from sgan_lab.terminal import printable

LABELS = "data.num_labeled"
FOLD = "data.fold"  # of a cross-validation; its folds are one group
# Where a run is stored and how it is shown and computed does not tell its group from another.
NO_SETTINGS = ("seed", "num_threads", "trainer.")  # besides those that `flatten` leaves out
STATE = ("run", "status", "error", "iteration", "last_iteration")
STATISTICS = ("runs", "pairs", "mean", "std", "low", "high", "median", "worst", "losing")
LOST = 0.95  # accuracy of a class below which a part of it counts as lost
OTHER_RESULTS = ("seconds", "date", "warnings")  # besides the metrics


def metric_of(column: str) -> Metric | None:
    """The metric that a column of a table of runs holds."""
    test, _, name = column.split("/")[0].partition("_")
    return METRICS.get(name) if test == "test" else None


def is_result(column: str) -> bool:
    """Whether a column of a table of runs is from metrics.json."""
    return column in OTHER_RESULTS or metric_of(column) is not None


def read_runs(paths: Sequence[Path]) -> pd.DataFrame:
    """All runs in or below some folders, one row each, those that failed or go on included.

    Returns:
        Indexed by folder. Columns `run` (its folder, relative to the path where there is one path
        only); `status`: "finished" for a run with a result, else a state of `sgan_lab.jobs.status`,
        "no result", or "damaged"; `error`, `iteration` and `last_iteration` as in status.json; the
        metrics as `test_<name>` or `test_<name>/<class>`, empty where a run lacks one; `seconds`
        and `date`; `warnings`, such as "identical_images at 800"; and the settings of config.yaml
        by dotted key. `model` is the name of the model's configuration, or of its class where that
        is not known; `model._target_` is the name of its class.

    Raises:
        DataError: there are no runs.
    """
    rows = {}
    for path in paths:
        found = {file.parent for name in (FILE, "config.yaml") for file in path.rglob(name)}
        for folder in sorted(found, key=by_number):
            # .hydra/ holds a config.yaml, too, but is no run.
            if (folder / FILE).is_file() or (folder / "run.log").is_file():
                name = folder.relative_to(path) if len(paths) == 1 else folder
                row = {"run": str(name), **read_run(folder)}
                row = {printable(key): printable(value) for key, value in row.items()}
                rows.setdefault(folder.resolve(), row)
    if not rows:
        raise DataError(f"No runs in {', '.join(map(str, paths))}.")
    runs = pd.DataFrame(list(rows.values()), index=list(rows))
    results = [*(f"test_{name}" for name in single_metrics()), *OTHER_RESULTS]
    # The seed and the model may be missing where all runs are damaged.
    names = dict.fromkeys([*STATE, *results, *filter(is_result, runs), *runs, "seed", "model"])
    return runs.reindex(columns=list(names))


def by_number(path: Path) -> list[str | int]:
    """Key that sorts 10_... after 9_..."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))]


def read_run(folder: Path) -> dict[str, Any]:
    """State, results and settings of one run folder."""
    status = read_status(folder)
    row: dict[str, Any] = {
        "status": status.state,
        "error": status.error and " ".join(status.error.split()),
    }
    if status.iterations:
        row |= {"iteration": status.iteration, "last_iteration": status.iterations}
    has_metrics = (folder / "metrics.json").is_file()
    if status.state == "unknown" and not has_metrics:
        row["status"] = "no result"
    has_result = status.state == "finished" or (status.state == "unknown" and has_metrics)
    file = folder / "config.yaml"
    try:
        if has_result or file.is_file():
            row |= read_settings(file)
            row["model._target_"] = row["model"]  # a configuration's class may have been changed
            row["model"] = model_choice(folder) or row["model"]
        if has_result:
            file = folder / "metrics.json"
            metrics = json.loads(file.read_text())
            if row.get("data.folds", "null") != "null":
                check_confusion(metrics)
            row |= {"status": "finished", **read_results(metrics)}
            if row.get(LABELS) == "null":  # all that there are
                row[LABELS] = metrics["num_labeled"]
    except Exception as error:  # YAML and JSON each have their own
        reason = f"{file.name}: {type(error).__name__}: {error}"
        row |= {"status": "damaged", "error": " ".join(reason.split())}
    return row


def read_results(metrics: dict[str, Any]) -> dict[str, float | str]:
    """The results of a run by column, from metrics.json; those that it lacks are left out.

    Raises:
        ValueError: a value is not possible for its metric.
    """
    results = scalars({f"test_{name}": metrics.get(f"test_{name}") for name in METRICS})
    for column, value in results.items():
        if not metric_of(column).unit.is_possible(value):
            raise ValueError(f"{column} is {value}")
    if "seconds" in metrics:
        if not NUMBER.is_possible(metrics["seconds"]):
            raise ValueError(f"seconds is {metrics['seconds']}")
        results["seconds"] = metrics["seconds"]
    if "date" in metrics:
        results["date"] = datetime.fromisoformat(metrics["date"]).date().isoformat()
    if found := metrics.get("warnings"):
        results["warnings"] = ", ".join(f"{kind} at {found[kind]:,}" for kind in found)
    return results


def check_confusion(metrics: dict[str, Any]) -> None:
    """Raise a ValueError unless a fold has counts of all classes, see `report.cross_validation`."""
    size, rows = len(metrics["test_class_accuracy"]), metrics["test_confusion"]
    counts = [count for row in rows for count in row]
    is_square = len(rows) == size and all(len(row) == size for row in rows)
    if not is_square or not all(COUNT.is_possible(each) and each % 1 == 0 for each in counts):
        raise ValueError("test_confusion is no matrix of counts of the classes")
    if not sum(counts):
        raise ValueError("test_confusion has no images")


def read_settings(file: Path) -> dict[str, Any]:
    """The settings of a run's config.yaml by dotted key, without those that its model ignores."""
    config = read_config(file)
    settings = flatten(config)
    for key, kind in (("seed", int), ("model", str)):
        if type(settings.get(key)) is not kind:
            raise ValueError(f"no {key}")
    if "iterations" not in config["model"]:
        settings.pop("iterations", None)
    return {
        key: "null" if value is None else value
        for key, value in settings.items()
        if not is_result(key)
    }


def model_choice(folder: Path) -> str | None:
    """The model as named on the command line or in an experiment, such as improved_sgan.

    None where Hydra's record of the run is missing or damaged.
    """
    try:
        hydra = read_config(folder / ".hydra" / "hydra.yaml")["hydra"]
        choice = hydra["runtime"]["choices"]["model"]
    except (DataError, KeyError, TypeError):
        return None
    return choice if isinstance(choice, str) else None


def finished_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have a result."""
    return runs[runs.status == "finished"].infer_objects()  # gaps are gone: numbers are numbers


def varied_settings(runs: pd.DataFrame) -> list[str]:
    """The settings that tell groups of finished runs apart, without the seed; at least the model.

    Of settings that vary only together, such as a model and its learning rate, one is enough: the
    one that tells the most groups apart; among equals, the one with the fewest values.
    """
    finished = finished_runs(runs)
    keys = [
        key
        for key in runs.columns
        if key not in (*STATE, "model", FOLD)
        and not is_result(key)
        and not key.startswith(NO_SETTINGS)
    ]
    keys.sort(key=lambda key: finished[key].nunique())

    def groups(settings: list[str]) -> int:
        return len(finished[settings].drop_duplicates())

    varied = ["model"]
    while keys:
        best = max(keys, key=lambda key: groups([*varied, key]))
        if groups([*varied, best]) == groups(varied):
            break
        varied.append(best)
        keys.remove(best)
    return [key for key in runs.columns if key in varied]


def values_by_seed(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric of the finished runs that have it, by varied settings and seed."""
    column, keys = f"test_{metric}", [*varied_settings(runs), "seed"]
    finished = finished_runs(runs).astype({column: float}).dropna(subset=[column])
    return finished.groupby(keys, dropna=False)[column].mean().reset_index()


def num_without(runs: pd.DataFrame, metric: str) -> int:
    """How many finished runs lack a metric."""
    return int(finished_runs(runs)[f"test_{metric}"].isna().sum())


def summarize(runs: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """A metric on the test images of each group of runs, over its seeds.

    Returns:
        The varied settings, and `runs` (seeds), `mean`, `std`, `low`, `high`, `median` and
        `worst`; and, where runs have the accuracy of each class, `losing`: the runs with a class
        whose accuracy is below `LOST`. A group of one has neither a standard deviation nor an
        interval.
    """
    column, settings = f"test_{metric}", varied_settings(runs)
    values = values_by_seed(runs, metric)
    worst = "min" if METRICS[metric].more_is_better else "max"
    ends = values.groupby(settings, dropna=False)[column].agg(median="median", worst=worst)
    summary = statistics(values, column, settings, "runs").merge(ends.reset_index(), on=settings)
    classes = [key for key in runs if key.startswith("test_class_accuracy/")]
    if not classes:
        return summary
    finished = finished_runs(runs).dropna(subset=[column])
    least = finished[classes].astype(float).min(axis=1)
    is_losing = (least < LOST).groupby([finished[key] for key in [*settings, "seed"]], dropna=False)
    losing = is_losing.any().groupby(settings, dropna=False).sum()
    return summary.merge(losing.rename("losing").reset_index(), on=settings)


def class_means(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric that has a value for each class: the mean over seeds, by varied settings and class.

    Returns:
        The varied settings, and a column `test_<name>/<class>` for each class; no rows where no
        run has the metric.
    """
    settings = varied_settings(runs)
    columns = [key for key in runs.columns if key.startswith(f"test_{metric}/")]
    finished = finished_runs(runs).astype(dict.fromkeys(columns, float))
    by_seed = finished.groupby([*settings, "seed"], dropna=False)[columns].mean()
    means = by_seed.groupby(settings, dropna=False).mean().dropna(how="all")
    return in_order(means.reset_index(), settings)


def paired_differences(runs: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """Differences of a metric on the test images between each two models.

    Runs are paired that agree in the seed and in every varied setting that both models have. The
    interval is Student's t over the differences of pairs.

    Returns:
        `difference` (between which models), the varied settings, and `pairs`, `mean`, `std`, `low`
        and `high`; without rows where there are no pairs.
    """
    values, column = values_by_seed(runs, metric), f"test_{metric}"
    tables = []
    for names in itertools.combinations(sorted(values.model.unique()), 2):
        first, second = (
            values[values.model == name].drop(columns="model").dropna(axis=1, how="all")
            for name in names
        )
        shared = [
            key
            for key in first.columns.intersection(second.columns)
            if key != column and not key.startswith("model.")
        ]
        suffixes = tuple(f" of {name}" for name in names)
        pairs = first.merge(second, on=shared, suffixes=suffixes)
        value, other_value = (pairs.pop(f"{column}{suffix}") for suffix in suffixes)
        settings = [key for key in pairs.columns if key != "seed"]
        pairs = pairs.assign(difference=" − ".join(names), **{column: value - other_value})
        tables.append(statistics(pairs, column, ["difference", *settings], "pairs"))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def statistics(table: pd.DataFrame, column: str, settings: list[str], count: str) -> pd.DataFrame:
    """Number, mean, standard deviation and 95 % interval of a column, by settings, in order."""
    groups = table.groupby(settings, dropna=False)[column]
    table = groups.agg(**{count: "size", "mean": "mean", "std": "std"}).reset_index()
    half = stats.t.ppf(0.975, table[count] - 1) * table["std"] / table[count] ** 0.5
    return in_order(table.assign(low=table["mean"] - half, high=table["mean"] + half), settings)


def in_order(table: pd.DataFrame, settings: list[str]) -> pd.DataFrame:
    """A table with its rows sorted by settings; numbers as numbers, gaps last."""
    return table.sort_values(
        settings,
        key=lambda column: column.map(distinct(column).index, na_action="ignore"),
        kind="stable",
    )


def swept_keys(table: pd.DataFrame) -> list[str]:
    """The settings of a table of groups that have more than one value, number of labels first."""
    keys = [key for key in settings_of(table) if table[key].nunique() > 1]
    return sorted(keys, key=lambda key: key != LABELS)


def settings_of(table: pd.DataFrame) -> list[str]:
    """The columns of a table of groups that tell one from another."""
    return [key for key in table.columns if key not in STATISTICS]


def is_number(values: pd.Series) -> bool:
    """Whether all values of a setting are numbers, so that an axis can show them."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def distinct(values: pd.Series) -> list[Any]:
    """The values of a setting, in order: numbers, then texts."""
    return sorted(values.dropna().unique(), key=lambda value: (isinstance(value, str), value))


def setting_text(value: Any) -> str:
    """A setting as on the command line; nothing for one that a run does not have."""
    if pd.isna(value):
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def group_name(settings: dict[str, Any]) -> str:
    """Settings as on the command line, without those that a model does not have."""
    known = {key: value for key, value in settings.items() if not pd.isna(value)}
    return " ".join(
        setting_text(value) if key == "difference" else f"{key}={setting_text(value)}"
        for key, value in known.items()
    )
