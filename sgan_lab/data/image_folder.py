"""A user's own images, read from folders."""

import csv
import hashlib
import io
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.image_cache import read_or_recall
from sgan_lab.data.image_files import FORMATS, MOST_NAMED, infer_shape, named
from sgan_lab.data.splits import fold_test, hold_out_test, listed_images, split_training_set
from sgan_lab.data.text_files import read_text, shown
from sgan_lab.errors import ConfigError, DataError
from sgan_lab.terminal import cell_text

log = logging.getLogger(__name__)

PARTS = ("labeled", "unlabeled", "test")
# Files and folders of systems, archives and file servers, besides names that begin with a dot.
SYSTEM_NAMES = {
    *("thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("__macosx", "@eadir", "#recycle", "lost+found"),
}


@dataclass(frozen=True)
class Pictures:
    """The image files of a user's folder.

    Attributes:
        class_names: a name for each label.
        labeled: the labeled files, each with its label.
        test: the test files, each with its label; empty where none are set apart.
        unlabeled: the files without a label.
    """

    class_names: list[str]
    labeled: dict[Path, int]
    test: dict[Path, int]
    unlabeled: list[Path]


def image_folder(
    root: str,
    image_size: Sequence[int] | None = None,
    channels: int | None = None,
    background: str = "white",
    labels: str | None = None,
    labeled_list: str | None = None,
    test_fraction: float = 0.2,
    folds: int | None = None,
    fold: int = 0,
    skip_broken: bool = False,
    label_seed: int = 0,
    **split: Any,
) -> SemiSupervisedData:
    """A user's own images: labeled/<class>/*, unlabeled/* and test/<class>/* below `root`.

    Subfolders are read, too; hidden files and folders are not. For the formats see
    `sgan_lab.data.image_files`. Labeled images beyond `num_labeled` lose their labels and join the
    unlabeled ones; unlabeled/ and test/ may be missing. Images in `labeled_list` are not drawn for
    the test set.

    Args:
        root: the folder; for this and the other keys see `config.schema.ImageFolder`.
        image_size: (height, width); None to infer it, as `channels`, see `infer_shape`.
        channels: 1 for gray, 3 for color.
        background: a color by a name or as #rrggbb.
        labels: see `pictures_of_table`.
        labeled_list: by paths below `root`, or by indices among all images with a class.
        test_fraction: drawn by `label_seed`, where there is no test/.
        folds: drawn by `label_seed` in place of `test_fraction`; None for none.
        fold: 0 to `folds` - 1.
        skip_broken: whether a file that is no readable image is left out, or an error.
        label_seed: see `split_training_set`.
        split: its further arguments.

    Raises:
        DataError: a folder or its images are missing, or an image or a list cannot be read.
        ConfigError: there are `folds` and test/; or see `fold_test` and `split_training_set`.
    """
    folder = Path(root).expanduser()
    found = pictures_of_folders(folder) if labels is None else pictures_of_table(folder, labels)
    if folds and found.test:
        raise ConfigError("data.folds", folds, f"must be null, since there is {folder / 'test'}")
    files = found.labeled | found.test | dict.fromkeys(found.unlabeled, -1)
    paths, targets = list(files), torch.tensor(list(files.values()))
    is_listed, is_test = torch.zeros(2, len(paths), dtype=torch.bool)
    is_test[len(found.labeled) : len(found.labeled) + len(found.test)] = True
    if labeled_list is not None:
        names = [path.relative_to(folder).as_posix() for path in found.labeled]
        is_listed[: len(names)] = listed_images(Path(labeled_list), len(names), names)
    if image_size is None or channels is None:
        inferred, *size = infer_shape(paths, background)
        channels, image_size = channels or inferred, image_size or size
        log.info("Images are read as data.image_size=%s data.channels=%d", image_size, channels)
    images, broken = read_or_recall(paths, folder, image_size, channels, background)
    if broken:
        if not skip_broken:
            raise DataError(f"{named(paths, broken)}. data.skip_broken=true leaves such files out.")
        reasons = "; ".join(f"{shown(paths[index])}: {why}" for index, why in broken.items())
        log.warning("%d files are no readable images and are left out: %s", len(broken), reasons)
        whole = [index for index in range(len(paths)) if index not in broken]
        paths = [paths[index] for index in whole]
        images, targets, is_listed, is_test = (
            each[whole] for each in (images, targets, is_listed, is_test)
        )
    if not found.test:
        free = targets.masked_fill(is_listed, -1)
        if folds:
            is_test = fold_test(free, folds, fold, label_seed)
        else:
            is_test = hold_out_test(free, test_fraction, label_seed)
        count, total = int(is_test.sum()), int((targets >= 0).sum())
        if not count:
            raise DataError(f"{folder} has no test/, and too few labeled images to hold some out.")
        log.info("No test/ in %s: %d of %d labeled images are the test set", folder, count, total)
    is_labeled = (targets >= 0) & ~is_test
    labeled, test = (LabeledImages(images[part], targets[part]) for part in (is_labeled, is_test))
    warn_of_copies(
        compress(paths, is_labeled), labeled.images, compress(paths, is_test), test.images
    )
    data = split_training_set(
        labeled,
        test,
        found.class_names,
        label_seed=label_seed,
        listed=None if labeled_list is None else is_listed[is_labeled],
        more_unlabeled=images[(targets >= 0).sum() :],  # a view: they may fill most of the memory
        **split,
    )
    return replace(data, background=background)


def pictures_of_folders(folder: Path) -> Pictures:
    """The files labeled/<class>/*, unlabeled/* and test/<class>/* below a folder.

    Raises:
        DataError: labeled/ is missing, or see `learned_classes` and `class_files`.
    """
    if not (folder / "labeled").is_dir():
        raise DataError(
            f"{folder / 'labeled'} is no folder; data.root={folder} must hold labeled/<class>/ and "
            "may hold unlabeled/ and test/<class>/, or data.labels must be a CSV file file,class."
        )
    class_names = learned_classes(folder / "labeled")
    ignored = [path.name for path in visible(folder) if path.is_dir() and path.name not in PARTS]
    if ignored:
        log.warning("Folders of %s that are not read: %s", shown(folder), listed(ignored))
    test, unlabeled = folder / "test", folder / "unlabeled"
    return Pictures(
        class_names,
        # First test/: what is wrong there is named before anything large is listed.
        test=class_files(test, class_names, folder) if test.is_dir() else {},
        labeled=class_files(folder / "labeled", class_names, folder),
        unlabeled=image_paths(unlabeled, folder) if unlabeled.is_dir() else [],
    )


def pictures_of_table(folder: Path, table: str) -> Pictures:
    """The files below a folder, with the classes that a CSV file gives to some of them.

    Files in test/<class>/ are the test set, where there are any. Other folders mean nothing.

    Args:
        folder: holds the files.
        table: the CSV file. Its first line names the columns: `file`, a path below the folder, and
            `class`, empty where it is not known. Other columns are passed over.

    Raises:
        DataError: the table cannot be read or has no such columns, lists what is no picture below
            the folder, or a file with two classes; or there are fewer than two classes.
    """
    reader = csv.DictReader(io.StringIO(read_text(Path(table)), newline=""), restval="")
    try:
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{table} cannot be read: {error}.") from error
    columns = reader.fieldnames or []
    if not {"file", "class"} <= set(columns):
        found = listed(columns) or "none"
        raise DataError(f"{table} must have the columns file,class; it has {found}.")
    classes: dict[str, str] = {}
    for row in rows:
        name, of_class = (nfc(cell_text(row[key].strip())) for key in ("file", "class"))
        name = Path(name).as_posix()
        if name == "." or not of_class:  # empty
            continue
        if classes.setdefault(name, of_class) != of_class:
            raise DataError(f"{table} lists {shown(name)} as {listed([classes[name], of_class])}.")
    class_names = sorted(set(classes.values()))
    if len(class_names) < 2 or not all(map(str.isprintable, class_names)):
        found = listed(class_names) or "none"
        raise DataError(
            f"{table} must give two or more classes of printable names; it has {found}."
        )
    test = folder / "test"
    files = [
        path
        for path in files_below(folder, folder)
        if not path.is_relative_to(test) and path.absolute() != Path(table).absolute()
    ]
    paths = {nfc(path.relative_to(folder).as_posix()): path for path in images_among(files, folder)}
    if missing := [name for name in classes if name not in paths]:
        what = f"{len(missing)} of its files are no pictures below {folder}, test/ left out"
        raise DataError(f"{table}: {what}: {listed(missing[:MOST_NAMED])}.")
    return Pictures(
        class_names,
        labeled={paths[name]: class_names.index(label) for name, label in classes.items()},
        test=class_files(test, class_names, folder) if test.is_dir() else {},
        unlabeled=[path for name, path in paths.items() if name not in classes],
    )


def nfc(text: str) -> str:
    """A text with its letters composed, such as é as one character."""
    return unicodedata.normalize("NFC", text)


def learned_classes(folder: Path) -> list[str]:
    """The classes that a classifier learns from labeled/: two or more, else a DataError."""
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
            classes.setdefault(nfc(path.name), []).append(path)
    return dict(sorted(classes.items()))


def class_files(folder: Path, class_names: Sequence[str], root: Path) -> dict[Path, int]:
    """The image files <class>/* below a folder, each with its label: the place of its class.

    Raises:
        DataError: there are none, a class is not known, or a link leaves `root`.
    """
    classes = class_folders(folder)
    if unknown := listed(sorted(classes.keys() - set(class_names))):
        known = listed(class_names)
        raise DataError(f"{folder} has unknown classes: {unknown}; known are {known}.")
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
    """Raise a DataError where a file or folder is not below `root` once links are followed."""
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
        message = "Files below %s that are not read: %s. Formats that are: %s."
        log.warning(message, shown(folder), counts, ", ".join(FORMATS))
    return images


def warn_of_copies(
    labeled_files: Iterable[Path], labeled: Tensor, test_files: Iterable[Path], test: Tensor
) -> None:
    """Warn of labeled images that are in the test set, too: they make the test accuracy too high.

    Images are bytes (N, channels, height, width), each with its file.
    """
    tested = dict(zip(map(digest, test), test_files, strict=True))
    copies = [
        f"{shown(path)} as {shown(tested[key])}"
        for path, key in zip(labeled_files, map(digest, labeled), strict=True)
        if key in tested
    ]
    if copies:
        count, first = len(copies), copies[0]
        log.warning("%d of the labeled images are in test/, too, such as %s.", count, first)


def digest(image: Tensor) -> bytes:
    """A fingerprint that only equal images share."""
    return hashlib.sha256(image.numpy().tobytes()).digest()


def listed(names: Iterable[str]) -> str:
    """Names for a message."""
    return ", ".join(map(shown, names))
