"""Images of a checkpoint's generator, and how they compare with the training images of its run.

The command `sgan-lab generate` writes into a new folder: images.png, nearest.png with the nearest
training image, by pixels, to the right of each, interpolation.png with images on the way from one
noise to another, and generation.json. There, FID, precision and recall are those of features of
the checkpoint's own classifier: they compare generators by one classifier, and nothing else.
"""

import json
import math
from collections.abc import Collection
from pathlib import Path

import torch
from hydra.utils import get_object
from torch import Tensor
from torchvision.utils import save_image

from sgan_lab.algorithms.base import GAN
from sgan_lab.config.files import load_config
from sgan_lab.config.own import trusted
from sgan_lab.data.containers import scale
from sgan_lab.errors import DataError, UserError, reason
from sgan_lab.evaluation.checkpoint_files import checkpoint_parser, find_checkpoint
from sgan_lab.evaluation.classifier import BATCH_SIZE, Classifier, load_classifier
from sgan_lab.evaluation.evaluate import run_data

COMPARED = 2000  # generated images, and as many training images, whose features are compared
NEIGHBORS = 3  # of precision and recall, as in the paper
COLUMNS = 8  # of images.png and nearest.png
STEPS = 10  # images of an interpolation
EXAMPLE = """\
example:
  sgan-lab generate outputs/<date>/<time> --count 64 --interpolate --output generated
"""


def load_gan(checkpoint: Path, run: Path, trust: Collection[str] = ()) -> GAN:
    """The model of a checkpoint that `load_classifier` has accepted, with its generator, to infer.

    The config.yaml of its run names the class, which may be of a package that is trusted.

    Raises:
        DataError: config.yaml is damaged or names a class that is not trusted; or the checkpoint is
            of another class.
        UserError: the model has no generator.
    """
    from sgan_lab.config.schema import CLASSES

    path = run / "config.yaml"
    try:
        target = str(load_config(path).model._target_)
    except Exception as error:  # YAML has its own
        raise DataError(f"{path} does not name the model: {reason(error)}") from error
    if target not in CLASSES["model"] and target.split(".")[0] not in trust:
        raise DataError(
            f"{path} has the model {target}, which is not of sgan_lab. If you trust the code of "
            f"that package: --trust {target.split('.')[0]}"
        )
    made = get_object(target)
    if not (isinstance(made, type) and issubclass(made, GAN)):
        raise UserError(f"{checkpoint} has no generator: its model is {target.split('.')[-1]}.")
    # Not by Lightning's load_from_checkpoint, which may import what a checkpoint names.
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    try:
        model = made(**content["hyper_parameters"])
        model.load_state_dict(content["state_dict"])
    except Exception as error:
        why = reason(error).split(". ")[0]
        raise DataError(f"{checkpoint} is no checkpoint of {target}: {why}") from error
    return model.eval()


def images_of(model: GAN, noise: Tensor) -> Tensor:
    """Generated images in [-1, 1], in batches of about equal sizes; a DataError unless finite."""
    batches = noise.tensor_split(math.ceil(len(noise) / BATCH_SIZE))
    images = torch.cat([model.inferred_images(batch) for batch in batches])
    if not images.isfinite().all():
        raise DataError("The pixels of the generated images are not finite: training has diverged.")
    return images


def between(starts: Tensor, ends: Tensor, steps: int) -> Tensor:
    """Points on the straight lines from (N, size) to (N, size), (N * steps, size)."""
    parts = torch.linspace(0, 1, steps).view(1, -1, 1)
    return torch.lerp(starts.unsqueeze(1), ends.unsqueeze(1), parts).flatten(0, 1)


