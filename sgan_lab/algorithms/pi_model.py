"""The Pi-model: two passes of an image, each with its own dropout and augmentation, agree.

Laine and Aila 2017, Temporal Ensembling for Semi-Supervised Learning, algorithm 1. As Oliver et al.
2018 have it, the second pass is a target without a gradient, and the labeled images are left out.
With a gradient in both, the loss has the same gradient in the mean as twice this one's.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sgan_lab import losses
from sgan_lab.algorithms.base import SemiSupervisedClassifier
from sgan_lab.algorithms.consistency import Consistency
from sgan_lab.data.batches import SemiSupervisedBatch


class PiModel(Consistency, SemiSupervisedClassifier):
    """The classifier is its own teacher.

    Args:
        target_dropout: whether the pass for the target has dropout too, as in the paper.
        training: see `Consistency` and `SemiSupervisedClassifier`.
    """

    views = 2

    def __init__(self, *, target_dropout: bool = True, **training: Any) -> None:
        super().__init__(**training)

    def labeled_logits_and_unlabeled_loss(
        self, batch: SemiSupervisedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Consistency of the class probabilities of two views, and propagated labels."""
        view, other_view = batch.unlabeled_images.chunk(2)
        labeled_logits, logits = self.logits_of(batch.labeled_images, view)
        with torch.no_grad():
            target_logits = self.teacher.train(self.hparams.target_dropout)(other_view)
        self.teacher.train()
        if self.alignment:
            self.alignment.update_labels(batch.labels)
            target_logits = self.alignment(target_logits)
        values = self.agreement(logits, target_logits)
        if self.propagation:
            propagation_loss = self.propagation.loss(logits, batch.guesses, self.global_step)
            values["unlabeled/propagation_loss"] = propagation_loss
        return labeled_logits, values

    def agreement(self, logits: Tensor, target_logits: Tensor) -> dict[str, Tensor]:
        """Scalars to log, of two views (N, classes) each; "unlabeled/loss" is minimized."""
        return {"unlabeled/loss": losses.consistency_loss(logits, target_logits)}

    @property
    def teacher(self) -> nn.Module:
        """The network whose logits of another view are the targets."""
        return self.discriminator
