"""Data sets as tensors in memory, the labeled and unlabeled sets, and the batches drawn from them.

Images are kept as bytes and scaled to [-1, 1] batch by batch. A batch is an index draw from torch's
default generator, so that the seed of a run fixes its batches; no worker processes are involved.
The labels of unlabeled images are dropped when a data set is split: nothing can read them.
"""

import hashlib
import logging
import math
import os
import socket
import stat
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from sgan_lab.augmentation import random_affine
from sgan_lab.errors import ConfigError, DataError

if TYPE_CHECKING:  # torchvision takes a second to import, and not every data set needs it
    from torchvision.datasets import CIFAR10, MNIST, SVHN, VisionDataset

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
IMAGE_FORMATS = ("PNG", "JPEG", "BMP")  # whatever the suffix; Pillow has Ghostscript run for others
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


class LabeledImages(NamedTuple):
    """Images as bytes (N, channels, height, width), 0 to 255, with labels (N,) in [0, classes)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SemiSupervisedData:
    """What a classifier may learn from, and what it is tested on.

    Attributes:
        labeled: the labeled training images.
        unlabeled_images: training images without labels, bytes (N, channels, height, width).
        test: the test images.
        validation: labeled training images held out to choose settings by; None without any.
        class_names: a name for each label.
        batch_size: images a batch.
        augmentation: strength of the random maps of training images, see `random_affine`.
    """

    labeled: LabeledImages
    unlabeled_images: Tensor
    test: LabeledImages
    validation: LabeledImages | None
    class_names: tuple[str, ...]
    batch_size: int
    augmentation: float = 0.0

    def training_images(self, images: Tensor) -> Tensor:
        """Bytes 0 to 255 to augmented floats in [-1, 1]."""
        scaled = scale(images)
        return random_affine(scaled, self.augmentation) if self.augmentation else scaled

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        return tuple(self.test.images.shape[1:])

    def to(self, device: torch.device) -> "SemiSupervisedData":
        """The same data on a device."""

        def moved(images: LabeledImages) -> LabeledImages:
            return LabeledImages(*(tensor.to(device) for tensor in images))

        return replace(
            self,
            labeled=moved(self.labeled),
            unlabeled_images=self.unlabeled_images.to(device),
            test=moved(self.test),
            validation=self.validation and moved(self.validation),
        )


def scale(images: Tensor) -> Tensor:
    """Bytes 0 to 255 to floats in [-1, 1]: (x - 127.5) / 127.5."""
    return (images.float() - 127.5) / 127.5


class LabeledBatch(NamedTuple):
    """Images (N, channels, height, width) in [-1, 1] and their labels (N,)."""

    images: Tensor
    labels: Tensor


class SemiSupervisedBatch(NamedTuple):
    """A labeled batch, and one or more unlabeled batches of its size in one; images in [-1, 1].

    Where there are several views of the unlabeled images, each is augmented by itself, and they
    follow one another in the same order.
    """

    labeled_images: Tensor
    labels: Tensor
    unlabeled_images: Tensor


class SemiSupervisedBatches:
    """Batches of labeled and unlabeled images, each drawn uniformly with replacement.

    Args:
        data: what to draw from.
        length: batches that one pass yields; the next pass goes on drawing.
        unlabeled_batches: unlabeled batches with each labeled one.
        views: of the unlabeled images in a batch, see `SemiSupervisedBatch`.

    Raises:
        ConfigError: there are no unlabeled images.
    """

    def __init__(
        self, data: SemiSupervisedData, length: int, unlabeled_batches: int = 1, views: int = 1
    ) -> None:
        if len(data.unlabeled_images) == 0:
            raise ConfigError(
                "data.num_labeled",
                len(data.labeled.labels),
                "leaves no unlabeled images to learn from; label fewer, or use model=supervised",
            )
        self.data = data
        self.length = length
        self.unlabeled_batches = unlabeled_batches
        self.views = views

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[SemiSupervisedBatch]:
        for _ in range(self.length):
            yield self.draw()

    def draw(self) -> SemiSupervisedBatch:
        """The next batch."""
        (images, labels), unlabeled = self.data.labeled, self.data.unlabeled_images
        size, device = self.data.batch_size, unlabeled.device
        drawn = torch.randint(len(images), (size,), device=device)
        drawn_unlabeled = torch.randint(
            len(unlabeled), (self.unlabeled_batches * size,), device=device
        )
        return SemiSupervisedBatch(
            self.data.training_images(images[drawn]),
            labels[drawn],
            self.data.training_images(unlabeled[drawn_unlabeled.repeat(self.views)]),
        )


class LabeledEpoch:
    """Batches for the supervised baseline: each labeled image once a pass, in a new random order.

    The last batch of a pass may be smaller. A pass that was left goes on where it was, also from a
    checkpoint: Lightning keeps what `state_dict` returns.
    """

    def __init__(self, data: SemiSupervisedData) -> None:
        self.data = data
        self.left = torch.empty(0, dtype=torch.int64)  # indices of the pass that are yet to come

    def __len__(self) -> int:
        return math.ceil(len(self.data.labeled.labels) / self.data.batch_size)

    def __iter__(self) -> Iterator[LabeledBatch]:
        images, labels = self.data.labeled
        if len(self.left) == 0:
            self.left = torch.randperm(len(images), device=images.device)
        while len(self.left):
            drawn, self.left = self.left.tensor_split([self.data.batch_size])
            yield LabeledBatch(self.data.training_images(images[drawn]), labels[drawn])

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"left": self.left}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Go on with the pass of a checkpoint."""
        self.left = state_dict["left"]


