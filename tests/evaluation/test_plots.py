import io
from dataclasses import replace

import pytest
import torch

from sgan_lab.evaluation import plots
from sgan_lab.evaluation.evaluate import Evaluation


def test_the_tutorials_plot_shows_the_loss_of_each_iteration_and_interval():
    (axes,) = plots.discriminator_supervised_loss(torch.tensor([4.0, 3.0, 2.0, 1.0]), [2, 4]).axes
    assert axes.get_title() == "Discriminator – Supervised Loss"
    iterations, intervals = axes.lines
    assert list(iterations.get_xdata()) == [1, 2, 3, 4]
    assert list(iterations.get_ydata()) == [4, 3, 2, 1]
    assert list(intervals.get_xdata()) == [2, 4]
    assert list(intervals.get_ydata()) == [3, 1]


def test_the_baselines_plots_have_one_point_an_epoch():
    (axes,) = plots.baseline_curve([3.0, 1.0], "Loss").axes
    (line,) = axes.lines
    assert list(line.get_xdata()) == [1, 2]
    assert list(line.get_ydata()) == [3, 1]
    assert axes.get_title() == "Supervised Baseline – Loss"


def test_confusion_matrix_shows_counts_and_names():
    figure = plots.confusion_matrix(torch.tensor([[5, 1], [0, 7]]), ["cat", "dog"])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["5", "1", "0", "7"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


def test_names_are_no_formulas():
    names = ["$\\bad$", "$", "<b>"]
    matrix = plots.confusion_matrix(torch.eye(3, dtype=torch.int), names)
    worst = plots.worst_images(torch.zeros(3, 1, 4, 4), names, errors=3)
    for figure in (matrix, worst):
        figure.savefig(io.BytesIO())


@pytest.mark.filterwarnings("error:Glyph")
def test_names_that_the_font_cannot_show_are_numbers():
    figure = plots.confusion_matrix(torch.eye(3, dtype=torch.int), ["猫", "café", "犬 2"])
    figure.savefig(io.BytesIO())
    (axes,) = figure.axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == ["class 0", "café", "class 2"]


def test_reliability_shows_the_bins_before_and_after():
    evaluation = Evaluation(torch.tensor([[4.0, 0], [2, 0], [2, 0]]), torch.tensor([0, 0, 1]), "ab")
    (axes,) = plots.reliability(evaluation).axes
    assert len(axes.lines) == 2
    scaled = replace(evaluation, temperature=2.0)
    _, before, after = plots.reliability(scaled).axes[0].lines
    assert list(before.get_ydata()) == list(after.get_ydata()) == [0.5, 1]
    for line, each in ((before, evaluation), (after, scaled)):
        confidence = each.probabilities.amax(dim=1)
        assert line.get_xdata() == pytest.approx([confidence[1].item(), confidence[0].item()])


def test_worst_images_stand_under_their_captions():
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 4, 4)
    captions = [f"caption {index}" for index in range(6)]
    figure = plots.worst_images(images, captions, errors=9)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == captions
    assert [axes.images[0].get_array().max() for axes in shown] == list(range(6))
    assert "6 most confident of 9 errors" in figure.get_suptitle()
    nothing = plots.worst_images(images[:0], [], errors=0)
    assert not any(axes.images for axes in nothing.axes)


def test_images_over_time_have_a_row_an_iteration():
    values = {800: -1.0, 1600: 1.0}
    images = {step: torch.full((3, 1, 4, 4), value) for step, value in values.items()}
    (axes,) = plots.images_over_time(images).axes
    grid = axes.images[0].get_array()
    ticks = axes.get_yticks().astype(int).tolist()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["800", "1,600"]
    assert [grid[tick, 4].mean() for tick in ticks] == [0, 1]
    assert grid.shape[1] == 3 * 6 + 2
