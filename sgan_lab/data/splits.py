"""Which training images are labeled, held out for validation, or left unlabeled.

The labels of unlabeled images are dropped here: nothing can read them.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.errors import ConfigError

log = logging.getLogger(__name__)


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
