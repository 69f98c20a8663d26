"""scikit-learn's handwritten digits, which need no download."""

from typing import Any

import torch
import torch.nn.functional as F

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.splits import split_training_set


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
