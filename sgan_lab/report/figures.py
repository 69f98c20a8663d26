"""Figures over many runs, as objects to be saved. They need no display and no torch."""

import io
import itertools
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from sgan_lab.evaluation.metrics import FRACTION, METRICS, title
from sgan_lab.report.runs import distinct, group_name, is_number, setting_text, settings_of

MANY = 10  # more lines than colors that can be told apart, or more ticks than fit
CHARACTERS = 50  # of the names along an axis that fit beside each other
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.4g}%")
PLAIN = FuncFormatter(lambda value, _: f"{value:.4g}")


def metric_figure(summary: pd.DataFrame, key: str, metric: str) -> Figure:
    """A metric on the test images against a setting, of a table as `runs.summarize` makes it.

    It has a line with its intervals as a band for each combination of the other settings; separate
    dots with intervals where the setting is not a number. A fraction that is better when greater
    has a second panel: its distance from 1 on a logarithmic axis, as test error beside test
    accuracy.
    """
    unit, name = METRICS[metric].unit, f"test {title(metric)}"
    has_error = unit is FRACTION and METRICS[metric].more_is_better
    figure = Figure(figsize=(11 if has_error else 7, 4.6), layout="constrained")
    panels = figure.subplots(1, 1 + has_error, squeeze=False).flatten()
    summary = summary.dropna(subset=[key])
    draw_groups(panels[0], summary, key)
    limit_axis(panels[0], summary)
    bottom, top = panels[0].get_ylim()
    bottom, top = max(bottom, unit.low), min(top, 1.01 * unit.high)
    panels[0].set(ylabel=name, ylim=(bottom, top))
    if has_error:
        errors = summary.assign(
            mean=1 - summary["mean"], low=1 - summary.high, high=1 - summary.low
        )
        draw_groups(panels[1], errors, key)
        panels[1].set(ylabel=f"1 − {name}")
        least = errors[["mean", "low"]].where(lambda values: values > 0).min()
        if least["mean"] > 0:  # not where every run is without error
            panels[1].set_yscale("log", nonpositive="clip")
            # An interval that comes close to 0, or crosses it, would take all of the axis.
            panels[1].set_ylim(max(0.8 * least.min(), 0.25 * least["mean"]), 1 - bottom)
            label_decades(panels[1].yaxis)
    if unit is FRACTION:
        for axes in panels:
            axes.yaxis.set_major_formatter(PERCENT)
    add_legend(figure, panels[0])
    return figure


def difference_figure(differences: pd.DataFrame, key: str, metric: str) -> Figure:
    """Paired differences of a metric against a setting; see `runs.paired_differences`."""
    unit = METRICS[metric].unit
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="black", linewidth=1)
    differences = differences.dropna(subset=[key])
    draw_groups(axes, differences, key)
    limit_axis(axes, differences)
    label = f"difference of test {title(metric)}"
    axes.set(ylabel=f"{label}, {unit.difference}" if unit.difference else label)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{unit.factor * value:+.4g}"))
    add_legend(figure, axes)
    return figure


def limit_axis(axes: Axes, table: pd.DataFrame) -> None:
    """Cut intervals that would take all of the axis: two seeds may give one of 150 points.

    The axis shows all means and, beyond them, their range or three standard deviations,
    whichever is more.
    """
    least, greatest = table["mean"].min(), table["mean"].max()
    beyond = np.fmax(greatest - least, 3 * table["std"].max())
    if beyond > 0:
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, least - beyond), min(top, greatest + beyond))


