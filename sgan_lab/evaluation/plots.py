"""Figures of a run. They use no display: each is an object to be saved or logged."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.utilities.plot import plot_confusion_matrix

from sgan_lab.training.history import History

WORST_COLUMNS = 5


def discriminator_supervised_loss(history: History) -> Figure:
    """The tutorial's plot: the class loss at each sample interval, over that of all iterations."""
    loss = history["labeled/class_loss"]
    ends = history.interval_ends
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(loss) + 1), loss, color="tab:blue", alpha=0.25, label="each iteration")
    axes.plot(
        ends, [loss[end - 1] for end in ends], "o-", color="tab:blue", label="at sample intervals"
    )
    axes.set(
        title="Discriminator – Supervised Loss", xlabel="Iteration", ylabel="Loss", yscale="log"
    )
    axes.legend()
    return figure


def epoch_loss(history: History) -> Figure:
    """The baseline's loss over epochs."""
    return _over_epochs(history, "labeled/class_loss", "Supervised Baseline – Loss", "Loss")


def epoch_accuracy(history: History) -> Figure:
    """The baseline's accuracy on the labeled images over epochs."""
    return _over_epochs(history, "labeled/accuracy", "Supervised Baseline – Accuracy", "Accuracy")


def _over_epochs(history: History, name: str, title: str, ylabel: str) -> Figure:
    values = [history[name][end - 1] for end in history.interval_ends]
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(values) + 1), values)
    axes.set(title=title, xlabel="Epoch", ylabel=ylabel)
    return figure


def confusion_matrix(confusion: Tensor, class_names: Sequence[str]) -> Figure:
    """Counts by true class (rows) and predicted class (columns)."""
    size = 2 + 0.5 * len(class_names)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    plot_confusion_matrix(confusion, ax=axes, labels=list(map(plain, class_names)), cmap="Blues")
    axes.set_title("Confusion matrix, test set")
    return figure


def worst_images(images: Tensor, captions: Sequence[str], errors: int) -> Figure:
    """Misclassified images, the most confident ones of all errors.

    Args:
        images: bytes (N, channels, height, width).
        captions: one an image.
        errors: how many images are misclassified in all.
    """
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


def plain(text: str) -> str:
    """A text of which Matplotlib shall take no part between dollar signs for a formula."""
    return text.replace("$", r"\$")
