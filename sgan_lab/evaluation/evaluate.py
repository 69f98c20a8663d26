"""How good a classifier is on labeled images.

As `sgan-lab evaluate`, of a checkpoint: on the test set of its
run, or on class folders of the user's own.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rich
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from rich import box
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from sgan_lab import losses
from sgan_lab.config.files import load_run_config
from sgan_lab.config.targets import DATA_FUNCTIONS
from sgan_lab.data.containers import LabeledImages, scale
from sgan_lab.data.image_folder import class_images
from sgan_lab.errors import DataError, UserError
from sgan_lab.evaluation import plots
from sgan_lab.evaluation.classifier import Classifier, load_classifier

BATCH_SIZE = 1000  # images at once; changes memory and speed only
NUM_WORST = 25  # images in worst.png
CALIBRATION_BINS = 15
CALIBRATION_METHOD = f"expected calibration error, {CALIBRATION_BINS} equal bins, L1"


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`.

    Attributes:
        loss: mean cross-entropy, in nats.
        confusion: counts, (true class, predicted class).
        labels: the true classes, (N,).
        probabilities: of the classes, (N, classes).
    """

    loss: float
    confusion: Tensor
    labels: Tensor
    probabilities: Tensor

    @property
    def errors(self) -> int:
        """Misclassified images."""
        return int(self.confusion.sum() - self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """Correctly classified images, as a fraction of all."""
        return 1 - self.errors / int(self.confusion.sum())

    @property
    def class_accuracies(self) -> list[float]:
        """Correctly classified images of each class, as a fraction; nan for a class without any."""
        return (self.confusion.diag().double() / self.confusion.sum(dim=1)).tolist()

    @property
    def calibration_error(self) -> float:
        """Mean absolute gap between confidence and accuracy, 0 to 1.

        Over 15 equal bins of confidence, weighted by their images.
        """
        return multiclass_calibration_error(
            # torchmetrics would put a confidence of exactly 1 into a 16th bin.
            self.probabilities.clamp(max=1 - torch.finfo(self.probabilities.dtype).eps),
            self.labels,
            self.probabilities.shape[1],
            n_bins=CALIBRATION_BINS,
            norm="l1",
        ).item()

    def worst(self, limit: int) -> Tensor:
        """Indices of at most `limit` misclassified images, the highest confidence first."""
        confidences, predicted = self.probabilities.max(dim=1)
        wrong = (predicted != self.labels).nonzero().flatten()
        return wrong[confidences[wrong].argsort(descending=True, stable=True)][:limit]


@torch.inference_mode()
def evaluate(classifier: nn.Module, test: LabeledImages, num_classes: int) -> Evaluation:
    """Classify images, dropout off.

    Args:
        classifier: images (N, channels, height, width) in [-1, 1] to logits (N, classes).
        test: images as bytes, with labels, on the classifier's device.
        num_classes: number of classes.
    """
    was_training = classifier.training
    classifier.eval()
    batches = test.images.split(BATCH_SIZE)
    logits = torch.cat([classifier(scale(images)) for images in batches]).cpu()
    classifier.train(was_training)
    labels = test.labels.cpu()
    return Evaluation(
        losses.class_loss(logits, labels).item(),
        multiclass_confusion_matrix(logits, labels, num_classes),
        labels,
        logits.softmax(dim=1),
    )


def run_test_set(folder: Path, classifier: Classifier) -> LabeledImages:
    """The test set of a run, from the `data` group of its config.yaml.

    Raises:
        DataError: config.yaml is missing or damaged, or asks for anything but a data set; the data
            are missing, damaged or of other classes or another shape than the classifier's.
    """
    path = folder / "config.yaml"
    try:
        settings = OmegaConf.to_container(load_run_config(folder))["data"]
        target = str(settings.pop("_target_"))
    except Exception as error:  # YAML has its own
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} is no readable configuration of a run ({reason}); evaluate on images of your "
            "own with --data."
        ) from error
    if target not in DATA_FUNCTIONS:
        raise DataError(
            f"{path}: data._target_={target} is none of {', '.join(DATA_FUNCTIONS)}; not called."
        )
    try:
        found = get_object(target)(**settings)
    except UserError:
        raise
    except Exception as error:  # whatever a function makes of settings of any type
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: data does not fit {target}: {reason}") from error
    expected = (classifier.image_shape, tuple(classifier.class_names))
    if (found.image_shape, found.class_names) != expected:
        raise DataError(f"{path}: the data have other classes or images than the classifier.")
    return found.test


