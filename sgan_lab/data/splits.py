"""Which training images are labeled, held out for validation, or left unlabeled.

The labels of unlabeled images are dropped here: nothing can read them.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgan_lab.data.augmentation import Augmentation
from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.text_files import read_text, shown
from sgan_lab.errors import ConfigError, DataError

log = logging.getLogger(__name__)


def split_training_set(
    train: LabeledImages,
    test: LabeledImages,
    class_names: Sequence[str],
    num_labeled: int | None,
    labeled_split: str,
    batch_size: int,
    num_validation: int = 0,
    label_seed: int = 0,
    augmentation: Mapping[str, Any] | None = None,
    classes: Sequence[str | int] | None = None,
    unlabeled_classes: Sequence[str | int] | None = None,
    num_unlabeled: int | None = None,
    listed: Tensor | None = None,
    more_unlabeled: Tensor | None = None,
    balanced_batches: bool = False,
    suggest: Callable[[Tensor, int], Sequence[int]] | None = None,
) -> SemiSupervisedData:
    """Hold out validation images, and keep the labels of `num_labeled` of the others only.

    Unlabeled images may be of other classes than the labeled ones: the class mismatch of Oliver et
    al. 2018, Realistic Evaluation of Deep Semi-Supervised Learning Algorithms, section 4.4.

    Args:
        train: the training set.
        test: the test set.
        class_names: a name for each label.
        num_labeled: size of the labeled set; None for all images that are not held out.
        labeled_split: "first" labels the first images of the training set (the tutorial's rule);
            "balanced" the first of each class; "random" equally many of each class, at random;
            "representative" those that stand for all, see `neighbors.representatives`, each with
            the size of its cluster as its weight; "suggested" a half as "random" does, and those
            that `suggest` chooses. Among the latter classes are as frequent as they are doubtful,
            so weights give each class the frequency that it has in the first half.
        batch_size: images a batch.
        num_validation: images held out, the last of each class; 0 for none.
        label_seed: seed of "random", "representative", the half of "suggested" and `num_unlabeled`;
            nothing else depends on it.
        augmentation: attributes of an `Augmentation`; None for no changes.
        classes: names of the classes to learn; labeled, validation and test images are of these
            only. None for all. Labels number them in the order of `class_names`.
        unlabeled_classes: names of the classes of the unlabeled images, which are all images of
            these classes that are neither labeled nor held out; None for the classes to learn.
        num_unlabeled: unlabeled images, drawn from all that there are; None for all of these.
        listed: which training images are labeled, (N,), in place of `num_labeled`.
        more_unlabeled: images that never had a label, bytes (N, channels, height, width).
        balanced_batches: whether classes are equally frequent in labeled batches, in the mean.
        suggest: given images and a number, the indices of so many that are to be labeled, too; None
            for the first half of "suggested" alone.

    Raises:
        ConfigError: there are too few images, of a class or in all; or listed images are of classes
            that are not learned.
    """
    learned = sorted(map(str, classes or class_names), key=class_names.index)
    unlabeled = sorted(map(str, unlabeled_classes or learned), key=class_names.index)
    others = train.images[:0]  # unlabeled images of classes that are not learned
    if listed is not None:
        labeled, train = at(train, listed), at(train, ~listed)
    if learned != list(class_names):
        not_learned = [name for name in unlabeled if name not in learned]
        others = of_classes(train, class_names, not_learned).images
        train, test = (of_classes(images, class_names, learned) for images in (train, test))
        if listed is not None:
            labeled = of_classes(labeled, class_names, learned)
    validation, rest = hold_out(train, num_validation, learned)
    weights = None
    if listed is None:
        how = num_labeled, labeled_split, label_seed, learned, suggest
        labeled, weights, rest = choose_labeled(rest, *how)
    elif len(labeled.labels) < listed.sum():
        raise ConfigError("data.classes", learned, "lacks classes of images in data.labeled_list")
    unlabeled_images = rest.images
    if unlabeled != learned:
        both = [name for name in learned if name in unlabeled]
        unlabeled_images = torch.cat([of_classes(rest, learned, both).images, others])
    if more_unlabeled is not None:
        # Without the copy where nothing is added: they may fill most of the memory.
        joined = [more_unlabeled, unlabeled_images]
        unlabeled_images = torch.cat(joined) if len(unlabeled_images) else more_unlabeled
    if num_unlabeled is not None:
        unlabeled_images = draw(unlabeled_images, num_unlabeled, label_seed)
    for part, labels in (("labeled", labeled.labels), ("test", test.labels)):
        missing = sorted(set(range(len(learned))) - set(labels.tolist()))
        if missing:
            names = ", ".join(learned[label] for label in missing)
            log.warning("The %s set has no image of class %s.", part, names)
    changes = Augmentation(**(augmentation or {}))
    parts = labeled, unlabeled_images, test, validation, tuple(learned)
    return SemiSupervisedData(*parts, batch_size, changes, weights, balanced_batches)


def draw(images: Tensor, count: int, seed: int) -> Tensor:
    """Some of the unlabeled images, drawn at random, in the order that they have.

    Raises:
        ConfigError: there are fewer.
    """
    if count > len(images):
        raise ConfigError("data.num_unlabeled", count, f"must be null or 1 to {len(images)}")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images[order[:count].sort().values]


def listed_images(path: Path, total: int, names: Sequence[str] = ()) -> Tensor:
    """Which images a file lists, one a line: by index from 0, or by name where they have names.

    Args:
        path: the file; empty lines are skipped.
        total: number of images.
        names: of the images.

    Returns:
        Whether each image is listed, (total,).

    Raises:
        DataError: the file cannot be read, lists nothing, or lists what is no such image.
    """
    places = {str(index): index for index in range(total)}
    places |= {name: index for index, name in enumerate(names)}
    lines = list(filter(None, map(str.strip, read_text(path).splitlines())))
    unknown = [line for line in lines if line not in places]
    if unknown or not lines:
        found = ", ".join(map(shown, unknown[:10])) or "nothing"
        known = f"indices 0 to {total - 1}{' or file names below data.root' if names else ''}"
        raise DataError(
            f"{path} (data.labeled_list) must list labeled images, a line each, by {known}; it has "
            f"{found}{', ...' if len(unknown) > 10 else ''}."
        )
    listed = torch.zeros(total, dtype=torch.bool)
    listed[[places[line] for line in lines]] = True
    return listed


def hold_out_test(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Draw a fraction of the images of each class: at least one, but never all.

    Args:
        labels: labels to draw from, (N,); negative for images that are not to be drawn.
        fraction: of each class, above 0 and below 1.
        seed: of the draw; nothing else depends on it.

    Returns:
        Whether each image is drawn, (N,).
    """
    drawn = torch.zeros(len(labels), dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for label in labels[labels >= 0].unique():
        of_class = (labels == label).nonzero().flatten()
        order = torch.randperm(len(of_class), generator=generator)
        quota = min(max(round(fraction * len(of_class)), 1), len(of_class) - 1)
        drawn[of_class[order[:quota]]] = True
    return drawn


def fold_test(labels: Tensor, folds: int, fold: int, seed: int) -> Tensor:
    """One of some parts of the images; in each, the classes are as frequent as in all of them.

    Args:
        labels: labels to draw from, (N,); negative for images that are in no part.
        folds: number of the parts.
        fold: which one, 0 to folds - 1.
        seed: of the draw; nothing else depends on it.

    Returns:
        Whether each image is in the part, (N,).

    Raises:
        ConfigError: no class has as many images as there are parts.
    """
    from sklearn.model_selection import StratifiedKFold

    places = (labels >= 0).nonzero().flatten()
    most = labels[places].bincount().amax().item() if len(places) else 0
    if most < folds:
        allowed = f"must be at most {most}, the labeled images of the largest class"
        raise ConfigError("data.folds", folds, allowed)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than parts; told later
        _, part = list(splitter.split(places, labels[places]))[fold]
    drawn = torch.zeros(len(labels), dtype=torch.bool)
    drawn[places[part]] = True
    return drawn


def of_classes(
    images: LabeledImages, class_names: Sequence[str], classes: Sequence[str]
) -> LabeledImages:
    """The images of some classes, each labeled by the place of its class among these.

    Args:
        images: images of all classes.
        class_names: a name for each of their labels.
        classes: some of the names.
    """
    places = torch.full((len(class_names),), -1)
    for place, name in enumerate(classes):
        places[class_names.index(name)] = place
    labels = places[images.labels]
    return at(LabeledImages(images.images, labels), labels >= 0)


def hold_out(
    train: LabeledImages, count: int, class_names: Sequence[str]
) -> tuple[LabeledImages | None, LabeledImages]:
    """Take the last images of each class, equally many of each, for validation.

    Returns:
        The validation images, None without any, and the other images.

    Raises:
        ConfigError: see `first_of_each_class`.
    """
    if count == 0:
        return None, train
    backwards = train.labels.flip(0)
    held_out = first_of_each_class(backwards, count, class_names, "data.num_validation").flip(0)
    return at(train, held_out), at(train, ~held_out)


def choose_labeled(
    train: LabeledImages,
    count: int | None,
    labeled_split: str,
    label_seed: int,
    class_names: Sequence[str],
    suggest: Callable[[Tensor, int], Sequence[int]] | None = None,
) -> tuple[LabeledImages, Tensor | None, LabeledImages]:
    """Choose the images that keep their labels, see `split_training_set`.

    Returns:
        The labeled images, how often each is drawn relative to the others, and the others. All are
        drawn equally often where that is None.

    Raises:
        ConfigError: there are too few images, or see `first_of_each_class`.
    """
    total, weights = len(train.labels), None
    if count is None:
        count, labeled_split = total, "first"
    most = total - (labeled_split == "representative")
    if not 1 <= count <= most:
        raise ConfigError("data.num_labeled", count, f"must be an integer 1 to {most}")
    if labeled_split == "first":  # slices are views: nothing is copied
        return at(train, slice(count)), None, at(train, slice(count, None))
    chosen = torch.zeros(total, dtype=torch.bool)
    if labeled_split == "representative":
        from sgan_lab.data.neighbors import representatives  # a second to import

        log.info("Choosing %d of %d images to label.", count, total)
        indices, sizes = representatives(train.images, count, label_seed)
        chosen[indices], weights = True, sizes.float()
        return at(train, chosen), weights, at(train, ~chosen)
    order, key, at_first = torch.arange(total), "data.num_labeled", count
    if labeled_split != "balanced":
        order = torch.randperm(total, generator=torch.Generator().manual_seed(label_seed))
    if labeled_split == "suggested":
        key, at_first = f"half of {key}", count // 2
    chosen[order] = first_of_each_class(train.labels[order], at_first, class_names, key)
    if labeled_split == "suggested" and suggest:
        frequencies = train.labels[chosen].bincount()
        others = (~chosen).nonzero().flatten()
        chosen[others[torch.tensor(suggest(train.images[others], count - at_first))]] = True
        labels = train.labels[chosen]
        weights = (frequencies / labels.bincount())[labels]
    return at(train, chosen), weights, at(train, ~chosen)


def first_of_each_class(labels: Tensor, count: int, class_names: Sequence[str], key: str) -> Tensor:
    """Choose the first images of each class, equally many of each.

    Args:
        labels: labels to choose from, (N,).
        count: how many to choose; where it is no multiple of the number of classes, the lower
            classes get one more.
        class_names: a name for each label.
        key: configuration key of `count`, for messages.

    Returns:
        Whether each image is chosen, (N,).

    Raises:
        ConfigError: a class has too few images, or there are more classes than images to choose.
    """
    num_classes = len(class_names)
    if count < num_classes:
        raise ConfigError(
            key, count, f"must be at least the number of classes ({num_classes}) to be balanced"
        )
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label, name in enumerate(class_names):
        quota = count // num_classes + (label < count % num_classes)
        of_class = (labels == label).nonzero().flatten()
        if len(of_class) < quota:
            allowed = f"needs {quota} images of class {name} to be balanced, but there are "
            raise ConfigError(key, count, f"{allowed}{len(of_class)}")
        chosen[of_class[:quota]] = True
    return chosen


def at(images: LabeledImages, index: Tensor | slice) -> LabeledImages:
    """Some of the images, with their labels."""
    return LabeledImages(images.images[index], images.labels[index])
