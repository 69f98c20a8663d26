"""Choose the pictures whose labels would help a classifier most.

The command `sgan-lab suggest` takes the pictures that the classifier doubts most, and of these some
that differ, by k-means on the network's features. Without a classifier it takes those that stand
for all. It writes labels.csv, in which a person fills in the column `class`, and a contact sheet of
the pictures. `data.labels=labels.csv` trains on it.
"""

import base64
import csv
import io
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import jinja2
import torch
from torch import Tensor

from sgan_lab.config.own import trusted
from sgan_lab.data.augmentation import Augmentation
from sgan_lab.data.containers import scale
from sgan_lab.data.image_files import (
    infer_shape,
    named,
    open_image,
    picture,
    read_files,
    strict_pillow,
)
from sgan_lab.data.image_folder import image_paths, pictures_of_table
from sgan_lab.errors import DataError, UserError
from sgan_lab.evaluation.checkpoint_files import checkpoint_parser, find_checkpoint
from sgan_lab.evaluation.classifier import BATCH_SIZE, Classifier, load_classifier
from sgan_lab.terminal import csv_cell, printable

MOST_DOUBTFUL = 10  # candidates for each picture that is chosen
VIEWS = 8  # of each picture, that a classifier may disagree on
SIDE = 128  # pixels of a thumbnail
CSV, SHEET = "labels.csv", "sheet.html"
EXAMPLE = """\
examples:
  sgan-lab suggest images --output round_1
  sgan-lab suggest outputs/<date>/<time> images --labels labels.csv --output round_2
  sgan-lab suggest outputs/<date>/<time> images/unlabeled --count 20 --by entropy --output next
"""


class Suggestion(NamedTuple):
    """A picture that is to be labeled.

    Attributes:
        index: of the picture.
        score: how much the classifier doubts; or how many pictures it stands for.
        guess: its most probable class; empty without a classifier.
        probability: of that class.
    """

    index: int
    score: float
    guess: str = ""
    probability: float | None = None


def entropy(probabilities: Tensor) -> Tensor:
    """(..., classes) to (...), in nats."""
    return torch.special.entr(probabilities).sum(dim=-1)


@torch.inference_mode()
def disagreement(classifier: Classifier, images: Tensor, seed: int) -> Tensor:
    """How much the guesses of shifted and turned views of an image differ, (N,), in nats.

    It is the mutual information of view and class (Houlsby et al. 2011).

    Args:
        classifier: the one to ask.
        images: bytes (N, channels, height, width).
        seed: of the views.
    """
    views, scores = Augmentation(affine=1), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for batch in images.split(BATCH_SIZE):
            seen = [classifier.network(views.of_floats(scale(batch))) for _ in range(VIEWS)]
            probabilities = (torch.stack(seen) / classifier.temperature).softmax(dim=2)
            scores.append(entropy(probabilities.mean(dim=0)) - entropy(probabilities).mean(dim=0))
    return torch.cat(scores)


CRITERIA = ("margin", "entropy", "disagreement")


def suggest(
    classifier: Classifier, images: Tensor, count: int, by: str = "margin", seed: int = 0
) -> list[Suggestion]:
    """Choose images to label, the most doubtful first.

    Args:
        classifier: the one that is to be improved.
        images: without labels, bytes (N, channels, height, width).
        count: how many are chosen; all where there are no more.
        by: "margin", 1 minus the difference of the two greatest probabilities; "entropy" of the
            class probabilities, in nats; or "disagreement", see there.
        seed: of the views and of k-means.
    """
    probabilities = classifier.probabilities(classifier.logits(images))
    if by == "entropy":
        scores = entropy(probabilities)
    elif by == "margin":
        first, second = probabilities.topk(2, dim=1).values.unbind(dim=1)
        scores = 1 - (first - second)
    else:
        scores = disagreement(classifier, images, seed)
    doubtful = scores.argsort(descending=True, stable=True)[: MOST_DOUBTFUL * count]
    chosen = doubtful[different(classifier, images[doubtful], count, seed)].tolist()
    guesses = probabilities.argmax(dim=1)
    return [
        Suggestion(
            index,
            scores[index].item(),
            classifier.class_names[guesses[index]],
            probabilities[index].max().item(),
        )
        for index in chosen
    ]


def first_of_all(images: Tensor, count: int, seed: int = 0) -> list[Suggestion]:
    """Choose images to label before there is a classifier, see `neighbors.representatives`.

    Args:
        images: bytes (N, channels, height, width).
        count: how many are chosen at most; all where there are no more.
        seed: of the clustering.

    Returns:
        Those that stand for the most images first.
    """
    from sgan_lab.data.neighbors import representatives  # a second to import

    if len(images) <= count:
        return [Suggestion(index, 1) for index in range(len(images))]
    chosen, sizes = representatives(images, count, seed)
    order = sizes.argsort(descending=True, stable=True)
    return list(map(Suggestion, chosen[order].tolist(), sizes[order].tolist()))