def balanced_indices(labels: Tensor, count: int, class_names: Sequence[str], key: str) -> Tensor:
    """The first images of each class, equally many of each.

    Args:
        labels: labels to choose from, (N,).
        count: how many to choose; where it is no multiple of the number of classes, the lower
            classes get one more.
        class_names: a name for each label.
        key: configuration key of `count`, for messages.

    Returns:
        Indices (count,), ascending.

    Raises:
        ConfigError: a class has too few images, or there are more classes than images to choose.
    """
    num_classes = len(class_names)
    if count < num_classes:
        raise ConfigError(
            key, count, f"must be at least the number of classes ({num_classes}) to be balanced"
        )
    chosen = []
    for label, name in enumerate(class_names):
        quota = count // num_classes + (label < count % num_classes)
        of_class = (labels == label).nonzero().flatten()
        if len(of_class) < quota:
            raise ConfigError(
                key,
                count,
                f"needs {quota} images of class {name} to be balanced, but there are "
                f"{len(of_class)}",
            )
        chosen.append(of_class[:quota])
    return torch.cat(chosen).sort().values


def images_of(
    images: LabeledImages, class_names: Sequence[str], classes: Sequence[str]
) -> LabeledImages:
    """The images of some classes, labeled by the places of their classes among these.

    Args:
        images: images of all classes.
        class_names: a name for each of their labels.
        classes: some of the names.
    """
    places = torch.full((len(class_names),), -1)
    for place, name in enumerate(classes):
        places[class_names.index(name)] = place
    labels = places[images.labels]
    return LabeledImages(images.images[labels >= 0], labels[labels >= 0])


