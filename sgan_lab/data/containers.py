"""Images in memory, as bytes; they are scaled to [-1, 1] batch by batch."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sgan_lab.data.augmentation import Augmentation


class LabeledImages(NamedTuple):
    """Images as bytes (N, channels, height, width), 0 to 255, with labels (N,) in [0, classes)."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "LabeledImages":
        """The same images on a device."""
        return LabeledImages(self.images.to(device), self.labels.to(device))


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
        augmentation: how training images are changed.
        label_weights: how often each labeled image is drawn, relative to the others, (N,); None
            for all equally often.
        background: the color that transparent pixels of image files were put on.
    """

    labeled: LabeledImages
    unlabeled_images: Tensor
    test: LabeledImages
    validation: LabeledImages | None
    class_names: tuple[str, ...]
    batch_size: int
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_weights: Tensor | None = None
    background: str = "white"

    def training_images(self, images: Tensor) -> Tensor:
        """Bytes 0 to 255 to augmented floats in [-1, 1]."""
        return self.augmentation.of_floats(scale(self.augmentation.of_bytes(images)))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        return tuple(self.test.images.shape[1:])

    def to(self, device: torch.device) -> "SemiSupervisedData":
        """The same data on a device."""
        return replace(
            self,
            labeled=self.labeled.to(device),
            unlabeled_images=self.unlabeled_images.to(device),
            test=self.test.to(device),
            validation=self.validation and self.validation.to(device),
            label_weights=None if self.label_weights is None else self.label_weights.to(device),
        )


def scale(images: Tensor) -> Tensor:
    """Bytes 0 to 255 to floats in [-1, 1]: (x - 127.5) / 127.5."""
    return (images.float() - 127.5) / 127.5