def draw_groups(axes: Axes, table: pd.DataFrame, key: str) -> None:
    """Means and intervals of a table of groups against a setting that all of them have."""
    values, has_axis = distinct(table[key]), is_number(table[key])
    table = table.sort_values(key, key=lambda column: column.map(values.index))
    other = [name for name in settings_of(table) if name != key]
    groups = list(table.groupby(other, dropna=False)) if other else [((), table)]
    for place, ((settings, group), color) in enumerate(
        zip(groups, line_colors(len(groups)), strict=True)
    ):
        x = group[key]
        if not has_axis:  # side by side
            x = x.map(values.index) + 0.6 * ((place + 0.5) / len(groups) - 0.5)
        axes.errorbar(
            x,
            group["mean"],
            yerr=group.high - group["mean"],
            fmt="o-" if has_axis else "o",
            capsize=3,
            color=color,
            label=group_name(dict(zip(other, settings, strict=True))),
        )
        if has_axis and len(groups) <= MANY:  # more bands would hide the lines
            axes.fill_between(x, group.low, group.high, color=color, alpha=0.15, linewidth=0)
    axes.set_xlabel(key)
    axes.grid(alpha=0.3)
    if not has_axis:
        names = [setting_text(value) for value in values]
        axes.set_xticks(range(len(values)), names)
        if sum(map(len, names)) > CHARACTERS:
            axes.tick_params(axis="x", rotation=30)
            for label in axes.get_xticklabels():
                label.set_horizontalalignment("right")
        axes.set_xlim(-0.5, len(values) - 0.5)
        return
    if spans_decades(values):
        axes.set_xscale("log")
        label_decades(axes.xaxis)
    if len(values) <= MANY:
        axes.set_xticks(values, map(setting_text, values))
        axes.minorticks_off()


def curves_figure(curves: dict[str, pd.DataFrame]) -> Figure:
    """Learning curves: a panel a scalar, a line a group with the range of its runs as a band.

    By name of the group, see `events.mean_curves`.
    """
    scalars = list(dict.fromkeys(itertools.chain(*(table.scalar for table in curves.values()))))
    columns = min(3, len(scalars))
    rows = -(-len(scalars) // columns)
    figure = Figure(figsize=(3.7 * columns, 0.2 + 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    colors = line_colors(len(curves), ordered=True)
    lengths = [table.iteration.max() for table in curves.values()]
    for axes, scalar in zip(panels, scalars, strict=False):
        for (name, table), color in zip(curves.items(), colors, strict=True):
            line = table[table.scalar == scalar]
            axes.plot(line.iteration, line["mean"], color=color, linewidth=1.3, label=name)
            axes.fill_between(
                line.iteration, line.low, line.high, color=color, alpha=0.15, linewidth=0
            )
        axes.set(title=scalar, xlabel="iteration")
        axes.grid(alpha=0.3)
        if spans_decades(lengths):
            axes.set_xscale("log")
            label_decades(axes.xaxis)
        metric = METRICS.get(scalar.rpartition("/")[2])
        if metric and metric.unit is FRACTION:
            axes.yaxis.set_major_formatter(PERCENT)
        elif spans_decades([y for line in axes.lines for y in line.get_ydata()]):
            axes.set_yscale("log")
            label_decades(axes.yaxis)
    for axes in panels[len(scalars) :]:
        axes.remove()
    add_legend(figure, panels[0])
    return figure


def samples_figure(samples: dict[str, bytes]) -> Figure:
    """Images side by side, by caption, each as PNG."""
    columns = min(4, len(samples))
    rows = -(-len(samples) // columns)
    captions = [textwrap.fill(caption, 33) for caption in samples]
    height = 2.9 + 0.16 * max(caption.count("\n") for caption in captions)
    figure = Figure(figsize=(2.75 * columns, height * rows), layout="compressed")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.axis("off")
    for axes, caption, image in zip(panels, captions, samples.values(), strict=False):
        axes.imshow(matplotlib.image.imread(io.BytesIO(image)))
        axes.set_title(caption, fontsize=9)
    return figure


def add_legend(figure: Figure, axes: Axes) -> None:
    """One legend for a figure, below its panels, for which the figure grows."""
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        columns = max(1, int(figure.get_figwidth() * 11 // (max(map(len, labels)) + 6)))
        figure.set_figheight(figure.get_figheight() + 0.22 * -(-len(labels) // columns))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def line_colors(number: int, ordered: bool = False) -> Sequence[str | np.ndarray]:
    """Colors for some lines: a scale where their order means something or they are many."""
    if ordered or number > MANY:
        return matplotlib.colormaps["viridis"](np.linspace(0, 0.9, number))
    return [f"C{index}" for index in range(number)]


def label_decades(axis: Axis) -> None:
    """Plain numbers along a logarithmic axis, between the decades, too, where there are few."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axis.set_major_formatter(PLAIN)
    axis.set_minor_formatter("")


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows some values better than a linear one."""
    return min(values) > 0 and max(values) > 5 * min(values)
