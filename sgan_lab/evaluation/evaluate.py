"""How good a classifier is on labeled images.

The command `sgan-lab evaluate` takes a checkpoint and uses the test set of its run, or class
folders of the user's own.
"""

import json
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import rich
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from rich import box
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_confusion_matrix

from sgan_lab.config.files import load_config
from sgan_lab.config.own import trusted
from sgan_lab.config.targets import DATA_FUNCTIONS, check_resolved, code_names, is_trusted, nodes
from sgan_lab.data.containers import LabeledImages, SemiSupervisedData, scale
from sgan_lab.data.image_files import read_images
from sgan_lab.data.image_folder import class_files
from sgan_lab.errors import DataError, UserError, reason
from sgan_lab.evaluation import plots
from sgan_lab.evaluation.checkpoint_files import checkpoint_parser, find_checkpoint
from sgan_lab.evaluation.classifier import Classifier, load_classifier
from sgan_lab.evaluation.metrics import METRICS, calibration_error, errors, measure, title
from sgan_lab.terminal import printable

BATCH_SIZE = 1000  # images at once; changes memory and speed only
NUM_WORST = 25  # images in worst.png
RESULT = "evaluation.json"  # of an evaluation; tells its folder from others
EXAMPLE = """\
examples:
  sgan-lab evaluate outputs/<date>/<time>
  sgan-lab evaluate outputs/<date>/<time> --data images/test --output evaluation
"""


@dataclass(frozen=True)
class Evaluation:
    """What a classifier made of labeled images; the metrics are functions of it.

    Attributes:
        logits: of the classes, (N, classes), on the CPU.
        labels: the true classes, (N,), on the CPU.
        class_names: a name for each label.
        temperature: what the logits are divided by for probabilities.
    """

    logits: Tensor
    labels: Tensor
    class_names: Sequence[str]
    temperature: float = 1.0

    @cached_property
    def predicted(self) -> Tensor:
        """The classes of the greatest logits, (N,)."""
        return self.logits.argmax(dim=1)

    @cached_property
    def probabilities(self) -> Tensor:
        """Of the classes, (N, classes)."""
        return (self.logits / self.temperature).softmax(dim=1)

    @property
    def uncalibrated(self) -> "Evaluation":
        """The same with the temperature 1."""
        return replace(self, temperature=1.0)

    @cached_property
    def confusion(self) -> Tensor:
        """Counts, (true class, predicted class)."""
        return multiclass_confusion_matrix(self.predicted, self.labels, len(self.class_names))

    def worst(self, limit: int) -> Tensor:
        """Indices of at most `limit` misclassified images, the highest confidence first."""
        wrong = (self.predicted != self.labels).nonzero().flatten()
        confidences = self.probabilities.amax(dim=1)[wrong]
        return wrong[confidences.argsort(descending=True, stable=True)][:limit]


@torch.inference_mode()
def evaluate(
    classifier: nn.Module,
    images: LabeledImages,
    class_names: Sequence[str],
    temperature: float = 1.0,
) -> Evaluation:
    """Classify labeled images in inference mode.

    Args:
        classifier: images (N, channels, height, width) in [-1, 1] to logits (N, classes).
        images: bytes with labels, on the classifier's device.
        class_names: a name for each label.
        temperature: what the logits are divided by for probabilities.
    """
    was_training = classifier.training
    classifier.eval()
    batches = images.images.split(BATCH_SIZE)
    logits = torch.cat([classifier(scale(batch)) for batch in batches]).cpu()
    classifier.train(was_training)
    return Evaluation(logits, images.labels.cpu(), class_names, temperature)


