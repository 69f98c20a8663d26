"""Report over the runs of one or many sweeps, as `sgan-lab report` or `python -m sgan_lab.report`.

Runs that differ in nothing but the seed form a group. Its interval is the 95 % confidence interval
of the mean by Student's t, mean ± t(0.975, n - 1) s / sqrt(n), which takes the accuracies of
different seeds for independent and normally distributed. Runs without a result, because they failed
or have not finished, are listed and enter no mean.
"""

import argparse
import base64
import html
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import rich
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from rich.table import Table
from scipy import stats

from sgan_lab.errors import DataError, UserError
from sgan_lab.settings import flatten

# What a run is stored on, shown by or computed with does not tell its group from another.
NO_SETTINGS = ("seed", "num_threads", "data.root", "trainer.", "logger.", "callbacks.")
RESULTS = ("test_accuracy", "test_errors", "seconds")
STATISTICS = ("runs", "mean", "std", "low", "high")
METHOD = "Interval: 95 % confidence interval of the mean over seeds, Student's t."


def read_runs(paths: Sequence[Path]) -> pd.DataFrame:
    """All runs in or below some folders, one row each.

    Returns:
        Columns `run` (folder, relative to its path where there is one path only), `status`
        ("finished" or "no result"), `seed`, the results of metrics.json, and the settings of
        config.yaml by dotted key.

    Raises:
        DataError: there are no runs, or a run's file is damaged.
    """
    rows = []
    for path in paths:
        for config in sorted(path.rglob("config.yaml")):
            folder = config.parent
            if not (folder / "run.log").is_file():
                continue
            name = folder.relative_to(path) if len(paths) == 1 else folder
            rows.append({"run": str(name), **read_run(folder)})
    if not rows:
        raise DataError(f"No runs in {', '.join(map(str, paths))}.")
    runs = pd.DataFrame(rows)
    return runs.reindex(columns=[*runs.columns, *(set(RESULTS) - set(runs.columns))])


