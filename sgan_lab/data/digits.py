"""scikit-learn's handwritten digits, which need no download."""

from pathlib import Path

import torch
import torch.nn.functional as F

from sgan_lab.data.containers import LabeledImages


def read_digits(_name: str, _folder: Path) -> tuple[LabeledImages, LabeledImages]:
    """scikit-learn's 1,797 handwritten digits, enlarged from 8x8 to 28x28 pixels.

    The files come with scikit-learn. 360 images, stratified by class and always the same, are the
    test set.
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
    return LabeledImages(images[train], labels[train]), LabeledImages(images[test], labels[test])
