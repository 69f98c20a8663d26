"""A user's own images, read from folders."""

import hashlib
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.image_files import FORMATS, read_images
from sgan_lab.data.splits import split_training_set
from sgan_lab.errors import DataError

log = logging.getLogger(__name__)

PARTS = ("labeled", "unlabeled", "test")
# Files and folders of systems, archives and file servers, besides names that begin with a dot.
SYSTEM_NAMES = {
    *("thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("__macosx", "@eadir", "#recycle", "lost+found"),
}


def image_folder(
    root: str, image_size: Sequence[int], channels: int, **split: Any
) -> SemiSupervisedData:
    """A user's own images: labeled/<class>/*, unlabeled/* and test/<class>/* below `root`.

    Subfolders are read, too; hidden files and folders are not. For the formats see
    `sgan_lab.data.image_files`. Labeled images beyond `num_labeled` lose their labels and join the
    unlabeled ones; unlabeled/ may be missing.

    Args:
        root: the folder.
        image_size: (height, width) to which images are resized.
        channels: 1 for gray, 3 for color.
        split: the arguments of `split_training_set` from `num_labeled` on.

    Raises:
        DataError: a folder or its images are missing, or an image cannot be read.
        ConfigError: see `split_training_set`.
    """
    folder = Path(root).expanduser()
    class_names = learned_classes(subfolder(folder, "labeled"))
    ignored = [path.name for path in visible(folder) if path.is_dir() and path.name not in PARTS]
    if ignored:
        log.warning("Folders of %s that are not read: %s", shown(folder), listed(ignored))
    test_files, labeled_files = (
        class_files(subfolder(folder, part), class_names, folder) for part in ("test", "labeled")
    )
    test, labeled = (
        labeled_images(files, image_size, channels) for files in (test_files, labeled_files)
    )
    warn_of_copies(labeled_files, labeled.images, test_files, test.images)
    data = split_training_set(labeled, test, class_names, **split)
    unlabeled = folder / "unlabeled"
    paths = image_paths(unlabeled, folder) if unlabeled.is_dir() else []
    images = read_images(paths, image_size, channels)
    return replace(data, unlabeled_images=torch.cat([images, data.unlabeled_images]))


def subfolder(folder: Path, name: str) -> Path:
    """The folder `name` below `folder`.

    Raises:
        DataError: there is none.
    """
    path = folder / name
    if not path.is_dir():
        raise DataError(
            f"{path} is no folder; data.root={folder} must hold labeled/<class>/ and "
            "test/<class>/, and may hold unlabeled/."
        )
    return path


def learned_classes(folder: Path) -> list[str]:
    """The classes that a classifier learns from labeled/: two or more.

    Raises:
        DataError: there are fewer, or see `class_folders`.
    """
    classes = class_folders(folder)
    if len(classes) > 1:
        return list(classes)
    inner = [name for paths in classes.values() for path in paths for name in class_folders(path)]
    hint = f"Move the folders in it, {listed(inner)}, one level up." if inner else ""
    raise DataError(
        f"{folder} must hold a folder for each of two or more classes; it holds "
        f"{listed(classes) or 'none'}. {hint}".strip()
    )


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """The classes whose images are in a folder, sorted, each with its folders.

    A class is named as its folder. Names that only differ in how Unicode composes their letters
    (é as one character or as e and an accent) are one class.

    Raises:
        DataError: a name cannot be shown, such as one with a line break.
    """
    classes = {}
    for path in visible(folder):
        if path.is_dir():
            if not path.name.isprintable():
                raise DataError(f"{str(path)!r}: a class must have a name that can be printed.")
            classes.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
    return dict(sorted(classes.items()))


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
    return labeled_images(class_files(folder, class_names, root), image_size, channels)


def labeled_images(
    files: dict[Path, int], image_size: Sequence[int], channels: int
) -> LabeledImages:
    """Image files, each with its label, as bytes.

    Raises:
        DataError: a file is no readable image.
    """
    images = read_images(list(files), image_size, channels)
    return LabeledImages(images, torch.tensor(list(files.values())))


def class_files(folder: Path, class_names: Sequence[str], root: Path) -> dict[Path, int]:
    """The image files <class>/* below a folder, each with its label; see `class_images`.

    Raises:
        DataError: there are none, or a class is not known.
    """
    classes = class_folders(folder)
    unknown = classes.keys() - set(class_names)
    if unknown:
        raise DataError(
            f"{folder} has unknown classes: {listed(sorted(unknown))}; "
            f"known are {listed(class_names)}."
        )
    labels = {
        path: label
        for label, name in enumerate(class_names)
        for of_class in classes.get(name, [])
        for path in files_below(of_class, root)
    }
    images = images_among(labels, folder)
    if not images:
        raise DataError(f"{folder} has no images in class folders <class>/*.png.")
    stray = [path for path in visible(folder) if path.suffix.lower() in suffixes()]
    if any(map(Path.is_file, stray)):
        log.warning("Images in %s that are in no class folder are not read.", shown(folder))
    return {path: labels[path] for path in images}


def image_paths(folder: Path, root: Path) -> list[Path]:
    """All image files below a folder, sorted; see `files_below`."""
    return images_among(files_below(folder, root), folder)


def files_below(folder: Path, root: Path) -> list[Path]:
    """All files below a folder but hidden ones, sorted. Links to other folders are not followed.

    Raises:
        DataError: a folder cannot be read, or the folder or a file in it is a link that leads out
            of `root`.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error

    check_link(folder, root)
    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(parent, name) for name in files if not is_hidden(name)]
    for path in filter(Path.is_symlink, found):
        check_link(path, root)
    return sorted(found)


def check_link(path: Path, root: Path) -> None:
    """Check that a file or folder is below `root` once links are followed.

    Raises:
        DataError: it is not.
    """
    target = Path(os.path.realpath(path))  # resolve() fails at links in a circle
    if not target.is_relative_to(os.path.realpath(root)):
        raise DataError(f"{path} leads out of {root}, to {target}; copy it there instead.")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one of a system's own, by its name."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without hidden files and folders."""
    return sorted(path for path in folder.glob("*") if not is_hidden(path.name))


@cache
def suffixes() -> set[str]:
    """The suffixes of files in one of the `FORMATS`."""
    return {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}


def images_among(files: Collection[Path], folder: Path) -> list[Path]:
    """Those files below a folder that are images by their suffix; a warning counts the others."""
    images = [path for path in files if path.suffix.lower() in suffixes()]
    others = Counter(path.suffix.lower() or "no suffix" for path in set(files) - set(images))
    if others:
        counts = ", ".join(f"{count} {shown(suffix)}" for suffix, count in sorted(others.items()))
        log.warning(
            "Files below %s that are not read: %s. Formats that are: %s.",
            shown(folder),
            counts,
            ", ".join(FORMATS),
        )
    return images


def warn_of_copies(
    labeled_files: Iterable[Path], labeled: Tensor, test_files: Iterable[Path], test: Tensor
) -> None:
    """Warn of labeled images that are in the test set, too: they make the test accuracy too high.

    Args:
        labeled_files: the files of the labeled images.
        labeled: the images as bytes, (N, channels, height, width).
        test_files: the files of the test images.
        test: the images as bytes, as `labeled`.
    """
    tested = dict(zip(map(digest, test), test_files, strict=True))
    copies = [
        f"{shown(path)} as {shown(tested[key])}"
        for path, key in zip(labeled_files, map(digest, labeled), strict=True)
        if key in tested
    ]
    if copies:
        log.warning(
            "%d of the labeled images are in test/, too, such as %s.", len(copies), copies[0]
        )


def digest(image: Tensor) -> bytes:
    """A fingerprint that only equal images share."""
    return hashlib.sha256(image.numpy().tobytes()).digest()


def shown(text: object) -> str:
    """A name for a message: characters that steer a terminal are written out."""
    return str(text) if str(text).isprintable() else ascii(str(text))


def listed(names: Iterable[str]) -> str:
    """Names for a message."""
    return ", ".join(map(shown, names))
