import io
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
import pytest

from sgan_lab.report.figures import (
    curves_figure,
    difference_figure,
    metric_figure,
    samples_figure,
)
from sgan_lab.report.runs import paired_differences, read_runs, summarize
from tests.builders import change_metrics, make_run, make_sweep


def lines(axes):
    """The line of means of each group, by its label."""
    return {container.get_label(): container.lines[0] for container in axes.containers}


def tick_labels(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_accuracy_and_error_have_a_line_a_model_against_the_swept_number(tmp_path):
    summary = summarize(read_runs([make_sweep(tmp_path)]))
    figure = metric_figure(summary, "data.num_labeled", "accuracy")
    accuracy, error = figure.axes
    assert set(lines(accuracy)) == {"model=SGAN", "model=Net"}
    assert list(lines(accuracy)["model=SGAN"].get_xdata()) == [50, 100]
    assert list(lines(accuracy)["model=SGAN"].get_ydata()) == pytest.approx([0.81, 0.91])
    assert list(lines(error)["model=SGAN"].get_ydata()) == pytest.approx([0.19, 0.09])
    assert (accuracy.get_yscale(), error.get_yscale()) == ("linear", "log")
    assert tick_labels(accuracy) == ["50", "100"]
    assert len(accuracy.collections) == 4  # a band and error bars a model
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["model=Net", "model=SGAN"]


@pytest.mark.parametrize(
    ("values", "scale"), [((20, 1000), "log"), ((100, 200), "linear"), ((0, 1000), "linear")]
)
def test_a_number_has_a_logarithmic_axis_where_it_spans_much(tmp_path, values, scale):
    for value in values:
        make_run(tmp_path / str(value), "SGAN", 50, 0, 0.8, batch=value)
    accuracy, error = metric_figure(summarize(read_runs([tmp_path])), "batch", "accuracy").axes
    assert (accuracy.get_xscale(), error.get_xscale()) == (scale, scale)


def test_a_setting_that_is_no_number_has_separate_dots_side_by_side(tmp_path):
    summary = summarize(read_runs([make_sweep(tmp_path)]))
    accuracy, _ = metric_figure(summary, "model", "accuracy").axes
    assert tick_labels(accuracy) == ["Net", "SGAN"]
    dots = lines(accuracy)
    assert set(dots) == {"data.num_labeled=50", "data.num_labeled=100"}
    few, many = dots["data.num_labeled=50"], dots["data.num_labeled=100"]
    assert list(few.get_ydata()) == pytest.approx([0.61, 0.81])
    assert few.get_linestyle() == "None"
    for place in (0, 1):
        assert few.get_xdata()[place] == pytest.approx(place - 0.15)
        assert many.get_xdata()[place] == pytest.approx(place + 0.15)


def test_runs_without_any_error_have_a_figure(tmp_path):
    for labels in (50, 100):
        make_run(tmp_path / str(labels), "SGAN", labels, 0, 1.0)
    figure = metric_figure(summarize(read_runs([tmp_path])), "data.num_labeled", "accuracy")
    assert list(lines(figure.axes[1])["model=SGAN"].get_ydata()) == [0, 0]
    figure.savefig(io.BytesIO())


def test_a_metric_that_is_no_fraction_has_one_panel_in_its_unit(tmp_path):
    for labels, loss in ((50, 2.5), (100, 1.5)):
        for seed in (0, 1):
            folder = make_run(tmp_path / f"{labels}{seed}", "SGAN", labels, seed, 0.8)
            change_metrics(folder, test_loss=loss)
    (axes,) = metric_figure(
        summarize(read_runs([tmp_path]), "loss"), "data.num_labeled", "loss"
    ).axes
    assert axes.get_ylabel() == "test loss"
    assert list(lines(axes)["model=SGAN"].get_ydata()) == [2.5, 1.5]
    assert not any("%" in label.get_text() for label in axes.get_yticklabels())


def test_two_seeds_far_apart_do_not_take_all_of_the_axis(tmp_path):
    for model, mean in (("A", 0.8), ("B", 0.7)):
        for labels in (50, 100):
            for seed, deviation in enumerate((-0.08, 0.08)):
                folder = tmp_path / f"{model}{labels}{seed}"
                make_run(folder, model, labels, seed, mean + deviation * (labels / 50))
    runs = read_runs([tmp_path])
    summary = summarize(runs)
    assert (summary.high - summary.low).max() > 1.5
    accuracy, error = metric_figure(summary, "data.num_labeled", "accuracy").axes
    bottom, top = accuracy.get_ylim()
    assert 0 < bottom < 0.7 < 0.8 < top <= 1.01
    assert error.get_ylim()[1] == pytest.approx(1 - bottom)

    narrow = summary.assign(std=0.01, low=summary["mean"] - 0.01, high=summary["mean"] + 0.01)
    accuracy, _ = metric_figure(narrow, "data.num_labeled", "accuracy").axes
    bottom, top = accuracy.get_ylim()
    assert bottom < 0.69
    assert top > 0.81


def test_differences_have_a_line_a_pair_of_models(tmp_path):
    differences = paired_differences(read_runs([make_sweep(tmp_path)]))
    (axes,) = difference_figure(differences, "data.num_labeled", "accuracy").axes
    (line,) = lines(axes).values()
    assert list(lines(axes)) == ["Net − SGAN"]
    assert list(line.get_ydata()) == pytest.approx([-0.2, -0.2])


def test_curves_have_a_panel_a_scalar_and_one_color_a_group():
    def table(scalars):
        rows = [(name, step, value, value / 2, value * 2) for name, step, value in scalars]
        return pd.DataFrame(rows, columns=["scalar", "iteration", "mean", "low", "high"])

    short = table([("loss", 1, 9.0), ("loss", 2, 0.1), ("accuracy", 1, 0.1), ("accuracy", 2, 0.9)])
    long = table([("loss", 10, 9.0), ("loss", 20, 1.0), ("validation/accuracy", 20, 0.5)])
    figure = curves_figure({"a=1": short, "a=2": long})
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == ["loss", "accuracy", "validation/accuracy"]
    assert (panels["loss"].get_yscale(), panels["accuracy"].get_yscale()) == ("log", "linear")
    assert panels["loss"].get_xscale() == "log"  # one group trained ten times as long
    first, second = panels["loss"].lines
    assert list(first.get_ydata()) == [9.0, 0.1]
    assert list(second.get_xdata()) == [10, 20]
    assert [len(line.get_xdata()) for line in panels["validation/accuracy"].lines] == [0, 1]
    colors = {tuple(axes.lines[1].get_color()) for axes in panels.values()}
    assert len(colors) == 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a=1", "a=2"]


def test_samples_are_shown_side_by_side_with_their_captions():
    png = io.BytesIO()
    matplotlib.image.imsave(png, np.zeros((4, 6)))
    samples = {f"a={number}": png.getvalue() for number in range(5)}
    axes = samples_figure(samples).axes
    assert [panel.get_title() for panel in axes if panel.images] == list(samples)
    assert axes[0].images[0].get_array().shape[:2] == (4, 6)


def test_long_names_along_an_axis_do_not_run_into_each_other():
    names = [f"a-very-long-name-{index}" for index in range(9)]
    table = pd.DataFrame({"model": names, "runs": 2, "mean": 0.5, "std": 0.1}).assign(
        low=0.4, high=0.6
    )
    figure = metric_figure(table, "model", "accuracy")
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == names
    # Turned by 30 degrees, two lines of text are apart if half of the step along the axis exceeds
    # their height.
    ends = [label.get_window_extent().x1 for label in labels]
    height = labels[0].get_fontsize() * figure.dpi / 72
    assert min(b - a for a, b in pairwise(ends)) / 2 > height
    assert labels[0].get_rotation() == 30
