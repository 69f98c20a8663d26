"""What algorithms share that train two views of an image to have equal classes."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from sgan_lab.algorithms.alignment import DistributionAlignment
from sgan_lab.algorithms.base import Algorithm
from sgan_lab.algorithms.propagation import LabelPropagation, propagated_labels
from sgan_lab.data.containers import SemiSupervisedData


class Consistency(Algorithm):
    """The first view of an unlabeled image learns targets, which are guessed from the second.

    Args:
        distribution_alignment: whether the targets have the labels' class frequencies, see
            `DistributionAlignment`.
        class_frequencies: of the targets, in place of the labels'.
        strong_augmentation: of the view that learns, see `Algorithm`.
        propagation_weight: of the loss by which propagated labels are taught, see
            `LabelPropagation`; 0 for none.
        propagation_end: fraction of training, at its start, with that loss.
        training: see the class that follows in the bases.
    """

    def __init__(
        self,
        *,
        distribution_alignment: bool = False,
        class_frequencies: Sequence[float] | None = None,
        strong_augmentation: Mapping[str, float] | None = None,
        propagation_weight: float = 0.0,
        propagation_end: float = 0.5,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.strong_augmentation = strong_augmentation
        self.alignment = None
        if distribution_alignment or class_frequencies:
            num_classes = len(self.hparams.class_names)
            self.alignment = DistributionAlignment(num_classes, class_frequencies)
        self.propagation = None
        if propagation_weight:
            num_iterations = propagation_end * self.hparams.iterations
            self.propagation = LabelPropagation(propagation_weight, num_iterations)

    def batches(self, data: SemiSupervisedData, sample_interval: int) -> Iterable[Any]:
        """The batches of one Lightning epoch, with propagated labels where they are taught."""
        batches = super().batches(data, sample_interval)
        if self.propagation and self.propagation.is_on(self.first_iteration):
            batches.guesses = propagated_labels(data)
        return batches

    def learn_frequencies(self, data: SemiSupervisedData) -> None:
        """Take over how frequent classes are among the labels, where batches do not tell."""
        super().learn_frequencies(data)
        if self.alignment and data.balanced_batches:
            self.alignment.give(data.label_frequencies)

    def step_kind(self) -> Hashable:
        """Whether the step has the loss of propagated labels."""
        return self.propagation is not None and self.propagation.is_on(self.global_step)
