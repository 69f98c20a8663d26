"""Entropy minimization: the classifier is confident of the class of each unlabeled image.

Grandvalet and Bengio 2005, Semi-supervised Learning by Entropy Minimization.
"""

from torch import Tensor

from sgan_lab import losses
from sgan_lab.algorithms.base import SemiSupervisedClassifier
from sgan_lab.data.batches import SemiSupervisedBatch


class EntropyMinimization(SemiSupervisedClassifier):
    """Labeled images by their labels, unlabeled ones by the entropy of their classes."""

    def labeled_logits_and_unlabeled_loss(
        self, batch: SemiSupervisedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean entropy of the predicted classes, in nats."""
        labeled_logits, logits = self.logits_of(batch.labeled_images, batch.unlabeled_images)
        return labeled_logits, {"unlabeled/loss": losses.entropy(logits)}
