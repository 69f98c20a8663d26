"""The supervised baseline: the SGAN's discriminator trained on the labeled images alone."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor
from torchmetrics import MeanMetric

from sgan_lab import losses
from sgan_lab.data.batches import LabeledBatch, LabeledEpoch
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.evaluation import plots
from sgan_lab.networks.registry import DISCRIMINATORS
from sgan_lab.training.history import History


class Supervised(LightningModule):
    """The classifier that the SGAN is compared with (GANs in Action, chapter 7).

    Args:
        image_shape: (channels, height, width) of an image.
        class_names: a name for each label; kept in checkpoints for those who use the classifier.
        epochs: passes over the labeled images.
        learning_rate: of Adam.
        discriminator: "strided", the tutorial's network, or "pooling", see `PoolingDiscriminator`.
    """

    log_interval = None  # loss and accuracy are means over an epoch: one point an epoch

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_names: Sequence[str],
        epochs: int,
        learning_rate: float,
        discriminator: str = "strided",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.discriminator = DISCRIMINATORS[discriminator](image_shape, len(class_names))
        self.mean_loss = MeanMetric()
        self.mean_accuracy = MeanMetric()
        for metric in (self.mean_loss, self.mean_accuracy):
            metric.persistent(True)  # a checkpoint may be written within an epoch

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to class logits (N, classes)."""
        return self.discriminator(images)

    def on_train_epoch_start(self) -> None:
        """Begin new means."""
        self.mean_loss.reset()
        self.mean_accuracy.reset()

    def training_step(self, batch: LabeledBatch, _: int) -> dict[str, Tensor]:
        """One batch; returns its loss and the epoch's means so far."""
        logits = self.discriminator(batch.images)
        loss = losses.class_loss(logits, batch.labels)
        correct = (logits.argmax(dim=1) == batch.labels).float()
        self.mean_loss.update(loss.detach(), len(correct))
        self.mean_accuracy.update(correct)
        return {
            "loss": loss,
            "labeled/class_loss": self.mean_loss.compute(),
            "labeled/accuracy": self.mean_accuracy.compute(),
        }

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with Keras's epsilon."""
        learning_rate = self.hparams.learning_rate
        return torch.optim.Adam(self.parameters(), lr=learning_rate, eps=1e-7, fused=True)

    @property
    def training_limit(self) -> dict[str, int]:
        """When Lightning's trainer is to stop."""
        return {"max_epochs": self.hparams.epochs}

    def batches(self, data: SemiSupervisedData) -> LabeledEpoch:
        """What one Lightning epoch trains on."""
        return LabeledEpoch(data)

    def log_line(self, iteration: int, values: dict[str, float]) -> str:
        """One line an epoch, from what `training_step` returned at its last iteration."""
        return (
            f"{iteration} [epoch {self.current_epoch + 1}, "
            f"loss: {values['labeled/class_loss']:.4f}, "
            f"acc.: {values['labeled/accuracy']:.2%}]"
        )

    def figures(self, history: History) -> dict[str, Figure]:
        """Loss and accuracy over epochs, by file name."""
        last = [end - 1 for end in history.interval_ends]
        return {
            "loss": plots.baseline_curve(history["labeled/class_loss"][last], "Loss"),
            "accuracy": plots.baseline_curve(history["labeled/accuracy"][last], "Accuracy"),
        }
