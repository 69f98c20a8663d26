"""A user's own images, read from folders."""

import os
import stat
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.splits import split_training_set
from sgan_lab.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
IMAGE_FORMATS = ("PNG", "JPEG", "BMP")  # whatever the suffix; Pillow has Ghostscript run for others


def image_folder(
    root: str,
    image_size: Sequence[int],
    channels: int,
    num_labeled: int | None,
    labeled_split: str,
    batch_size: int,
    num_validation: int = 0,
    label_seed: int = 0,
    augmentation: float = 0.0,
) -> SemiSupervisedData:
    """A user's own images: labeled/<class>/*, unlabeled/* and test/<class>/* below `root`.

    PNG, JPEG and BMP files are read, subfolders of unlabeled/ included; images of another size are
    resized. Labeled images beyond `num_labeled` lose their labels and join the unlabeled ones.

    Args:
        root: the folder.
        image_size: (height, width) to which images are resized.
        channels: 1 for gray, 3 for color.
        num_labeled: size of the labeled set; None for all images in labeled/.
        labeled_split: "first", "balanced" or "random", see `split_training_set`.
        batch_size: images a batch.
        num_validation: images held out, see `split_training_set`.
        label_seed: of the "random" split, see `split_training_set`.
        augmentation: strength of the random maps of training images, see `random_affine`.

    Raises:
        DataError: a folder or its images are missing, or an image cannot be read.
        ConfigError: see `split_training_set`.
    """
    folder = Path(root).expanduser()
    class_names = class_folders(subfolder(folder, "labeled"))
    test, train = (
        class_images(subfolder(folder, part), class_names, image_size, channels, folder)
        for part in ("test", "labeled")
    )
    data = split_training_set(
        train,
        test,
        class_names,
        num_labeled,
        labeled_split,
        batch_size,
        num_validation,
        label_seed,
        augmentation,
    )
    unlabeled_paths = image_paths(subfolder(folder, "unlabeled"), folder)
    unlabeled = read_images(unlabeled_paths, image_size, channels)
    return replace(data, unlabeled_images=torch.cat([unlabeled, data.unlabeled_images]))


def subfolder(folder: Path, name: str) -> Path:
    """The folder `name` below `folder`.

    Raises:
        DataError: there is none.
    """
    path = folder / name
    if not path.is_dir():
        raise DataError(
            f"{path} is no folder; data.root={folder} must hold labeled/<class>/, unlabeled/ and "
            "test/<class>/."
        )
    return path


def class_folders(folder: Path) -> list[str]:
    """The classes whose images are in a folder: the names of the folders in it, sorted.

    Raises:
        DataError: a name cannot be shown, such as one with a line break.
    """
    names = sorted(path.name for path in folder.glob("*") if path.is_dir())
    for name in names:
        if not name.isprintable():
            raise DataError(
                f"{str(folder / name)!r}: a class must have a name that can be printed."
            )
    return names


def class_images(
    folder: Path, class_names: Sequence[str], image_size: Sequence[int], channels: int, root: Path
) -> LabeledImages:
    """Labeled images, <class>/* below a folder.

    Args:
        folder: holds a folder for any of the classes.
        class_names: the known classes; a label is the place of its class among them.
        image_size: (height, width) to which images are resized.
        channels: 1 for gray, 3 for color.
        root: folder that links must not leave.

    Raises:
        DataError: there are no images, a class is not known, or an image cannot be read.
    """
    unknown = set(class_folders(folder)) - set(class_names)
    if unknown:
        raise DataError(
            f"{folder} has unknown classes: {', '.join(sorted(unknown))}; "
            f"known are {', '.join(class_names)}."
        )
    paths = [image_paths(folder / name, root) for name in class_names]
    labels = [label for label, of_class in enumerate(paths) for _ in of_class]
    if not labels:
        raise DataError(f"{folder} has no images in class folders <class>/*.png.")
    return LabeledImages(
        read_images(list(chain(*paths)), image_size, channels), torch.tensor(labels)
    )


def image_paths(folder: Path, root: Path) -> list[Path]:
    """All image files below a folder, sorted. Links below it to other folders are not followed.

    Raises:
        DataError: the folder or a file in it is a link that leads out of `root`.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    for path in (folder, *filter(Path.is_symlink, files)):
        target = Path(os.path.realpath(path))  # resolve() fails at links in a circle
        if not target.is_relative_to(os.path.realpath(root)):
            raise DataError(f"{path} leads out of {root}, to {target}; copy it there instead.")
    return files


def read_images(paths: Sequence[Path], image_size: Sequence[int], channels: int) -> Tensor:
    """Image files as bytes (N, channels, *image_size).

    Raises:
        DataError: a file is no readable image.
    """
    height, width = image_size
    images = torch.empty(len(paths), channels, height, width, dtype=torch.uint8)
    # rich.progress.track would leave a thread behind where an image is damaged, and on Python 3.13
    # the program would then wait for it for ever.
    with Progress(console=Console(stderr=True), transient=True) as progress:  # stdout: user's CSV
        task = progress.add_task("Reading images", total=len(paths))
        for index, path in enumerate(paths):
            images[index] = read_image(path, height, width, channels)
            progress.advance(task)
    return images


def read_image(path: Path, height: int, width: int, channels: int) -> Tensor:
    """An image file as bytes (channels, height, width).

    Raises:
        DataError: the file is no readable image, or has more pixels than Pillow's limit.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise OSError("it is no regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=IMAGE_FORMATS) as file:
                image = file.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # each format's reader fails in its own way
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path} is no readable image: {reason}.") from error
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(height, width, channels).permute(2, 0, 1)
