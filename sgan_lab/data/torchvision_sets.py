"""Data sets that torchvision downloads and reads."""

import hashlib
import logging
import math
import socket
import stat
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.splits import split_training_set
from sgan_lab.errors import DataError

log = logging.getLogger(__name__)

if TYPE_CHECKING:  # torchvision takes a second to import, and not every data set needs it
    from torchvision.datasets import CIFAR10, MNIST, SVHN, VisionDataset


DOWNLOAD_TIMEOUT = 30  # seconds without a byte
IDX_SHAPES = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}
# MD5 of the uncompressed files. For the other torchvision data sets only the archives' sums are
# published; torchvision checks those when it downloads.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def torchvision_images(
    name: str,
    root: str,
    num_labeled: int,
    labeled_split: str,
    batch_size: int,
    **options: Any,
) -> SemiSupervisedData:
    """One of torchvision's data sets, downloaded to `root` when absent.

    Args:
        name: torchvision's class: MNIST, FashionMNIST, KMNIST, CIFAR10 or SVHN.
        root: folder that torchvision would be given.
        num_labeled: size of the labeled set.
        labeled_split: "first", "balanced" or "random", see `split_training_set`.
        batch_size: images a batch.
        options: the other arguments of `split_training_set`.

    Raises:
        DataError: the files are neither there nor to be had, or damaged.
        ConfigError: see `split_training_set`.
    """
    from torchvision import datasets

    read = {"CIFAR10": read_cifar10, "SVHN": read_svhn}.get(name, read_idx_files)
    train, test, class_names = read(getattr(datasets, name), Path(root).expanduser())
    return split_training_set(
        train, test, class_names, num_labeled, labeled_split, batch_size, **options
    )


class DataSet(NamedTuple):
    """A data set as it is published, with a name for each label."""

    train: LabeledImages
    test: LabeledImages
    class_names: Sequence[str]


def read_idx_files(dataset_class: type["MNIST"], folder: Path) -> DataSet:
    """MNIST or a data set of the same form: <name>/raw/ in a folder; gray, 28x28 pixels.

    Raises:
        DataError: the files are neither there nor to be had, or damaged.
    """
    from torchvision.datasets import mnist

    name = dataset_class.__name__
    raw = folder / name / "raw"
    if not all((raw / file).exists() for file in IDX_SHAPES):
        download(dataset_class, folder, train=False)  # and the training set
    for file, shape in IDX_SHAPES.items():
        check_idx_file(raw / file, shape, MNIST_MD5[file] if name == "MNIST" else None)
    # Not by dataset_class, which prefers the files of an old release, <name>/processed/*.pt.
    train, test = (
        LabeledImages(
            mnist.read_image_file(str(raw / f"{part}-images-idx3-ubyte")).unsqueeze(1),
            mnist.read_label_file(str(raw / f"{part}-labels-idx1-ubyte")),
        )
        for part in ("train", "t10k")
    )
    return DataSet(train, test, [each.split(" - ")[0] for each in dataset_class.classes])


def read_cifar10(dataset_class: type["CIFAR10"], folder: Path) -> DataSet:
    """CIFAR-10: cifar-10-batches-py/ in a folder; color, 32x32 pixels.

    Raises:
        DataError: the files are neither there, undamaged, nor to be had.
    """
    parts = [present_or_downloaded(dataset_class, folder, train=part) for part in (True, False)]
    train, test = (
        LabeledImages(
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)
        )
        for part in parts
    )
    return DataSet(train, test, parts[0].classes)


def read_svhn(dataset_class: type["SVHN"], folder: Path) -> DataSet:
    """Street View House Numbers, cropped: *_32x32.mat in a folder; color, 32x32 pixels.

    Raises:
        DataError: the files are neither there, undamaged, nor to be had.
    """
    parts = [present_or_downloaded(dataset_class, folder, split=part) for part in ("train", "test")]
    train, test = (
        LabeledImages(torch.from_numpy(part.data).contiguous(), torch.from_numpy(part.labels))
        for part in parts
    )
    return DataSet(train, test, [str(digit) for digit in range(10)])


def present_or_downloaded(
    dataset_class: type["VisionDataset"], folder: Path, **part: bool | str
) -> "VisionDataset":
    """A part of a torchvision data set that checks its files' MD5 sums whenever it is made.

    Raises:
        DataError: see `download`.
    """
    try:
        return dataset_class(folder, **part)
    except (RuntimeError, OSError):  # not there, or damaged, or not to be read
        return download(dataset_class, folder, **part)


def download(
    dataset_class: type["VisionDataset"], folder: Path, **part: bool | str
) -> "VisionDataset":
    """Download a torchvision data set, checksums verified.

    Raises:
        DataError: no mirror delivered it, or the folder cannot be written.
    """
    log.info("Downloading %s to %s", dataset_class.__name__, folder)
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return dataset_class(folder, download=True, **part)
    except Exception as error:  # the network, the disk and the archive each fail in their own way
        raise DataError(
            f"{dataset_class.__name__} is not in data.root={folder} and cannot be downloaded there "
            f"({' '.join(str(error).split())}). Set data.root, or the environment variable "
            "SGAN_LAB_DATA, to a folder that has it, or use data=digits, which needs no network."
        ) from error
    finally:
        socket.setdefaulttimeout(previous_timeout)


def check_idx_file(path: Path, shape: tuple[int, ...], md5: str | None) -> None:
    """Check an uncompressed idx file of bytes against its shape and, where known, its MD5 sum.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
    size = len(header) + math.prod(shape)
    try:
        found = path.stat()
        # A pipe would be waited for, a much larger file fill the memory.
        is_whole = stat.S_ISREG(found.st_mode) and found.st_size == size
        content = path.read_bytes() if is_whole else b""
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) != size:
        damage = f"{found.st_size} bytes instead of {size}"
    elif not content.startswith(header):
        damage = f"its header does not announce {'x'.join(map(str, shape))} bytes"
    elif len(shape) == 1 and max(content[len(header) :]) > 9:
        damage = "it has a label above 9"
    elif md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        damage = f"its MD5 sum is not {md5}"
    else:
        return
    raise DataError(f"{path} is damaged: {damage}. Delete it to download it again.")