def write_evaluation(
    evaluation: Evaluation,
    images: Tensor,
    class_names: Sequence[str],
    source: dict[str, str],
    folder: Path,
) -> None:
    """Write evaluation.json, confusion_matrix.png and worst.png into a new folder.

    Args:
        evaluation: what is written.
        images: those that were classified, bytes (N, channels, height, width).
        class_names: a name for each label.
        source: where classifier and images come from, for evaluation.json.
        folder: must not exist.

    Raises:
        OSError: the folder exists or cannot be written.
    """
    folder.mkdir(parents=True)
    accuracies = [None if math.isnan(value) else value for value in evaluation.class_accuracies]
    content = {
        **source,
        "images": len(images),
        "accuracy": evaluation.accuracy,
        "errors": evaluation.errors,
        "loss": evaluation.loss,
        "calibration_error": evaluation.calibration_error,
        "calibration_method": CALIBRATION_METHOD,
        "class_accuracies": dict(zip(class_names, accuracies, strict=True)),
        "confusion": evaluation.confusion.tolist(),
    }
    (folder / "evaluation.json").write_text(json.dumps(content, indent=2) + "\n")
    plots.confusion_matrix(evaluation.confusion, class_names).savefig(
        folder / "confusion_matrix.png"
    )
    worst = evaluation.worst(NUM_WORST)
    captions = [
        f"{class_names[label]} → {class_names[probabilities.argmax()]}\n{probabilities.max():.1%}"
        for label, probabilities in zip(
            evaluation.labels[worst], evaluation.probabilities[worst], strict=True
        )
    ]
    plots.worst_images(images[worst], captions, evaluation.errors).savefig(folder / "worst.png")


def print_evaluation(evaluation: Evaluation, class_names: Sequence[str]) -> None:
    """The confusion matrix and the figures on the terminal."""
    names = [escape(name) for name in class_names]
    table = Table("", *names, title="True class (row), predicted class (column)", box=box.SIMPLE)
    for name, counts in zip(names, evaluation.confusion.tolist(), strict=True):
        table.add_row(name, *map(str, counts))
    rich.print(
        table,
        f"accuracy: {evaluation.accuracy:.2%} ({evaluation.errors:,} errors of "
        f"{len(evaluation.labels):,})",
        f"cross-entropy: {evaluation.loss:.4f} nats",
        f"calibration error: {evaluation.calibration_error:.4f} ({CALIBRATION_METHOD})",
        sep="\n",
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoints/iteration-<n>.ckpt of a run")
    parser.add_argument("--data", type=Path, help="folder with <class>/*.png, instead of the run's")
    parser.add_argument("--output", type=Path, help="new folder; default: evaluation/ of the run")
    arguments = parser.parse_args()
    run = arguments.checkpoint.resolve().parent.parent
    output = arguments.output or run / "evaluation"
    try:
        if output.exists():
            raise UserError(f"{output} already exists; name a new folder with --output.")
        classifier = load_classifier(arguments.checkpoint)
        if arguments.data:
            channels, *size = classifier.image_shape
            names = classifier.class_names
            test = class_images(arguments.data, names, size, channels, root=arguments.data)
        else:
            test = run_test_set(run, classifier)
        evaluation = evaluate(classifier.network, test, len(classifier.class_names))
        source = {"checkpoint": str(arguments.checkpoint), "data": str(arguments.data or run)}
        write_evaluation(evaluation, test.images, classifier.class_names, source, output)
    except (UserError, OSError) as error:
        sys.exit(str(error))
    print_evaluation(evaluation, classifier.class_names)
    print(f"Written: {output}")
