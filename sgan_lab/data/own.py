"""Images of a function or class of the user's own, with splits, classes and augmentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.splits import listed_images, split_training_set
from sgan_lab.errors import ConfigError, DataError, reason
from sgan_lab.networks.registry import LEAST_SIDE

KEYS = ("train", "test", "unlabeled", "class_names")


def own_data(
    source: Mapping[str, Any],
    labeled_list: str | None = None,
    classes: Sequence[str | int] | None = None,
    unlabeled_classes: Sequence[str | int] | None = None,
    **split: Any,
) -> SemiSupervisedData:
    """Call a function that returns images and labels, and split them.

    It returns a dict. `train` and `test` are pairs (images, labels), as tensors or arrays, or a
    `torch.utils.data.Dataset` of such pairs; `unlabeled` are more images without labels, and
    `class_names` a name for each label. The last two may be missing. Images are bytes 0 to 255 or
    floats 0 to 1, (N, channels, height, width), (N, height, width, channels) or (N, height, width),
    with 1 or 3 channels; labels are integers (N,) from 0 on.

    Args:
        source: the dotted name of the function as `_target_`, and its arguments.
        labeled_list: a file that lists the labeled images, by their indices in `train`.
        classes: as `unlabeled_classes` and the rest of `split`, see `split_training_set`.
        unlabeled_classes: names.
        split: from `num_labeled` on.

    Raises:
        DataError: the function returned something else; the message names it.
        ConfigError: a class does not exist, or see `split_training_set`.
    """
    name = source["_target_"]
    parts = instantiate(source)
    if not isinstance(parts, Mapping) or not {"train", "test"} <= parts.keys() <= set(KEYS):
        found = list(parts) if isinstance(parts, Mapping) else type(parts).__name__
        raise DataError(f"{name} must return a dict with {', '.join(KEYS)}, not {found}.")
    train, test = (labeled_images(parts[key], f"{name}: {key}") for key in ("train", "test"))
    names = parts.get("class_names") or getattr(parts["train"], "classes", None)
    names = [str(each) for each in names or range(int(train.labels.max()) + 1)]
    if len(set(names)) != len(names) or len(names) < 2:
        raise DataError(f"{name}: class_names must be 2 or more different names, not {names}.")
    unlabeled = parts.get("unlabeled")
    if unlabeled is not None:
        unlabeled = images_of(unlabeled, f"{name}: unlabeled")
    for key, images in (("test", test.images), ("unlabeled", unlabeled)):
        if images is not None and images.shape[1:] != train.images.shape[1:]:
            shapes = f"{tuple(images.shape[1:])}, those of train {tuple(train.images.shape[1:])}"
            raise DataError(f"{name}: images of {key} have the shape {shapes}.")
    for key, labels in (("train", train.labels), ("test", test.labels)):
        if not 0 <= labels.min() <= labels.max() < len(names):
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise DataError(f"{name}: labels of {key} are {found}, not 0 to {len(names) - 1}.")
    for key, chosen in (("classes", classes), ("unlabeled_classes", unlabeled_classes)):
        if unknown := [each for each in chosen or () if str(each) not in names]:
            raise ConfigError(f"data.{key}", unknown, f"must be of {', '.join(names)}")
    if labeled_list is not None:
        split["listed"] = listed_images(Path(labeled_list), len(train.labels))
    return split_training_set(
        train,
        test,
        names,
        classes=classes,
        unlabeled_classes=unlabeled_classes,
        more_unlabeled=unlabeled,
        **split,
    )


def labeled_images(part: Any, name: str) -> LabeledImages:
    """A pair (images, labels) or a Dataset of pairs as bytes and labels; else a DataError."""
    expected = f"{name} must be a pair (images, labels) or a Dataset of such pairs"
    if not isinstance(part, tuple | list):
        pairs = items(part, expected)
        if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
            raise DataError(f"{expected}.")
        part = ([image for image, _ in pairs], [label for _, label in pairs])
    if len(part) != 2:
        raise DataError(f"{expected}, not {len(part)} values.")
    images, labels = images_of(part[0], name), as_tensor(part[1], f"{name}: labels")
    if labels.dtype == torch.bool or labels.is_floating_point() or labels.ndim != 1:
        found = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise DataError(f"{name}: labels must be integers of shape (N,), not {found}.")
    if len(images) != len(labels):
        raise DataError(f"{name} has {len(images)} images and {len(labels)} labels.")
    return LabeledImages(images, labels.long())


def images_of(images: Any, name: str) -> Tensor:
    """Images as bytes (N, channels, height, width), see `own_data`; else a DataError."""
    if not isinstance(images, Tensor | np.ndarray):
        images = items(images, f"{name} must be images")
        images = [image[0] if isinstance(image, tuple) else image for image in images]
    pixels = as_tensor(images, f"{name}: images")
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    if pixels.ndim == 4 and pixels.shape[1] not in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or min(pixels.shape[2:]) < LEAST_SIDE:
        raise DataError(
            f"{name}: images must have the shape (N, channels, height, width), with 1 or 3 channels"
            f" and {LEAST_SIDE} or more pixels a side, not {tuple(pixels.shape)}."
        )
    if len(pixels) == 0:
        raise DataError(f"{name} has no images.")
    high = 1 if pixels.is_floating_point() else 255
    low, most = pixels.min().item(), pixels.max().item()
    if not (low >= 0 and most <= high):  # also where one is not a number
        raise DataError(
            f"{name}: images must be bytes 0 to 255 or floats 0 to 1, not {pixels.dtype} {low:g} "
            f"to {most:g}."
        )
    return (pixels * 255).round().byte() if high == 1 else pixels.byte().contiguous()


def items(found: Any, expected: str) -> list[Any]:
    """The items of a list or a Dataset; else a DataError, which says what was expected."""
    if not hasattr(found, "__getitem__") or not hasattr(found, "__len__"):
        raise DataError(f"{expected}, not {type(found).__name__}.")
    return [found[index] for index in range(len(found))]


def as_tensor(values: Any, name: str) -> Tensor:
    """Values as one tensor; a DataError where they have different shapes, or are no numbers."""
    try:
        if isinstance(values, list):  # of pictures, tensors or numbers
            values = np.stack([np.asarray(value) for value in values])
        return torch.as_tensor(values)
    except (TypeError, ValueError) as error:
        what = f"{name} must be numbers, equally many of each"
        raise DataError(f"{what} ({reason(error)}).") from error
