"""Figures of a run. They use no display: each is an object to be saved or logged."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.utilities.plot import plot_confusion_matrix

WORST_COLUMNS = 5


def training_figures(
    loss: Sequence[float], accuracy: Sequence[float], interval_ends: Sequence[int], in_epochs: bool
) -> dict[str, Figure]:
    """The tutorial's plots of training, by file name: of iterations, or of the baseline's epochs.

    Args:
        loss: class loss of each iteration.
        accuracy: on the labeled images, of each iteration, 0 to 1.
        interval_ends: the last iteration of each sample interval or epoch, counted from 1.
        in_epochs: whether the values are means over epochs, see `Algorithm`.
    """
    at_ends = [end - 1 for end in interval_ends]
    if not in_epochs:
        figure = Figure(figsize=(10, 5), layout="constrained")
        axes = figure.subplots()
        iterations = range(1, len(loss) + 1)
        axes.plot(iterations, loss, color="tab:blue", alpha=0.25, label="each iteration")
        of_ends = [loss[index] for index in at_ends]
        axes.plot(interval_ends, of_ends, "o-", color="tab:blue", label="at sample intervals")
        axes.set(
            title="Discriminator – Supervised Loss", xlabel="Iteration", ylabel="Loss", yscale="log"
        )
        axes.legend()
        return {"discriminator_supervised_loss": figure}
    figures = {}
    for name, values in (("loss", loss), ("accuracy", accuracy)):
        figures[name] = Figure(figsize=(10, 5), layout="constrained")
        axes = figures[name].subplots()
        axes.plot(range(1, len(at_ends) + 1), [values[index] for index in at_ends])
        title = name.capitalize()
        axes.set(title=f"Supervised Baseline – {title}", xlabel="Epoch", ylabel=title)
    return figures


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
