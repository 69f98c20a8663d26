"""Report over the runs of sweeps, as `sgan-lab report` or `python -m sgan_lab.report.page`."""

import argparse
import base64
import html
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pandas as pd
import rich
from matplotlib.figure import Figure
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from sgan_lab.errors import UserError
from sgan_lab.report.events import Events, mean_curves, read_events
from sgan_lab.report.figures import (
    accuracy_figure,
    curves_figure,
    difference_figure,
    samples_figure,
)
from sgan_lab.report.runs import (
    LABELS,
    distinct,
    finished_runs,
    group_name,
    paired_differences,
    read_runs,
    setting_text,
    settings_of,
    summarize,
    swept_keys,
    varied_settings,
)

METHOD = (
    "Mean, standard deviation (n − 1) and 95 % confidence interval of the mean over seeds: "
    "mean ± t(0.975, n − 1) · std / √n, Student's t, which takes seeds for independent and "
    "accuracies for normally distributed, and knows no bounds at 0 and 100 %. Runs of equal "
    "settings and seed count once, with their mean. Runs without a result enter no mean. Settings "
    "that vary only together with one that is shown are left out; runs.csv has them all."
)
PAIRING = (
    "Difference of test accuracy, in percentage points, between runs that agree in the seed and in "
    "every varied setting that both models have; the interval is Student's t over the pairs."
)
NBSP = "\N{NO-BREAK SPACE}"
BANDS = "Mean over seeds, the band from the least to the greatest run; binned along iterations."


class Picture(NamedTuple):
    """A figure with the name of its file and what it shows, in words."""

    name: str
    alt: str
    figure: Figure


class Section(NamedTuple):
    """A part of the report."""

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    table: pd.DataFrame | None = None