def different(classifier: Classifier, images: Tensor, count: int, seed: int) -> list[int]:
    """The places of images that differ, in order: the first of each cluster of their features.

    Args:
        classifier: whose network has the features.
        images: bytes (N, channels, height, width).
        count: how many are chosen.
        seed: of k-means.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    if len(images) <= count:
        return list(range(len(images)))
    values = classifier.features(scale(images))
    with warnings.catch_warnings(), threadpool_limits(1):  # equal seeds, equal clusters
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer clusters, of equal images
        clusters = KMeans(count, n_init=1, random_state=seed).fit_predict(values.numpy())
    places: dict[int, int] = {}
    for place, cluster in enumerate(clusters.tolist()):
        places.setdefault(cluster, place)
    others = [place for place in range(len(images)) if place not in places.values()]
    return sorted([*places.values(), *others[: count - len(places)]])


def thumbnail(path: Path, background: str) -> str:
    """A small version of a picture as a data URI."""
    with strict_pillow(), open_image(path) as file:
        image = picture(file, "RGB", background)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def write_suggestions(
    suggestions: list[Suggestion],
    paths: list[Path],
    labeled: dict[str, str],
    root: Path,
    folder: Path,
    background: str,
) -> None:
    """Write labels.csv and the contact sheet into a new folder.

    Args:
        suggestions: what is to be labeled.
        paths: of the pictures.
        labeled: classes of files that have one, which follow in labels.csv.
        root: the folder of the pictures; files are named relative to it.
        folder: for the two files; must not exist.
        background: the color behind transparent pixels.

    Raises:
        OSError: the folder exists or cannot be written.
    """
    names = [paths[each.index].relative_to(root).as_posix() for each in suggestions]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    sheet = environment.get_template("suggest.html").render(
        rows=[
            (printable(name), each, thumbnail(paths[each.index], background))
            for name, each in zip(names, suggestions, strict=True)
        ]
    )
    folder.mkdir(parents=True)
    (folder / SHEET).write_text(sheet, encoding="utf-8")
    with (folder / CSV).open("x", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "guess", "probability", "score"])
        for name, each in zip(names, suggestions, strict=True):
            probability = "" if each.probability is None else f"{each.probability:.6f}"
            numbers = [probability, f"{each.score:.6g}"]
            writer.writerow([csv_cell(name), "", csv_cell(each.guess), *numbers])
        writer.writerows([csv_cell(name), csv_cell(label)] for name, label in labeled.items())


def main() -> None:
    """Command line."""
    parser = checkpoint_parser(__doc__, EXAMPLE, nargs="?")
    parser.add_argument("folder", type=Path, help="folder of pictures, such as data.root")
    parser.add_argument("--count", type=int, default=50, help="pictures (default: 50)")
    parser.add_argument("--by", choices=CRITERIA, help="measure of doubt (default: margin)")
    parser.add_argument(
        "--labels",
        type=Path,
        help="CSV file, as data.labels: its files are left out, and kept in the new one",
    )
    parser.add_argument("--seed", type=int, default=0, help="of views and clusters (default: 0)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("suggestions"),
        help="a new folder (default: %(default)s)",
    )
    arguments = parser.parse_intermixed_args()  # options may precede either of the two paths
    if arguments.checkpoint is None and (arguments.by or arguments.which or arguments.trust):
        parser.error("--by, --which and --trust need a checkpoint")
    if arguments.folder.suffix == ".ckpt" or (arguments.folder / "config.yaml").exists():
        parser.error(f"name the folder of the pictures after the run {arguments.folder}")
    if arguments.count < 1 or not 0 <= arguments.seed < 2**32:
        parser.error("--count must be at least 1, and --seed from 0 to 2^32 - 1")
    root, output = arguments.folder, arguments.output
    if output.exists():
        raise UserError(f"{output} already exists; name a new folder with --output.")
    classifier, labeled = None, {}
    if arguments.checkpoint:
        checkpoint = find_checkpoint(arguments.checkpoint, arguments.which)
        classifier = load_classifier(checkpoint, trusted(arguments.trust))
    if arguments.labels:
        found = pictures_of_table(root, arguments.labels)
        paths = found.unlabeled
        labeled = {
            path.relative_to(root).as_posix(): found.class_names[label]
            for path, label in found.labeled.items()
        }
    else:
        every = image_paths(root, root=root)
        paths = [path for path in every if not path.is_relative_to(root / "test")]
    background = classifier.background if classifier else "white"
    channels, *size = classifier.image_shape if classifier else infer_shape(paths, background)
    images, broken = read_files(paths, size, channels, background)
    whole = [index for index in range(len(paths)) if index not in broken]
    if not whole:
        raise DataError(f"No unlabeled pictures that can be read in {root}.")
    count, seed = arguments.count, arguments.seed
    if classifier:
        by = arguments.by or "margin"
        suggestions = suggest(classifier, images[whole], count, by, seed)
    else:
        suggestions = first_of_all(images[whole], count, seed)
    readable = [paths[index] for index in whole]
    write_suggestions(suggestions, readable, labeled, root, output, background)
    print(printable(f"Fill in the column class of {output / CSV}; see {output / SHEET}."))
    if broken:
        first = named(paths, {min(broken): broken[min(broken)]})
        sys.exit(printable(f"{len(broken)} of {len(paths)} pictures are left out: {first}."))
