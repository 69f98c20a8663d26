"""The runs below some folders as tables: every run, the groups over seeds, paired differences.

Runs that differ in nothing but the seed form a group. Its interval is the 95 % confidence interval
of the mean by Student's t, mean ± t(0.975, n - 1) s / sqrt(n), which takes the accuracies of
different seeds for independent and normally distributed. Runs of equal settings and seed are no
independent ones: they count once, with their mean. Only finished runs enter a mean.
"""

import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pandas.api.typing import SeriesGroupBy
from scipy import stats

from sgan_lab.config.files import load_config
from sgan_lab.config.settings import flatten
from sgan_lab.errors import DataError
from sgan_lab.jobs.status import FILE, read_status

LABELS = "data.num_labeled"
# What a run is stored on, shown by or computed with does not tell its group from another.
NO_SETTINGS = ("seed", "num_threads", "trainer.", "logger.", "callbacks.", "sweep.", "resume")
STATE = ("run", "status", "error", "iteration", "last_iteration")
RESULTS = ("test_accuracy", "test_errors", "seconds")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but for tabulator and new line


def read_runs(paths: Sequence[Path]) -> pd.DataFrame:
    """All runs in or below some folders, one row each, those that failed or go on included.

    Returns:
        Indexed by folder. Columns `run` (its folder, relative to its path where there is one path
        only); `status`: "finished" for a run with a result, else a state of `sgan_lab.jobs.status`,
        "no result", or "damaged"; `error`, `iteration` and `last_iteration` as of status.json; the
        results of metrics.json; and the settings of config.yaml by dotted key, `model` being the
        name of its configuration, or of its class where that is not known, and `model._target_`
        that of its class.

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
    settings = [key for key in runs.columns if key not in (*STATE, *RESULTS)]
    settings += [key for key in ("seed", "model") if key not in settings]  # all may be damaged
    return runs.reindex(columns=[*STATE, *RESULTS, *settings])


def printable(value: Any) -> Any:
    """A text without what UTF-8 cannot encode, or commands a terminal; else the value."""
    if not isinstance(value, str):
        return value
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value.encode(errors="replace").decode())


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
            for key in RESULTS:
                value = metrics[key]
                if not is_result(value) or (key == "test_accuracy" and value > 1):
                    raise ValueError(f"{key} is {value}")
            row |= {"status": "finished", **{key: metrics[key] for key in RESULTS}}
            if row.get(LABELS) == "null":  # all that there are
                row[LABELS] = metrics["num_labeled"]
    except Exception as error:  # YAML and JSON each have their own
        reason = f"{file.name}: {type(error).__name__}: {error}"
        row |= {"status": "damaged", "error": " ".join(reason.split())}
    return row


def is_result(value: Any) -> bool:
    """Whether a value of metrics.json is a finite number that is not negative."""
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max


def read_settings(file: Path) -> dict[str, Any]:
    """The settings of a run's config.yaml by dotted key, without those that its model ignores."""
    config = OmegaConf.to_container(load_config(file))
    settings = flatten(config)
    for key, kind in (("seed", int), ("model", str)):
        if type(settings.get(key)) is not kind:
            raise ValueError(f"no {key}")
    for key in ("iterations", "sample_interval"):
        if key not in config["model"]:
            settings.pop(key, None)
    return {key: "null" if value is None else value for key, value in settings.items()}


def model_choice(folder: Path) -> str | None:
    """The model as named on the command line or in an experiment, such as improved_sgan.

    None where Hydra's record of the run is missing or damaged.
    """
    try:
        record = load_config(folder / ".hydra" / "hydra.yaml")
        choice = OmegaConf.select(record, "hydra.runtime.choices.model")
    except (DataError, OmegaConfBaseException):
        return None
    return choice if isinstance(choice, str) else None


def finished_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have a result."""
    return runs[runs.status == "finished"].infer_objects()  # gaps are gone: numbers are numbers


def varied_settings(runs: pd.DataFrame) -> list[str]:
    """The settings that tell groups of finished runs apart, the seed aside; at least the model.

    Of settings that vary only together, such as a model and its learning rate, one will do: that
    which tells the most groups apart, of equals that with the fewest values.
    """
    finished = finished_runs(runs)
    keys = [
        key
        for key in runs.columns
        if key not in (*STATE, *RESULTS, "model") and not key.startswith(NO_SETTINGS)
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


def accuracy_by_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of the finished runs by varied settings and seed."""
    groups = finished_runs(runs).groupby([*varied_settings(runs), "seed"], dropna=False)
    return groups.test_accuracy.mean().reset_index()


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of each group of runs over its seeds.

    Returns:
        The varied settings, and `runs` (seeds), `mean`, `std`, `low` and `high`. A group of one
        has neither a standard deviation nor an interval.
    """
    groups = accuracy_by_seed(runs).groupby(varied_settings(runs), dropna=False)
    return statistics(groups.test_accuracy, "runs")


def paired_differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Differences of test accuracy between each two models.

    Runs are paired that agree in the seed and in every varied setting that both models have. The
    interval is Student's t over the differences of pairs.

    Returns:
        `difference` (which), the varied settings, and `pairs`, `mean`, `std`, `low` and `high`;
        without rows where there are no pairs.
    """
    accuracies = accuracy_by_seed(runs)
    tables = []
    for names in itertools.combinations(sorted(accuracies.model.unique()), 2):
        first, second = (
            accuracies[accuracies.model == name].drop(columns="model").dropna(axis=1, how="all")
            for name in names
        )
        shared = [
            key
            for key in first.columns.intersection(second.columns)
            if key != "test_accuracy" and not key.startswith("model.")
        ]
        suffixes = tuple(f" of {name}" for name in names)
        pairs = first.merge(second, on=shared, suffixes=suffixes)
        accuracy, other_accuracy = (pairs.pop(f"test_accuracy{suffix}") for suffix in suffixes)
        settings = [key for key in pairs.columns if key != "seed"]
        pairs = pairs.assign(difference=" − ".join(names), value=accuracy - other_accuracy)
        groups = pairs.groupby(["difference", *settings], dropna=False).value
        tables.append(statistics(groups, "pairs"))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def statistics(groups: SeriesGroupBy, count: str) -> pd.DataFrame:
    """Number, mean, standard deviation and 95 % interval of each group, by Student's t."""
    table = groups.agg(**{count: "size", "mean": "mean", "std": "std"}).reset_index()
    half = stats.t.ppf(0.975, table[count] - 1) * table["std"] / table[count] ** 0.5
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)


def swept_keys(table: pd.DataFrame) -> list[str]:
    """The settings of a table of groups that have more than one value, number of labels first."""
    keys = [key for key in settings_of(table) if table[key].nunique() > 1]
    return sorted(keys, key=lambda key: key != LABELS)


def settings_of(table: pd.DataFrame) -> list[str]:
    """The columns of a table of groups that tell one from another."""
    statistics_ = ("runs", "pairs", "mean", "std", "low", "high")
    return [key for key in table.columns if key not in statistics_]


def is_number(values: pd.Series) -> bool:
    """Whether a setting's values are all numbers, so that an axis can show them."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def distinct(values: pd.Series) -> list[Any]:
    """The values of a setting, in order; text where they are not all numbers."""
    return sorted(values.dropna().unique(), key=None if is_number(values) else str)


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
