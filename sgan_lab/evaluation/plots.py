"""Figures of a run, as objects to be saved or logged. They need no display."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from torch import Tensor
from torchmetrics.utilities.plot import plot_confusion_matrix
from torchvision.utils import make_grid

from sgan_lab.evaluation.metrics import calibration_error

if TYPE_CHECKING:
    from sgan_lab.evaluation.evaluate import Evaluation

WORST_COLUMNS = 5


def discriminator_supervised_loss(losses: Sequence[float], interval_ends: Sequence[int]) -> Figure:
    """The tutorial's plot: the class loss of all iterations, and at the ends of sample intervals.

    Iterations are counted from 1.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    iterations = range(1, len(losses) + 1)
    axes.plot(iterations, losses, color="tab:blue", alpha=0.25, label="each iteration")
    at_ends = [losses[end - 1] for end in interval_ends]
    axes.plot(interval_ends, at_ends, "o-", color="tab:blue", label="at sample intervals")
    axes.set(
        title="Discriminator – Supervised Loss", xlabel="Iteration", ylabel="Loss", yscale="log"
    )
    axes.legend()
    return figure


def baseline_curve(values: Sequence[float], quantity: str) -> Figure:
    """A curve of the supervised baseline, "Loss" or "Accuracy", a value an epoch."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(values) + 1), values)
    axes.set(title=f"Supervised Baseline – {quantity}", xlabel="Epoch", ylabel=quantity)
    return figure


def confusion_matrix(confusion: Tensor, class_names: Sequence[str]) -> Figure:
    """Counts by true class (rows) and predicted class (columns)."""
    size = 2 + 0.5 * len(class_names)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    plot_confusion_matrix(
        confusion, ax=axes, labels=list(map(plain, legible(class_names))), cmap="Blues"
    )
    axes.set_title("Confusion matrix")
    return figure


def reliability(evaluation: "Evaluation") -> Figure:
    """The accuracy of images by their confidence, before and after temperature scaling."""
    from sklearn.calibration import calibration_curve

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="gray", label="as good as it claims")
    shown = {f"temperature {evaluation.temperature:.3g}": evaluation}
    if evaluation.temperature != 1:
        shown = {"before": evaluation.uncalibrated} | shown
    for name, each in shown.items():
        confidence = each.probabilities.amax(dim=1)
        correct = each.predicted == each.labels
        accuracy, claimed = calibration_curve(correct, confidence.clamp(max=1), n_bins=15)
        axes.plot(claimed, accuracy, "o-", label=f"{name}: error {calibration_error(each):.4f}")
    axes.set(title="Reliability", xlabel="Mean confidence of a bin", ylabel="Accuracy")
    axes.legend()
    return figure


def worst_images(images: Tensor, captions: Sequence[str], errors: int) -> Figure:
    """The misclassified images with the highest confidence, bytes (N, channels, height, width)."""
    rows = max(1, math.ceil(len(images) / WORST_COLUMNS))
    figure = Figure(figsize=(2 * WORST_COLUMNS, 2.4 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, WORST_COLUMNS, squeeze=False).flatten()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image.permute(1, 2, 0).numpy(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(plain(caption), fontsize=9)
    figure.suptitle(f"{len(images)} most confident of {errors} errors: true → predicted class")
    return figure


def images_over_time(images: dict[int, Tensor]) -> Figure:
    """Generated images from one noise, a row an iteration.

    Each is (N, channels, height, width) in [-1, 1], with the same N.
    """
    rows = list(images.values())
    grid = make_grid(torch.cat(rows), nrow=len(rows[0]), normalize=True, value_range=(-1, 1))
    figure = Figure(figsize=(1.5 + 0.7 * len(rows[0]), 0.6 + 0.7 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(grid.permute(1, 2, 0).numpy())
    centers = [(row + 0.5) * grid.shape[1] / len(rows) for row in range(len(rows))]
    axes.set_yticks(centers, [f"{iteration:,}" for iteration in images])
    axes.set(title="Generated images from one noise", ylabel="Iteration", xticks=[])
    return figure


def legible(class_names: Sequence[str]) -> list[str]:
    """Class names for a figure: "class 0" and so on for those that its font cannot show.

    A matplotlibrc with another `font.family` shows names of more scripts.
    """
    characters = get_font(findfont(FontProperties())).get_charmap()
    return [
        name if all(ord(each) in characters for each in name) else f"class {label}"
        for label, name in enumerate(class_names)
    ]


def plain(text: str) -> str:
    """Escape a text, so that Matplotlib takes nothing between dollar signs for a formula."""
    return text.replace("$", r"\$")
