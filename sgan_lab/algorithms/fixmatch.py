"""FixMatch: confident classes of one view are labels of another, strongly augmented one.

Sohn et al. 2020, FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence.
"""

from typing import Any

from torch import Tensor

from sgan_lab import losses
from sgan_lab.algorithms.pi_model import PiModel


class FixMatch(PiModel):
    """The Pi-model with labels as targets. The paper's classifier is a running average.

    Args:
        threshold: in [0, 1); what the probability of a class must exceed to be a label.
        training: see `PiModel` and `SemiSupervisedClassifier`.
    """

    def __init__(self, *, threshold: float, **training: Any) -> None:
        super().__init__(**training)

    def agreement(self, logits: Tensor, target_logits: Tensor) -> dict[str, Tensor]:
        """Cross-entropy with the labels; "unlabeled/confident" is how many there are."""
        threshold = self.hparams.threshold
        loss, confident = losses.pseudo_label_loss(logits, target_logits, threshold)
        return {"unlabeled/loss": loss, "unlabeled/confident": confident.mean()}
