"""Classify image files with a trained classifier.

The command `sgan-lab predict` prints CSV: the file, the class, its probability, and D(x), the
probability that the image is real. A classifier that was trained without a generator has learned
nothing about D(x).
"""

import argparse
import csv
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from sgan_lab.config.own import TRUST, trusted
from sgan_lab.data.containers import scale
from sgan_lab.data.image_files import read_images
from sgan_lab.data.image_folder import image_paths
from sgan_lab.errors import DataError, UserError
from sgan_lab.evaluation.classifier import Classifier, load_classifier

BATCH_SIZE = 256  # images at once; changes memory and speed only


class Prediction(NamedTuple):
    """A class, its probability, and the probability that the image is real, both in [0, 1]."""

    class_name: str
    probability: float
    real_probability: float


@torch.inference_mode()
def predict(classifier: Classifier, images: torch.Tensor) -> Iterator[Prediction]:
    """Yield a prediction for each image; images are bytes (N, channels, height, width)."""
    for batch in images.split(BATCH_SIZE):
        logits = classifier.network(scale(batch))
        probabilities, labels = logits.softmax(dim=1).max(dim=1)
        real = logits.logsumexp(dim=1).sigmoid()
        for values in zip(labels.tolist(), probabilities.tolist(), real.tolist(), strict=True):
            label, probability, real_probability = values
            yield Prediction(classifier.class_names[label], probability, real_probability)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoints/iteration-<n>.ckpt of a run")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders of them")
    parser.add_argument("--trust", **TRUST)
    arguments = parser.parse_args()
    paths = []
    try:
        classifier = load_classifier(arguments.checkpoint, trusted(arguments.trust))
        for path in arguments.images:
            paths.extend(image_paths(path, root=path) if path.is_dir() else [path])
        if not paths:
            raise DataError(f"No pictures in {', '.join(map(str, arguments.images))}.")
        channels, *size = classifier.image_shape
        images = read_images(paths, size, channels)
    except UserError as error:
        sys.exit(str(error))
    # File names may be anything, and what a terminal or a pipe can show is not known.
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends this program as any other
    writer = csv.writer(sys.stdout)
    writer.writerow(["file", "class", "probability", "real_probability"])
    for path, prediction in zip(paths, predict(classifier, images), strict=True):
        writer.writerow([path, prediction.class_name, *(f"{p:.6f}" for p in prediction[1:])])
