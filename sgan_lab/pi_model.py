"""The Pi-model: two passes of an image, dropout and augmentation drawn anew, shall agree.

Laine and Aila 2017, Temporal Ensembling for Semi-Supervised Learning, algorithm 1. As Oliver et al.
2018 have it, the second pass is a target without a gradient, and the labeled images are left out.
With a gradient in both, the loss has the same gradient in the mean as twice this one's.
"""

import torch
from torch import Tensor

from sgan_lab import losses
from sgan_lab.data import SemiSupervisedBatch, SemiSupervisedBatches, SemiSupervisedData
from sgan_lab.semi_supervised_classifier import SemiSupervisedClassifier


class PiModel(SemiSupervisedClassifier):
    """The classifier is its own teacher. For the arguments see `SemiSupervisedClassifier`."""

    def labeled_logits_and_unlabeled_loss(
        self, batch: SemiSupervisedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared difference of the class probabilities of two views."""
        view, other_view = batch.unlabeled_images.chunk(2)
        images = torch.cat([batch.labeled_images, view])
        labeled_logits, logits = self.discriminator(images).chunk(2)
        with torch.no_grad():
            target_logits = self.teacher(other_view)
        return labeled_logits, {"unlabeled/loss": losses.consistency_loss(logits, target_logits)}

    def teacher(self, images: Tensor) -> Tensor:
        """Logits that those of another view of the images shall agree with."""
        return self.discriminator(images)

    def batches(self, data: SemiSupervisedData) -> SemiSupervisedBatches:
        """What one Lightning epoch trains on, two views of the unlabeled images."""
        return SemiSupervisedBatches(data, length=self.hparams.sample_interval, views=2)
