"""The command `sgan-lab report`: one page over the runs of sweeps, with tables and figures.

It writes report.html, which opens offline, report.md with figures/, and the tables as CSV.
"""

import argparse
import base64
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
import matplotlib
import pandas as pd
import rich
from matplotlib.figure import Figure
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from sgan_lab.evaluation.metrics import METRICS, Unit, check_metric, single_metrics, title
from sgan_lab.report.cross_validation import NBSP, POOLING, cross_validations
from sgan_lab.report.events import mean_curves, read_events
from sgan_lab.report.figures import curves_figure, difference_figure, metric_figure, samples_figure
from sgan_lab.report.runs import (
    LABELS,
    LOST,
    class_means,
    distinct,
    finished_runs,
    group_name,
    in_order,
    num_without,
    paired_differences,
    read_runs,
    setting_text,
    settings_of,
    summarize,
    swept_keys,
    varied_settings,
)
from sgan_lab.terminal import csv_cell

METHOD = (
    "Mean, standard deviation (n − 1) and 95 % confidence interval of the mean over seeds: "
    "mean ± t(0.975, n − 1) · std / √n, Student's t, which assumes that seeds are independent and "
    "values normally distributed, and knows no bounds. Runs of equal settings and seed count once, "
    "with their mean. Runs without a result enter no mean. Settings that vary only together with "
    "one that is shown are left out; runs.csv has them all. Figures cut very long intervals."
)
PAIRING = (
    "Difference between runs that agree in the seed and in every varied setting that both models "
    "have; the interval is Student's t over the pairs. Unit: "
)
EXAMPLE = """\
examples:
  sgan-lab report outputs/multirun/<date>/* --output report
  sgan-lab report outputs --output report --metric macro_f1
"""
LOSING = f"runs with a class below {LOST:.0%}"
BANDS = "Mean over seeds, the band from the least to the greatest run; binned along iterations."


class Picture(NamedTuple):
    """A figure with the name of its file and a description in words."""

    name: str
    alt: str
    figure: Figure


class Section(NamedTuple):
    """A part of the report; the table is of texts.

    A link is a relative URL for the first cell of each row of the table; there may be none.
    """

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    table: pd.DataFrame | None = None
    links: Sequence[str] = ()


def write_report(runs: pd.DataFrame, folder: Path, metric: str = "accuracy") -> None:
    """Write the report over some runs into a folder, which exists, at once as a whole.

    It is report.html, one page that opens offline; report.md with figures/; and runs.csv,
    summary.csv and, where there are two models on equal seeds, differences.csv.
    """
    tables = {"runs": runs, "summary": summarize(runs, metric)}
    differences = paired_differences(runs, metric)
    if len(differences):
        tables["differences"] = differences
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as temporary,
        matplotlib.rc_context({"text.parse_math": False}),  # names may hold a $
    ):
        scratch = Path(temporary)
        for name, table in tables.items():
            table = table.convert_dtypes().map(csv_cell).rename(columns=csv_cell)
            table.to_csv(scratch / f"{name}.csv", index=False)
        sections = report_sections(runs, folder, metric, tables["summary"], differences)
        (scratch / "figures").mkdir()
        images = {}
        for picture in [picture for section in sections for picture in section.pictures]:
            path = scratch / "figures" / picture.name
            picture.figure.savefig(path, dpi=120)
            images[picture.name] = base64.b64encode(path.read_bytes()).decode()
        for name in ("report.html", "report.md"):
            page = render(name, facts=facts(runs, metric), sections=sections, images=images)
            (scratch / name).write_text(page, encoding="utf-8")
        (folder / "figures").mkdir(exist_ok=True)
        for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
            file.replace(folder / file.relative_to(scratch))