def read_run(folder: Path) -> dict[str, Any]:
    """Status, settings and results of one run folder.

    Raises:
        DataError: config.yaml or metrics.json is damaged.
    """
    try:
        settings = flatten(OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")))
        metrics_file = folder / "metrics.json"
        if not metrics_file.is_file():
            return {"status": "no result", **settings}
        metrics = json.loads(metrics_file.read_text())
        results = {key: metrics[key] for key in RESULTS}
    except Exception as error:  # YAML and JSON each have their own
        raise DataError(f"{folder} is no readable run: {' '.join(str(error).split())}") from error
    return {"status": "finished", **settings, **results}


def varied_settings(runs: pd.DataFrame) -> list[str]:
    """The settings in which finished runs differ, the seed aside; at least the model."""
    settings = [
        key
        for key in runs.columns
        if key not in ("run", "status", *RESULTS) and not key.startswith(NO_SETTINGS)
    ]
    finished = runs[runs.status == "finished"]
    return [key for key in settings if key == "model" or finished[key].nunique() > 1]


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy of each group of runs: number of runs, mean, standard deviation and interval.

    A group of one run has neither a standard deviation nor an interval.
    """
    finished = runs[runs.status == "finished"]
    groups = finished.groupby(varied_settings(runs), dropna=False).test_accuracy
    summary = groups.agg(runs="size", mean="mean", std="std").reset_index()
    half = stats.t.ppf(0.975, summary.runs - 1) * summary["std"] / summary.runs**0.5
    return summary.assign(low=summary["mean"] - half, high=summary["mean"] + half)


def swept_numbers(summary: pd.DataFrame) -> list[str]:
    """The settings of a summary that can be an axis: numbers with more than one value."""
    return [
        key
        for key in summary.columns
        if key not in STATISTICS
        and pd.api.types.is_numeric_dtype(summary[key])
        and summary[key].nunique() > 1
    ]


def accuracy_figure(summary: pd.DataFrame, key: str) -> Figure:
    """Test accuracy, and error on a logarithmic axis, against a setting: a line a group.

    Lines join the means; bars and bands are the intervals.
    """
    other = [name for name in summary.columns if name not in (key, *STATISTICS)]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    accuracy, error = figure.subplots(1, 2)
    for values, group in summary.dropna(subset=[key]).groupby(other, dropna=False):
        line = group.sort_values(key)
        label = group_name(dict(zip(other, values, strict=True)))
        half = line.high - line["mean"]
        for axes, mean in ((accuracy, line["mean"]), (error, 1 - line["mean"])):
            axes.errorbar(line[key], mean, yerr=half, fmt="o-", capsize=3, label=label)
            axes.fill_between(line[key], mean - half, mean + half, alpha=0.2)
    values = sorted(summary[key].dropna().unique())
    for axes, name in ((accuracy, "Test accuracy"), (error, "Test error")):
        axes.set(xlabel=key, ylabel=name, xscale="log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    error.set_yscale("log", nonpositive="clip")
    accuracy.legend()
    return figure


def group_name(settings: dict[str, Any]) -> str:
    """Settings as on the command line, without those that a model does not have."""
    known = {key: value for key, value in settings.items() if not pd.isna(value)}
    return " ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in known.items()
    )


def write_report(runs: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write runs.csv, summary.csv, report.md and report.html, one page that opens offline.

    Returns:
        The summary of the groups, see `summarize`.
    """
    summary = summarize(runs)
    without_result = runs[runs.status != "finished"][["run", "status"]]
    runs.to_csv(folder / "runs.csv", index=False)
    summary.to_csv(folder / "summary.csv", index=False)
    shown = runs[["run", "status", "seed", *varied_settings(runs), "test_accuracy", "test_errors"]]
    sections = [("Groups of runs", summary), ("Runs", shown)]
    if len(without_result):
        sections.insert(1, ("Runs without a result, in no mean", without_result))

    markdown = "\n\n".join(
        f"## {title}\n\n{table.to_markdown(index=False)}" for title, table in sections
    )
    (folder / "report.md").write_text(f"# Report\n\n{METHOD}\n\n{markdown}\n")
    figures = "".join(
        f"<h2>Test accuracy against {html.escape(key)}</h2>"
        f'<img alt="" src="data:image/png;base64,{png(accuracy_figure(summary, key))}">'
        for key in swept_numbers(summary)
    )
    tables = "".join(
        f"<h2>{html.escape(title)}</h2>{table.to_html(index=False, na_rep='', border=0)}"
        for title, table in sections
    )
    page = PAGE.format(method=html.escape(METHOD), figures=figures, tables=tables)
    (folder / "report.html").write_text(page, encoding="utf-8")
    return summary


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>sgan_lab report</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ border-bottom: 1px solid #ddd; padding: .25rem .75rem; text-align: left }}
img {{ max-width: 100% }}
</style></head>
<body><h1>Report</h1><p>{method}</p>{figures}{tables}</body></html>
"""


def png(figure: Figure) -> str:
    """A figure as base64 text."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return base64.b64encode(buffer.getvalue()).decode()


def print_summary(summary: pd.DataFrame) -> None:
    """The groups of runs on the terminal."""
    table = Table("runs", "of", "mean", "std", "95 % interval", title="Test accuracy")
    for row in summary.to_dict("records"):
        settings = {key: value for key, value in row.items() if key not in STATISTICS}
        spread = []
        if row["runs"] > 1:
            spread = [f"{row['std']:.2%}", f"{row['low']:.2%} to {row['high']:.2%}"]
        table.add_row(str(row["runs"]), group_name(settings), f"{row['mean']:.2%}", *spread)
    rich.print(table)


def main(prog: str | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="folder with runs")
    parser.add_argument("--output", type=Path, default=Path(), help="folder for the report")
    arguments = parser.parse_args()
    try:
        runs = read_runs(arguments.paths)
        arguments.output.mkdir(parents=True, exist_ok=True)
        summary = write_report(runs, arguments.output)
    except (UserError, OSError) as error:
        sys.exit(str(error))
    print_summary(summary)
    rich.print(f"Written: {arguments.output / 'report.html'}")


if __name__ == "__main__":
    main("python -m sgan_lab.report")