def write_report(runs: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write the report over some runs into a folder, at once as a whole.

    It is report.html, one page that opens offline; report.md with figures/; and runs.csv,
    summary.csv and, where there are two models on equal seeds, differences.csv.

    Args:
        runs: see `runs.read_runs`.
        folder: for the report; it exists.

    Returns:
        The summary of the groups, see `runs.summarize`.

    Raises:
        OSError: it cannot be written.
    """
    tables = {"runs": runs, "summary": summarize(runs)}
    differences = paired_differences(runs)
    if len(differences):
        tables["differences"] = differences
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as temporary,
        matplotlib.rc_context({"text.parse_math": False}),  # names may hold a $
    ):
        scratch = Path(temporary)
        for name, table in tables.items():
            table.convert_dtypes().to_csv(scratch / f"{name}.csv", index=False)
        sections = report_sections(runs, tables["summary"], differences)
        (scratch / "figures").mkdir()
        for picture in [picture for section in sections for picture in section.pictures]:
            picture.figure.savefig(scratch / "figures" / picture.name, dpi=120)
        (scratch / "report.md").write_text(markdown(runs, sections), encoding="utf-8")
        page = html_page(runs, sections, scratch / "figures")
        (scratch / "report.html").write_text(page, encoding="utf-8")
        (folder / "figures").mkdir(exist_ok=True)
        for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
            file.replace(folder / file.relative_to(scratch))
    return tables["summary"]


def report_sections(
    runs: pd.DataFrame, summary: pd.DataFrame, differences: pd.DataFrame
) -> list[Section]:
    """The parts of the report, those that have something to show."""
    sections = [
        Section(f"Test accuracy against {key}", pictures=[accuracy_picture(summary, key)])
        for key in swept_keys(summary)
    ]
    sections.append(Section("Groups of runs", table=shown_statistics(summary)))
    if len(differences):
        pictures = []
        if LABELS in swept_keys(differences):
            alt = f"Paired differences of test accuracy against {LABELS}, with 95 % intervals"
            figure = difference_figure(differences, LABELS)
            pictures.append(Picture(file_name("difference", LABELS), alt, figure))
        table = shown_statistics(differences, "{:+.2f}")
        sections.append(Section("Paired difference", PAIRING, pictures, table))
    sections += event_sections(runs)
    unfinished = runs[runs.status != "finished"]
    if len(unfinished):
        number = "{:,.0f}".format
        reached = unfinished.iteration.map(number) + f"{NBSP}of{NBSP}"
        reached += unfinished.last_iteration.map(number)
        table = unfinished[["run", "status"]].assign(
            iteration=reached.where(unfinished.iteration.notna(), ""),
            error=unfinished.error.map(setting_text),
        )
        sections.append(Section("Runs without a result, in no mean", table=table))
    shown = runs[["run", "status", "seed", *varied_settings(runs)]].map(setting_text)
    shown["test accuracy"] = runs.test_accuracy.map("{:.2%}".format).where(
        shown["status"] == "finished", ""
    )
    shown["errors"] = runs.test_errors.map(setting_text)
    return [*sections, Section("Runs", table=shown)]


def accuracy_picture(summary: pd.DataFrame, key: str) -> Picture:
    """Test accuracy and error against a setting."""
    alt = f"Test accuracy and error against {key}, with 95 % intervals"
    return Picture(file_name("accuracy", key), alt, accuracy_figure(summary, key))


def event_sections(runs: pd.DataFrame) -> list[Section]:
    """Learning curves of each model, and generated images side by side, from the event files."""
    curves: dict[str, dict[str, pd.DataFrame]] = {}
    samples = {}
    settings, finished = varied_settings(runs), finished_runs(runs)
    events = read_all_events(finished)
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


def read_all_events(runs: pd.DataFrame) -> dict[Path, Events]:
    """The events of some runs by folder, with a progress bar on a terminal."""
    console = rich.get_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        return {
            folder: read_events(folder)
            for folder in progress.track(runs.index, description="Reading curves")
        }


def shown_statistics(table: pd.DataFrame, form: str = "{:.2f}%") -> pd.DataFrame:
    """A table of groups as text, its statistics in percent."""
    count = "pairs" if "pairs" in table else "runs"
    shown = table[[*settings_of(table), count]].map(setting_text)
    numbers = (100 * table[["mean", "std", "low", "high"]]).map(form.format).astype(str)
    numbers["std"] = numbers["std"].str.lstrip("+")
    numbers["95 % interval"] = numbers.low + f"{NBSP}to{NBSP}" + numbers.high
    numbers.loc[table[count] == 1, ["std", "95 % interval"]] = ""
    return shown.join(numbers[["mean", "std", "95 % interval"]])


def file_name(kind: str, name: str) -> str:
    """A file name for a figure, whatever a setting may be called."""
    return f"{kind}_{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.png"


def facts(runs: pd.DataFrame) -> dict[str, str]:
    """What the report is about, by heading."""
    states = runs.status.value_counts()
    finished = finished_runs(runs)
    swept = {
        key: ", ".join(map(setting_text, distinct(finished[key])))
        for key in [*varied_settings(runs), "seed"]
        if finished[key].nunique() > 1
    }
    return {
        "Runs": f"{len(runs)}: " + ", ".join(f"{states[state]} {state}" for state in states.index),
        "Swept": "; ".join(f"{key} = {values}" for key, values in swept.items()) or "nothing",
        "Method": METHOD,
    }


def markdown(runs: pd.DataFrame, sections: list[Section]) -> str:
    """The report as Markdown that shows the figures in figures/."""

    def text(value: str) -> str:
        return re.sub(r"([\\`*<>|\[\]])", r"\\\1", " ".join(value.split()))

    parts = ["# Report"]
    parts += [f"{heading}: {text(fact)}" for heading, fact in facts(runs).items()]
    for section in sections:
        parts += [f"## {text(section.title)}", text(section.text)]
        parts += [f"![{text(picture.alt)}](figures/{picture.name})" for picture in section.pictures]
        if section.table is not None:
            table = section.table.map(text).rename(columns=text)
            parts.append(table.to_markdown(index=False, disable_numparse=True))
    return "\n\n".join(filter(None, parts)) + "\n"


def html_page(runs: pd.DataFrame, sections: list[Section], figures: Path) -> str:
    """The report as one page that holds its figures."""
    parts = [
        f"<dt>{heading}</dt><dd>{html.escape(fact)}</dd>" for heading, fact in facts(runs).items()
    ]
    parts = ["<h1>Report</h1>", "<dl>", *parts, "</dl>"]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        if section.text:
            parts.append(f"<p>{html.escape(section.text)}</p>")
        for picture in section.pictures:
            image = base64.b64encode((figures / picture.name).read_bytes()).decode()
            alt, width = html.escape(picture.alt), 96 * picture.figure.get_figwidth()
            source = f"data:image/png;base64,{image}"
            parts.append(f'<img alt="{alt}" width="{width:.0f}" src="{source}">')
        if section.table is not None:
            parts.append(f"<div>{section.table.to_html(index=False, border=0)}</div>")
    return PAGE.format(body="\n".join(parts))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>sgan_lab report</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; padding: 0 1rem;
  max-width: 80rem }}
h2 {{ margin-top: 2.5rem; border-bottom: 2px solid #ddd }}
dl {{ display: grid; grid-template-columns: max-content auto; gap: .25rem 1rem }}
dt {{ font-weight: 600 }} dd {{ margin: 0 }}
div {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums }}
th, td {{ border-bottom: 1px solid #ddd; padding: .2rem .75rem; text-align: left;
  vertical-align: top; overflow-wrap: break-word }}
td:first-child {{ overflow-wrap: anywhere; min-width: 10rem }}
th {{ background: #f4f4f4; overflow-wrap: anywhere; min-width: 3rem }}
tbody tr:hover {{ background: #fafae6 }}
img {{ max-width: 100% }}
</style></head>
<body>
{body}
</body></html>
"""


def print_summary(summary: pd.DataFrame) -> None:
    """The groups of runs on the terminal."""
    table = Table("runs", "of", "mean", "std", "95 % interval", title="Test accuracy")
    shown = shown_statistics(summary)
    for settings, row in zip(
        summary[settings_of(summary)].to_dict("records"), shown.to_dict("records"), strict=True
    ):
        table.add_row(
            row["runs"], escape(group_name(settings)), row["mean"], row["std"], row["95 % interval"]
        )
    rich.print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
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
    rich.print(f"Written: {escape(str(arguments.output / 'report.html'))}")