def nearest(images: Tensor, candidates: Tensor) -> Tensor:
    """The indices of the bytes (M, channels, height, width) nearest to each image in pixels, (N,).

    Images are floats (N, channels, height, width) in [-1, 1].
    """
    points = images.flatten(1)
    distances = [
        torch.cdist(points, scale(batch).flatten(1)) for batch in candidates.split(BATCH_SIZE)
    ]
    return torch.cat(distances, dim=1).argmin(dim=1)


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """FID: the Fréchet distance of the normal distributions of two sets of features (N, size).

    Heusel et al. 2017. The trace of the root of the covariances' product is the nuclear norm of a
    product of the centered features, which is as small as there are images.
    """
    means = [each.mean(dim=0) for each in (real, generated)]
    first, second = (
        (each - mean) / math.sqrt(len(each) - 1)
        for each, mean in zip((real, generated), means, strict=True)
    )
    common = torch.linalg.matrix_norm(first @ second.T, "nuc")
    spread = first.square().sum() + second.square().sum() - 2 * common
    return ((means[0] - means[1]).square().sum() + spread).item()


def coverage(points: Tensor, covering: Tensor) -> float:
    """The fraction of points (N, size) within the reach of another set, Kynkäänniemi et al. 2019.

    Each covering point (of M > `NEIGHBORS`) reaches as far as its third-nearest neighbor in its own
    set. Generated points covered by real ones are the precision; real ones by generated ones, the
    recall.
    """
    reach = torch.cdist(covering, covering).kthvalue(NEIGHBORS + 1, dim=1).values
    return (torch.cdist(points, covering) <= reach).any(dim=1).double().mean().item()


def compare(classifier: Classifier, training: Tensor, generated: Tensor) -> dict[str, float]:
    """FID, precision and recall of generated images in [-1, 1], in features of a classifier.

    They are compared with as many training images, bytes, drawn at random.
    """
    drawn = scale(training[torch.randperm(len(training))[: len(generated)]])
    real, fake = (classifier.features(images).double() for images in (drawn, generated))
    found = {"training_images": len(real), "generated_images": len(fake)}
    found["fid"] = frechet_distance(real, fake)
    if len(real) > NEIGHBORS:
        found |= {"precision": coverage(fake, real), "recall": coverage(real, fake)}
    return found


def main() -> None:
    """Command line."""
    parser = checkpoint_parser(__doc__, EXAMPLE)
    parser.add_argument("--count", type=int, default=64, help="images (default: 64)")
    parser.add_argument("--interpolate", action="store_true", help="write interpolation.png, too")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--output", type=Path, help="a new folder; default: generated/ of the run")
    arguments = parser.parse_args()
    if not 2 <= arguments.count <= 10_000 or not 0 <= arguments.seed < 2**32:
        parser.error("--count must be from 2 to 10000, and --seed from 0 to 2^32 - 1")
    checkpoint = find_checkpoint(arguments.checkpoint, arguments.which)
    run = checkpoint.resolve().parent.parent
    output = arguments.output or run / "generated"
    if output.exists():
        raise UserError(f"{output} already exists; name a new folder with --output.")
    classifier = load_classifier(checkpoint, trusted(arguments.trust))
    model = load_gan(checkpoint, run, arguments.trust)
    data = run_data(run, classifier, arguments.trust)
    training = torch.cat([data.labeled.images, data.unlabeled_images])
    torch.manual_seed(arguments.seed)
    images = images_of(model, model.noise(arguments.count))
    found = compare(classifier, training, images_of(model, model.noise(COMPARED)))
    neighbors = scale(training[nearest(images, training)])
    grids = {
        "images": (images, COLUMNS),
        "nearest": (torch.stack([images, neighbors], dim=1).flatten(0, 1), COLUMNS),
    }
    if arguments.interpolate:
        starts, ends = model.noise(COLUMNS), model.noise(COLUMNS)
        grids["interpolation"] = images_of(model, between(starts, ends, STEPS)), STEPS
    output.mkdir(parents=True)
    for name, (grid, columns) in grids.items():
        path = output / f"{name}.png"
        save_image(grid, path, nrow=columns, normalize=True, value_range=(-1, 1))
    content = {"checkpoint": str(checkpoint), "seed": arguments.seed, **found}
    (output / "generation.json").write_text(json.dumps(content, indent=2) + "\n")
    print(", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items()))
    print(f"Written: {output}")
