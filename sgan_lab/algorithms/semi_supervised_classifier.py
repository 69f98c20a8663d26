"""What the semi-supervised algorithms without a generator share.

Oliver et al. 2018, Realistic Evaluation of Deep Semi-Supervised Learning Algorithms, compares them
by one protocol (github.com/brain-research/realistic-ssl-evaluation); here the network is the SGAN's
discriminator.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from sgan_lab import losses
from sgan_lab.algorithms.schedules import ramp_up
from sgan_lab.algorithms.semi_supervised_module import SemiSupervisedModule
from sgan_lab.data.batches import SemiSupervisedBatch
from sgan_lab.networks.registry import DISCRIMINATORS


class SemiSupervisedClassifier(SemiSupervisedModule):
    """One update an iteration, along class loss + weight * unlabeled loss.

    Args:
        image_shape: (channels, height, width) of an image.
        class_names: a name for each label; kept in checkpoints for those who use the classifier.
        iterations: length of training.
        sample_interval: iterations between two log lines and checkpoints.
        log_interval: iterations between two points of TensorBoard's curves.
        learning_rate: of Adam.
        learning_rate_decay: fraction of training, at its end, in which the learning rate falls
            linearly to zero.
        weight: of the unlabeled loss, after the ramp-up.
        ramp_up: fraction of training, at its start, in which the weight rises.
        unlabeled_batches: unlabeled batches with each labeled one.
        discriminator: "strided", the tutorial's network, or "pooling", see `PoolingDiscriminator`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_names: Sequence[str],
        iterations: int,
        sample_interval: int,
        log_interval: int,
        learning_rate: float,
        learning_rate_decay: float,
        weight: float,
        ramp_up: float,
        unlabeled_batches: int = 1,
        discriminator: str = "strided",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # those of the subclass, too
        self.learning_rate_decay = learning_rate_decay
        self.unlabeled_batches = unlabeled_batches
        self.discriminator = DISCRIMINATORS[discriminator](image_shape, len(class_names))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to class logits (N, classes)."""
        return self.discriminator(images)

    def logits_of(self, labeled_images: Tensor, unlabeled_images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of a batch of each, in one pass."""
        images = torch.cat([labeled_images, unlabeled_images])
        return self.discriminator(images).tensor_split([len(labeled_images)])

    def labeled_logits_and_unlabeled_loss(
        self, batch: SemiSupervisedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What makes the algorithm.

        Returns:
            Logits (N, classes) of the labeled images, and scalars to log, of which "unlabeled/loss"
            is to be minimized.
        """
        raise NotImplementedError

    def training_step(self, batch: SemiSupervisedBatch, _: int) -> dict[str, Tensor]:
        """One iteration; returns its losses and the accuracy on the labeled batch."""
        logits, values = self.labeled_logits_and_unlabeled_loss(batch)
        class_loss = losses.class_loss(logits, batch.labels)
        factor = ramp_up(self.global_step, self.hparams.iterations, self.hparams.ramp_up)
        return {
            "loss": class_loss + factor * self.hparams.weight * values["unlabeled/loss"],
            "labeled/class_loss": class_loss.detach(),
            "labeled/accuracy": (logits.argmax(dim=1) == batch.labels).float().mean(),
            **{name: value.detach() for name, value in values.items()},
        }

    def configure_optimizers(self) -> Optimizer:
        """Adam with Keras's epsilon."""
        learning_rate = self.hparams.learning_rate
        return Adam(self.discriminator.parameters(), lr=learning_rate, eps=1e-7, fused=True)

    def log_line(self, iteration: int, values: dict[str, float]) -> str:
        """A log line like the SGAN's, from what `training_step` returned at an iteration."""
        return (
            f"{iteration} [supervised loss: {values['labeled/class_loss']:.4f}, "
            f"acc.: {values['labeled/accuracy']:.2%}] "
            f"[unsupervised loss: {values['unlabeled/loss']:.4f}]"
        )
