"""Pseudo-Label: the classifier's own confident classes are labels of the unlabeled images.

Lee 2013, Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks, with the confidence threshold of Oliver et al. 2018.
"""

from typing import Any

from torch import Tensor

from sgan_lab import losses
from sgan_lab.algorithms.base import SemiSupervisedClassifier
from sgan_lab.data.batches import SemiSupervisedBatch


class PseudoLabel(SemiSupervisedClassifier):
    """Labeled images by their labels, unlabeled ones by the classes of the same pass.

    Args:
        threshold: in [0, 1); what the probability of a class must exceed to be a label.
        training: see `SemiSupervisedClassifier`.
    """

    def __init__(self, *, threshold: float, **training: Any) -> None:
        super().__init__(**training)

    def labeled_logits_and_unlabeled_loss(
        self, batch: SemiSupervisedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy with the pseudo-labels; "unlabeled/confident" is how many there are."""
        labeled_logits, logits = self.logits_of(batch.labeled_images, batch.unlabeled_images)
        loss, confident = losses.pseudo_label_loss(logits, logits, self.hparams.threshold)
        return labeled_logits, {"unlabeled/loss": loss, "unlabeled/confident": confident.mean()}
