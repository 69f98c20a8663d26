"""Classify image files with a trained classifier.

The command `sgan-lab predict` prints CSV: the file, the class, its probability, and D(x), the
probability that the image is real. A classifier that was trained without a generator has learned
nothing about D(x). Pictures that cannot be read are left out, and make the exit status 1.
"""

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import Progress

from sgan_lab.config.own import trusted
from sgan_lab.data.image_files import named, read_files
from sgan_lab.data.image_folder import image_paths
from sgan_lab.errors import DataError
from sgan_lab.evaluation.checkpoint_files import checkpoint_parser, find_checkpoint
from sgan_lab.evaluation.classifier import Classifier, load_classifier
from sgan_lab.terminal import csv_cell, printable

BATCH_SIZE = 256  # pictures read at once; changes memory and speed only
EXAMPLE = """\
examples:
  sgan-lab predict outputs/<date>/<time> pictures/ > classes.csv
  sgan-lab predict outputs/<date>/<time> --which best --all --threshold 0.9 a.png b.jpg
"""


def write_predictions(
    classifier: Classifier, paths: Sequence[Path], file: TextIO, threshold: float, with_all: bool
) -> dict[int, str]:
    """Classify pictures and write CSV, with a bar on stderr where that is a terminal.

    Args:
        classifier: the one to use.
        paths: of the pictures, which are read some at a time.
        file: for the CSV.
        threshold: least probability of a class that is written; others leave the cell empty.
        with_all: whether the probability of each class has a column.

    Returns:
        What is wrong with each picture that cannot be read, and has no row, by its index.
    """

    def cell(text: str) -> str:
        return csv_cell(printable(text) if file.isatty() else text)

    writer, broken = csv.writer(file), {}
    names = [cell(f"probability_{name}") for name in classifier.class_names if with_all]
    writer.writerow(["file", "class", "probability", "real_probability", *names])
    channels, *size = classifier.image_shape
    console = Console(stderr=True)
    shows = console.is_interactive and not file.isatty()
    with Progress(console=console, transient=True, disable=not shows) as progress:
        task = progress.add_task("Classifying", total=len(paths))
        for start in range(0, len(paths), BATCH_SIZE):
            batch = paths[start : start + BATCH_SIZE]
            images, reasons = read_files(
                batch, size, channels, classifier.background, shows_progress=False
            )
            broken |= {start + place: reason for place, reason in reasons.items()}
            logits = classifier.logits(images)
            real = logits.logsumexp(dim=1).sigmoid().tolist()
            for place, probabilities in enumerate(classifier.probabilities(logits).tolist()):
                if place in reasons:
                    continue
                probability = max(probabilities)
                name = classifier.class_names[probabilities.index(probability)]
                numbers = [probability, real[place], *(probabilities if with_all else ())]
                text = cell(name) if probability >= threshold else ""
                row = [cell(str(batch[place])), text, *(f"{value:.6f}" for value in numbers)]
                writer.writerow(row)
            progress.advance(task, len(batch))
    return broken


def main() -> None:
    """Command line."""
    parser = checkpoint_parser(__doc__, EXAMPLE)
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders of them")
    parser.add_argument("--all", action="store_true", help="print the probability of each class")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        metavar="P",
        help="leave the class empty where its probability is below P",
    )
    arguments = parser.parse_args()
    if not 0 <= arguments.threshold <= 1:
        parser.error(f"--threshold {arguments.threshold:g} is not from 0 to 1")
    paths = []
    checkpoint = find_checkpoint(arguments.checkpoint, arguments.which)
    classifier = load_classifier(checkpoint, trusted(arguments.trust))
    for path in arguments.images:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - Path's fails at long names
        paths.extend(image_paths(path, root=path) if is_folder else [path])
    if not paths:
        raise DataError(f"No pictures in {', '.join(map(str, arguments.images))}.")
    # File names may be anything, and what a terminal or a pipe can show is not known. A full
    # device is an error here; sys.stdout would fail when the interpreter ends.
    with os.fdopen(
        sys.stdout.fileno(),
        "w",
        encoding="utf-8",
        errors="surrogateescape",
        newline="",
        closefd=False,
    ) as file:
        broken = write_predictions(classifier, paths, file, arguments.threshold, arguments.all)
    if broken:
        first = named(paths, {min(broken): broken[min(broken)]})
        sys.exit(printable(f"{len(broken)} of {len(paths)} pictures are left out: {first}."))
