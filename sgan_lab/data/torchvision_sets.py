"""Data sets that torchvision downloads and reads."""

import hashlib
import inspect
import logging
import math
import socket
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sgan_lab.data.catalog import DATA_SETS, DataSet
from sgan_lab.data.containers import LabeledImages
from sgan_lab.errors import DataError, reason

if TYPE_CHECKING:  # torchvision takes a second to import, and not every data set needs it
    from torchvision.datasets import VisionDataset

log = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT = 30  # seconds without a byte
# MD5 of the uncompressed files. For the other data sets of this form only the sums of the archives
# are published; torchvision checks those when it downloads.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def read_idx(name: str, folder: Path) -> tuple[LabeledImages, LabeledImages]:
    """A data set of the form of MNIST: <name>/raw/ in a folder; gray.

    Raises:
        DataError: the files are missing and cannot be downloaded, or are damaged.
    """
    from torchvision import datasets
    from torchvision.datasets import mnist

    data_set, raw = DATA_SETS[name], folder / name / "raw"
    shapes = idx_shapes(data_set)
    if not all((raw / file).exists() for file in shapes):
        download(getattr(datasets, name), folder, train=False)  # and the training set
    for file, shape in shapes.items():
        md5 = MNIST_MD5[file] if name == "MNIST" else None
        check_idx_file(raw / file, shape, md5, len(data_set.class_names))
    # Not by torchvision's class, which prefers the files of an old release, <name>/processed/*.pt.
    train, test = (
        LabeledImages(
            mnist.read_image_file(str(raw / f"{part}-images-idx3-ubyte")).unsqueeze(1),
            mnist.read_label_file(str(raw / f"{part}-labels-idx1-ubyte")),
        )
        for part in ("train", "t10k")
    )
    return train, test


def idx_shapes(data_set: DataSet) -> dict[str, tuple[int, ...]]:
    """The names of the idx files of a data set, each with the shape of its bytes."""
    shapes = {}
    for part, count in (("train", data_set.training_images), ("t10k", data_set.test_images)):
        shapes[f"{part}-images-idx3-ubyte"] = (count, *data_set.image_shape[1:])
        shapes[f"{part}-labels-idx1-ubyte"] = (count,)
    return shapes


def read_arrays(name: str, folder: Path) -> tuple[LabeledImages, LabeledImages]:
    """A data set that torchvision holds as arrays, and whose files' MD5 sums it always checks.

    The pixels are the bytes in `data`, (N, channels, height, width) or (N, height, width,
    channels), and the labels are in `targets` or `labels`.

    Raises:
        DataError: the files are missing or damaged, and cannot be downloaded.
    """
    from torchvision import datasets

    dataset_class = getattr(datasets, name)
    channels, height, width = DATA_SETS[name].image_shape
    if "split" in inspect.signature(dataset_class).parameters:
        parts = [{"split": "train"}, {"split": "test"}]
    else:
        parts = [{"train": True}, {"train": False}]
    read = []
    for part in parts:
        try:
            found = dataset_class(folder, **part)
        except (RuntimeError, OSError):  # missing, damaged or unreadable
            found = download(dataset_class, folder, **part)
        pixels = torch.as_tensor(found.data)
        if pixels.shape[1:] == (height, width, channels):
            pixels = pixels.permute(0, 3, 1, 2)
        labels = found.targets if hasattr(found, "targets") else found.labels
        read.append(LabeledImages(pixels.contiguous(), torch.as_tensor(labels).long()))
    return tuple(read)


def download(dataset_class: type["VisionDataset"], folder: Path, **part: Any) -> "VisionDataset":
    """Download a part of a torchvision data set, checksums verified.

    A DataError says that no mirror delivered it, or that the folder cannot be written.
    """
    log.info("Downloading %s to %s", dataset_class.__name__, folder)
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        return dataset_class(folder, download=True, **part)
    except Exception as error:  # the network, the disk and the archive each fail in their own way
        raise DataError(
            f"{dataset_class.__name__} is not in data.root={folder} and cannot be downloaded there "
            f"({reason(error)}). Set data.root, or the environment variable "
            "SGAN_LAB_DATA, to a folder that has it, or use data=digits, which needs no network."
        ) from error
    finally:
        socket.setdefaulttimeout(previous_timeout)


def check_idx_file(
    path: Path, shape: tuple[int, ...], md5: str | None, num_classes: int = 10
) -> None:
    """Check an uncompressed idx file of bytes, by its MD5 sum where that is known.

    The header must announce a shape, of one dimension for labels, which are below `num_classes`.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
    size = len(header) + math.prod(shape)
    try:
        found = path.stat()
        # A pipe would block the program, a much larger file fill the memory.
        is_whole = stat.S_ISREG(found.st_mode) and found.st_size == size
        content = path.read_bytes() if is_whole else b""
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) != size:
        damage = f"{found.st_size} bytes instead of {size}"
    elif not content.startswith(header):
        damage = f"its header does not announce {'x'.join(map(str, shape))} bytes"
    elif len(shape) == 1 and max(content[len(header) :]) >= num_classes:
        damage = f"it has a label above {num_classes - 1}"
    elif md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        damage = f"its MD5 sum is not {md5}"
    else:
        return
    raise DataError(f"{path} is damaged: {damage}. Delete it to download it again.")