def render(template: str, **content: Any) -> str:
    """Fill in a template of this folder; whatever goes into HTML is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["markdown"] = escape_markdown
    return environment.get_template(template).render(**content)


def escape_markdown(text: str) -> str:
    """A text on one line, with all Markdown markup escaped."""
    return re.sub(r"([\\`*<>|\[\]])", r"\\\1", " ".join(text.split()))


def report_sections(
    runs: pd.DataFrame,
    folder: Path,
    metric: str,
    summary: pd.DataFrame,
    differences: pd.DataFrame,
) -> list[Section]:
    """The parts of the report that have something to show."""
    name, unit = f"test {title(metric)}", METRICS[metric].unit
    sections = []
    for key in swept_keys(summary):
        heading, figure = f"{name.capitalize()} against {key}", metric_figure(summary, key, metric)
        picture = Picture(file_name(metric, key), f"{heading}, with 95 % intervals", figure)
        sections.append(Section(heading, pictures=[picture]))
    sections += fold_sections(runs)
    sections.append(Section(f"Groups of runs, {name}", table=shown_statistics(summary, unit)))
    if len(differences):
        pictures = []
        if LABELS in swept_keys(differences):
            alt = f"Paired differences of {name} against {LABELS}, with 95 % intervals"
            figure = difference_figure(differences, LABELS, metric)
            pictures.append(Picture(file_name("difference", LABELS), alt, figure))
        text = PAIRING + (unit.difference or f"that of {name}") + "."
        table = shown_statistics(differences, unit, sign="+")
        sections.append(Section(f"Paired difference, {name}", text, pictures, table))
    return [*sections, *class_sections(runs), *event_sections(runs), *run_sections(runs, folder)]


def fold_sections(runs: pd.DataFrame) -> list[Section]:
    """The pooled predictions of cross-validations, if there are any."""
    if not (found := cross_validations(runs)):
        return []
    import torch

    from sgan_lab.evaluation.plots import confusion_matrix

    pictures = []
    for number, each in enumerate(found):
        figure = confusion_matrix(torch.from_numpy(each.confusion), each.class_names)
        alt = f"Confusion matrix of all folds, {group_name(each.settings)}"
        pictures.append(Picture(f"folds_{number}.png", alt, figure))
    table = pd.DataFrame([each.row() for each in found])
    return [Section("Cross-validation, all folds", POOLING, pictures, table)]


def class_sections(runs: pd.DataFrame) -> list[Section]:
    """A table for each metric that has a value for each class."""
    sections = []
    for name in METRICS:
        means = class_means(runs, name) if METRICS[name].per_class else pd.DataFrame()
        if len(means):
            settings = varied_settings(runs)
            values = means.drop(columns=settings)
            texts = values.map(METRICS[name].unit.text).mask(values.isna(), "")
            table = means[settings].map(setting_text).join(texts)
            table.columns = [key.removeprefix(f"test_{name}/") for key in table.columns]
            sections.append(Section(f"Test {title(name)}, mean over seeds", table=table))
    return sections


def run_sections(runs: pd.DataFrame, folder: Path) -> list[Section]:
    """The runs without a result, if any, and all runs, each with a link to its folder."""
    runs = in_order(runs, [*varied_settings(runs), "seed", "run"])
    links = {run: quote(os.fsencode(os.path.relpath(run, folder.resolve()))) for run in runs.index}
    sections = []
    unfinished = runs[runs.status != "finished"]
    if len(unfinished):
        number = "{:,.0f}".format
        reached = unfinished.iteration.map(number) + f"{NBSP}of{NBSP}"
        reached += unfinished.last_iteration.map(number)
        table = unfinished[["run", "status"]].assign(
            iteration=reached.where(unfinished.iteration.notna(), ""),
            error=unfinished.error.map(setting_text),
        )
        heading = "Runs without a result, in no mean"
        of_unfinished = [links[run] for run in unfinished.index]
        sections.append(Section(heading, table=table, links=of_unfinished))
    shown = runs[["run", "status", "seed", *varied_settings(runs)]].map(setting_text)
    for name in single_metrics():
        values = runs[f"test_{name}"]
        if values.notna().any():
            texts = values.map(METRICS[name].unit.text, na_action="ignore")
            shown[f"test {title(name)}"] = texts.where(values.notna(), "")
    if runs["warnings"].notna().any():
        shown["warnings, at iterations"] = runs["warnings"].map(setting_text)
    return [*sections, Section("Runs", table=shown, links=list(links.values()))]


def event_sections(runs: pd.DataFrame) -> list[Section]:
    """Learning curves of each model, and generated images side by side, from the event files."""
    curves: dict[str, dict[str, pd.DataFrame]] = {}
    samples = {}
    settings, finished = varied_settings(runs), finished_runs(runs)
    hidden = not rich.get_console().is_terminal
    folders = track(finished.index, "Reading curves", transient=True, disable=hidden)
    events = {folder: read_events(folder) for folder in folders}
    for values, group in finished.groupby(settings, dropna=False):
        of_group = dict(zip(settings, values, strict=True))
        points = [events[folder].points for folder in group.index if len(events[folder].points)]
        others = {key: value for key, value in of_group.items() if key != "model"}
        if points:
            curves.setdefault(of_group["model"], {})[group_name(others)] = mean_curves(points)
        lowest = group.seed.idxmin()
        if image := events[lowest].samples:
            which = f"seed {setting_text(group.seed[lowest])}, iteration {image.step:,}"
            samples[f"{group_name(of_group)}, {which}"] = image.encoded_image_string
    sections = []
    for model, lines in curves.items():
        alt = f"Learning curves of {model}, a panel a scalar"
        picture = Picture(file_name("curves", model), alt, curves_figure(lines))
        sections.append(Section(f"Learning curves, {model}", BANDS, [picture]))
    if samples:
        alt = "Generated images of the groups of runs, side by side"
        picture = Picture("samples.png", alt, samples_figure(samples))
        text = "The last ones of a run of each group, that of the lowest seed."
        sections.append(Section("Generated images", text, [picture]))
    return sections


def shown_statistics(table: pd.DataFrame, unit: Unit, sign: str = "") -> pd.DataFrame:
    """A table of groups as text; with the sign "+", one of differences."""
    count = "pairs" if "pairs" in table else "runs"
    shown = table[[*settings_of(table), count]].map(setting_text)
    numbers = (
        table[["mean", "std", "low", "high"]].map(lambda value: unit.text(value, sign)).astype(str)
    )
    numbers["std"] = numbers["std"].str.lstrip("+")
    numbers["95 % interval"] = numbers.low + f"{NBSP}to{NBSP}" + numbers.high
    numbers.loc[table[count] == 1, ["std", "95 % interval"]] = ""
    shown = shown.join(numbers[["mean", "std", "95 % interval"]])
    if "worst" in table:
        shown = shown.join(table[["median", "worst"]].map(unit.text))
    losing = table[["losing"]].map(setting_text) if "losing" in table else pd.DataFrame()
    return shown.join(losing.rename(columns={"losing": LOSING}))


def file_name(kind: str, name: str) -> str:
    """A file name for a figure, whatever a setting may be called."""
    return f"{kind}_{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.png"


def facts(runs: pd.DataFrame, metric: str = "accuracy") -> dict[str, str]:
    """The subject of the report, by heading."""
    states = runs.status.value_counts()
    finished = finished_runs(runs)
    number = f"{len(runs)}: " + ", ".join(f"{states[state]} {state}" for state in states.index)
    if without := num_without(runs, metric):
        number += f"; {without} finished without test {title(metric)}, in no mean"
    if warned := runs["warnings"].notna().sum():
        number += f"; {warned} with warnings"
    swept = {
        key: ", ".join(map(setting_text, distinct(finished[key])))
        for key in [*varied_settings(runs), "seed"]
        if finished[key].nunique() > 1
    }
    sources = finished.reindex(columns=["data", "data.root"]).drop_duplicates()
    data = [
        " ".join(filter(None, map(setting_text, source)))
        for source in sources.itertuples(index=False)
    ]
    dates = distinct(finished.date)
    known = {
        "Runs": number,
        "Data": ", ".join(sorted(set(data))),
        "Iterations": ", ".join(f"{last:,.0f}" for last in distinct(finished.last_iteration)),
        "Date": " to ".join(dict.fromkeys(dates[:1] + dates[-1:])),
        "Swept": "; ".join(f"{key} = {values}" for key, values in swept.items()) or "nothing",
        "Method": METHOD,
    }
    return {heading: fact for heading, fact in known.items() if fact}


def print_summary(runs: pd.DataFrame, metric: str = "accuracy") -> None:
    """Print the groups of runs, a column a setting; nothing where no run has a result.

    In a narrow terminal texts are broken, and no value is cut.
    """
    if finished_runs(runs).empty:
        return
    summary = summarize(runs, metric)
    heading = f"Test {title(metric)}"
    table = Table(title=heading)
    if without := num_without(runs, metric):
        table.caption = f"{without} finished without {heading.lower()}, in no mean"
    settings = settings_of(summary)
    varied = [key for key in settings if summary[key].nunique(dropna=False) > 1] or ["model"]
    for name in short_names(varied):
        table.add_column(escape(name), overflow="fold")
    columns = ["runs", "mean", "std", "95 % interval"]
    shown = shown_statistics(summary, METRICS[metric].unit)[columns]
    for name in shown:
        table.add_column(name, no_wrap=True)
    cells = summary[varied].map(setting_text).map(escape).join(shown)
    for row in cells.itertuples(index=False):
        table.add_row(*row)
    rich.print(table)
    for each in cross_validations(runs):
        row = each.row()
        text = (
            f"{group_name(each.settings)}, {row['folds']} folds, {row['images']} images: accuracy "
            f"{row['accuracy']} ({row['95 % interval']}), balanced {row['balanced accuracy']}"
        )
        rich.print(escape(text))


def short_names(keys: Sequence[str]) -> list[str]:
    """The last part of each dotted key, and of those before it what tells it from the others."""
    names = []
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[start:]) for start in reversed(range(len(parts)))]
        others = [f".{other}" for other in keys if other != key]
        clear = [end for end in ends if not any(each.endswith(f".{end}") for each in others)]
        names.append((clear or [key])[0])
    return names


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="folder with runs")
    parser.add_argument("--output", type=Path, default=Path(), help="folder for the report")
    parser.add_argument(
        "--metric",
        default="accuracy",
        metavar="NAME",
        help=f"what is compared: {', '.join(single_metrics())} (default: accuracy)",
    )
    arguments = parser.parse_args()
    check_metric("--metric", arguments.metric)
    runs = read_runs(arguments.paths)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_report(runs, arguments.output, arguments.metric)
    print_summary(runs, arguments.metric)
    rich.print(f"Written: {escape(str(arguments.output / 'report.html'))}")