def split_training_set(
    train: LabeledImages,
    test: LabeledImages,
    class_names: Sequence[str],
    num_labeled: int | None,
    labeled_split: str,
    batch_size: int,
    num_validation: int = 0,
    label_seed: int = 0,
    augmentation: float = 0.0,
    classes: Sequence[str | int] | None = None,
    unlabeled_classes: Sequence[str | int] | None = None,
) -> SemiSupervisedData:
    """Hold validation images out, keep the labels of `num_labeled` others, and drop the rest's.

    Unlabeled images may be of other classes than the labeled ones: the class mismatch of Oliver et
    al. 2018, Realistic Evaluation of Deep Semi-Supervised Learning Algorithms, section 4.4.

    Args:
        train: the training set.
        test: the test set.
        class_names: a name for each label.
        num_labeled: size of the labeled set; None for all that are not held out.
        labeled_split: "first" labels the first images of the file (the tutorial's rule); "balanced"
            the first of each class, see `balanced_indices`; "random" as many, drawn at random.
        batch_size: images a batch.
        num_validation: images held out, the last of each class; 0 for none.
        label_seed: what "random" draws by, and nothing else.
        augmentation: strength of the random maps of training images, see `random_affine`.
        classes: names of the classes to learn, which labeled, validation and test images are of;
            None for all. The labels count them in the order of `class_names`.
        unlabeled_classes: names of the classes of the unlabeled images, which are all those that
            are neither labeled nor held out; None for the classes to learn.

    Raises:
        ConfigError: there are not that many images, of a class or in all.
    """
    learned = sorted(map(str, classes or class_names), key=class_names.index)
    unlabeled = sorted(map(str, unlabeled_classes or learned), key=class_names.index)
    others = train.images[:0]  # unlabeled images of classes that are not learned
    if learned != list(class_names):
        not_learned = [name for name in unlabeled if name not in learned]
        others = images_of(train, class_names, not_learned).images
        train, test = (images_of(images, class_names, learned) for images in (train, test))
    validation, labels, images = None, train.labels, train.images
    if num_validation:
        backwards = balanced_indices(labels.flip(0), num_validation, learned, "data.num_validation")
        held_out = torch.zeros(len(labels), dtype=torch.bool)
        held_out[len(labels) - 1 - backwards] = True
        validation = LabeledImages(images[held_out], labels[held_out])
        images, labels = images[~held_out], labels[~held_out]
    if num_labeled is None:
        num_labeled, labeled_split = len(labels), "first"
    if not 1 <= num_labeled <= len(labels):
        raise ConfigError("data.num_labeled", num_labeled, f"must be an integer 1 to {len(labels)}")
    if labeled_split == "first":
        chosen, rest = slice(num_labeled), slice(num_labeled, None)  # views: nothing is copied
    else:
        order = torch.arange(len(labels))
        if labeled_split == "random":
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(label_seed))
        of_order = balanced_indices(labels[order], num_labeled, learned, "data.num_labeled")
        chosen = order[of_order].sort().values
        rest = torch.ones(len(labels), dtype=torch.bool)
        rest[chosen] = False
    labeled = LabeledImages(images[chosen], labels[chosen])
    unlabeled_images = images[rest]
    if unlabeled != learned:
        both = [name for name in learned if name in unlabeled]
        of_both = images_of(LabeledImages(unlabeled_images, labels[rest]), learned, both)
        unlabeled_images = torch.cat([of_both.images, others])
    missing = set(range(len(learned))) - set(labeled.labels.tolist())
    if missing:
        names = ", ".join(learned[label] for label in sorted(missing))
        log.warning("The labeled set has no image of class %s.", names)
    return SemiSupervisedData(
        labeled,
        unlabeled_images,
        test,
        validation,
        tuple(learned),
        batch_size,
        augmentation,
    )


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


def digits(
    num_labeled: int,
    labeled_split: str,
    batch_size: int,
    **options: Any,
) -> SemiSupervisedData:
    """scikit-learn's 1,797 handwritten digits, enlarged from 8x8 to 28x28 pixels.

    Bundled with scikit-learn, so it needs no network. 360 images, stratified by class and always
    the same, are the test set.

    Args:
        num_labeled: size of the labeled set.
        labeled_split: "first", "balanced" or "random", see `split_training_set`.
        batch_size: images a batch.
        options: the other arguments of `split_training_set`.

    Raises:
        ConfigError: see `split_training_set`.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)  # pixels 0 to 16
    small = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) * (255 / 16)
    images = F.interpolate(small, size=(28, 28), mode="bilinear").round().byte()
    train, test = train_test_split(
        torch.arange(len(labels)), test_size=360, random_state=0, stratify=labels
    )
    labels = torch.from_numpy(labels)
    return split_training_set(
        LabeledImages(images[train], labels[train]),
        LabeledImages(images[test], labels[test]),
        [str(label) for label in range(10)],
        num_labeled,
        labeled_split,
        batch_size,
        **options,
    )


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