def run_data(
    folder: Path, classifier: Classifier, trusted: Collection[str] = ()
) -> SemiSupervisedData:
    """The data that a classifier was trained on, from the `data` group of its run's config.yaml.

    Functions of the user's own are called where their packages are trusted.

    Raises:
        DataError: config.yaml is missing or damaged, or asks for anything but a data set; the data
            are missing, damaged or of other classes or another shape than the classifier's.
    """
    path = folder / "config.yaml"
    try:
        settings = OmegaConf.to_container(load_config(path))["data"]
        target = str(settings.pop("_target_"))
        settings.pop("_recursive_", None)  # of Hydra
    except Exception as error:  # YAML has its own
        what = f"{path} is no readable configuration of a run ({reason(error)})"
        raise DataError(f"{what}; evaluate on images of your own with --data.") from error
    if target not in DATA_FUNCTIONS:
        known = ", ".join(DATA_FUNCTIONS)
        raise DataError(f"{path}: data._target_={target} is none of {known}; not called.")
    for key, name in code_names(nodes({"source": settings.get("source")})):
        if not is_trusted(name, set(trusted)):
            raise DataError(
                f"{path}: data.{key}={name} is not of sgan_lab. If you trust the code of that "
                f"package: --trust {str(name).split('.')[0]}"
            )
    try:
        check_resolved(OmegaConf.create(settings))
        found = get_object(target)(**settings)
    except UserError:
        raise
    except Exception as error:  # whatever a function makes of settings of any type
        raise DataError(f"{path}: data does not fit {target}: {reason(error)}") from error
    expected = (classifier.image_shape, tuple(classifier.class_names))
    if (found.image_shape, found.class_names) != expected:
        raise DataError(f"{path}: the data have other classes or images than the classifier.")
    return found


def write_evaluation(
    evaluation: Evaluation, images: Tensor, source: dict[str, str], folder: Path
) -> None:
    """Write evaluation.json and the figures into a folder, all at once; other files in it stay.

    The images are bytes (N, channels, height, width); the source says where they and the classifier
    come from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        **source,
        "images": len(images),
        **measure(evaluation),
        "calibration_error_before": calibration_error(evaluation.uncalibrated),
        "temperature": evaluation.temperature,
        "confusion": evaluation.confusion.tolist(),
    }
    names = plots.legible(evaluation.class_names)
    worst = evaluation.worst(NUM_WORST)
    captions = [
        f"{names[evaluation.labels[index]]} → {names[evaluation.predicted[index]]}\n"
        f"{evaluation.probabilities[index].max():.1%}"
        for index in worst
    ]
    figures = {
        "confusion_matrix.png": plots.confusion_matrix(
            evaluation.confusion, evaluation.class_names
        ),
        "reliability.png": plots.reliability(evaluation),
        "worst.png": plots.worst_images(images[worst], captions, errors(evaluation)),
    }
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for name, figure in figures.items():
            figure.savefig(Path(temporary, name))
        Path(temporary, RESULT).write_text(json.dumps(content, indent=2) + "\n")
        for name in (*figures, RESULT):  # replaces a link, too, and not what it leads to
            Path(temporary, name).replace(folder / name)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the confusion matrix and the metrics."""
    names = [escape(printable(name)) for name in evaluation.class_names]
    matrix = Table("", *names, title="True class (row), predicted class (column)", box=box.SIMPLE)
    for name, counts in zip(names, evaluation.confusion.tolist(), strict=True):
        matrix.add_row(name, *map(str, counts))
    rich.print(matrix)
    print(f"images: {len(evaluation.labels):,}")
    for name, value in measure(evaluation).items():
        print(f"{title(name)}: {printable(METRICS[name].text(value))}")
    if evaluation.temperature != 1:
        before = calibration_error(evaluation.uncalibrated)
        print(f"calibration error before: {before:.4f}, temperature {evaluation.temperature:.3f}")


def main() -> None:
    """Command line."""
    parser = checkpoint_parser(__doc__, EXAMPLE)
    parser.add_argument("--data", type=Path, help="folder with <class>/*.png, instead of the run's")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder, a new one or of an earlier evaluation; default: evaluation/ of the run",
    )
    arguments = parser.parse_args()
    checkpoint = find_checkpoint(arguments.checkpoint, arguments.which)
    run = checkpoint.resolve().parent.parent
    output = arguments.output or run / "evaluation"
    if output.exists() and not (output / RESULT).exists() and any(output.iterdir()):
        raise UserError(f"{output} holds no evaluation; name another folder with --output.")
    classifier = load_classifier(checkpoint, trusted(arguments.trust))
    if arguments.data:
        channels, *size = classifier.image_shape
        files = class_files(arguments.data, classifier.class_names, root=arguments.data)
        images = read_images(list(files), size, channels, classifier.background)
        test = LabeledImages(images, torch.tensor(list(files.values())))
    else:
        test = run_data(run, classifier, arguments.trust).test
    evaluation = evaluate(classifier.network, test, classifier.class_names, classifier.temperature)
    source = {"checkpoint": str(checkpoint), "data": str(arguments.data or run)}
    write_evaluation(evaluation, test.images, source, output)
    print_evaluation(evaluation)
    print(f"Written: {output}")
