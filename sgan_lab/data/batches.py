"""Batches drawn from a data set.

Batches are drawn with torch's default generator, so the seed of a run determines them. No worker
processes are involved.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sgan_lab.data.augmentation import Augmentation
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.errors import ConfigError


class LabeledBatch(NamedTuple):
    """Images (N, channels, height, width) in [-1, 1] and their labels (N,)."""

    images: Tensor
    labels: Tensor


class SemiSupervisedBatch(NamedTuple):
    """A labeled batch, and one or more unlabeled batches of its size joined; images in [-1, 1].

    Several views of the unlabeled images follow one another, in the same order; each is augmented
    separately, the first one perhaps more strongly.
    """

    labeled_images: Tensor
    labels: Tensor
    unlabeled_images: Tensor
    guesses = None  # no field, see GuessedBatch


class GuessedBatch(NamedTuple):
    """A `SemiSupervisedBatch` with a label for each unlabeled image that was guessed, (N,)."""

    labeled_images: Tensor
    labels: Tensor
    unlabeled_images: Tensor
    guesses: Tensor


class SemiSupervisedBatches:
    """Batches of labeled and unlabeled images, drawn with replacement.

    Args:
        data: what to draw from.
        length: batches in one pass; the next pass draws new ones.
        unlabeled_batches: unlabeled batches with each labeled one.
        views: views of the unlabeled images, see `SemiSupervisedBatch`.

    Attributes:
        guesses: labels of all unlabeled images that were guessed, (N,); if there are any, each
            batch has its own.
        first_view: how the first view is changed; None for as the others.

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
        self.guesses: Tensor | None = None
        self.first_view: Augmentation | None = None

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[SemiSupervisedBatch | GuessedBatch]:
        for _ in range(self.length):
            yield self.draw()

    @property
    def is_recordable(self) -> bool:
        """Whether `draw` can be recorded as a CUDA graph: nothing passes between CPU and GPU."""
        views = (self.data.augmentation, self.first_view or self.data.augmentation)
        return self.data.draw_weights is None and not any(each.rand_augment for each in views)

    def draw(self) -> SemiSupervisedBatch | GuessedBatch:
        """The next batch."""
        (images, labels), unlabeled = self.data.labeled, self.data.unlabeled_images
        size, device = self.data.batch_size, unlabeled.device
        drawn = self.data.draw_labeled(size)
        drawn_unlabeled = torch.randint(
            len(unlabeled), (self.unlabeled_batches * size,), device=device
        )
        batch = SemiSupervisedBatch(
            self.data.training_images(images[drawn]),
            labels[drawn],
            self.views_of(unlabeled[drawn_unlabeled.repeat(self.views)]),
        )
        if self.guesses is None:
            return batch
        return GuessedBatch(*batch, self.guesses[drawn_unlabeled])

    def views_of(self, images: Tensor) -> Tensor:
        """Bytes (views * N, channels, height, width) to the views of a batch."""
        if self.first_view is None:
            return self.data.training_images(images)
        first, others = images.tensor_split([len(images) // self.views])
        views = self.data.training_images(first, self.first_view), self.data.training_images(others)
        return torch.cat(views)


class LabeledEpoch:
    """Batches for the supervised baseline: each labeled image once a pass, in a new random order.

    Where the data have balanced batches, a pass has as many images, drawn with replacement. The
    last batch of a pass may be smaller. An interrupted pass resumes where it stopped, also from a
    checkpoint: Lightning stores what `state_dict` returns.
    """

    def __init__(self, data: SemiSupervisedData) -> None:
        self.data = data
        self.left = torch.empty(0, dtype=torch.int64)  # indices that the pass still has to visit

    def __len__(self) -> int:
        return math.ceil(len(self.data.labeled.labels) / self.data.batch_size)

    def __iter__(self) -> Iterator[LabeledBatch]:
        images, labels = self.data.labeled
        if len(self.left) == 0 and self.data.balanced_batches:
            self.left = self.data.draw_labeled(len(images))
        elif len(self.left) == 0:
            self.left = torch.randperm(len(images), device=images.device)
        while len(self.left):
            drawn, self.left = self.left.tensor_split([self.data.batch_size])
            yield LabeledBatch(self.data.training_images(images[drawn]), labels[drawn])

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint stores."""
        return {"left": self.left}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Resume the pass of a checkpoint."""
        self.left = state_dict["left"]
