"""The supervised baseline: the SGAN's discriminator trained on the labeled images alone."""

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from sgan_lab.algorithms.base import Algorithm, keras_adam
from sgan_lab.data.batches import LabeledBatch, LabeledEpoch
from sgan_lab.data.containers import SemiSupervisedData


class Supervised(Algorithm):
    """The classifier that the SGAN is compared with (GANs in Action, chapter 7).

    Args:
        epochs: passes over the labeled images.
        learning_rate: of Adam.
        logit_adjustment: see `Algorithm`.
        weights: see `Algorithm`.
        network: see `Algorithm`.
    """

    in_epochs = True

    def __init__(
        self,
        *,
        epochs: int,
        learning_rate: float,
        logit_adjustment: float = 0.0,
        weights: str | None = None,
        **network: Any,
    ) -> None:
        super().__init__(**network)
        self.logit_adjustment = logit_adjustment
        self.weights = weights
        self.mean_loss = MeanMetric()
        self.mean_accuracy = MeanMetric()
        for metric in (self.mean_loss, self.mean_accuracy):
            metric.persistent(True)  # a checkpoint may be written within an epoch

    def on_train_epoch_start(self) -> None:
        """Begin new means."""
        self.mean_loss.reset()
        self.mean_accuracy.reset()

    def training_step(self, batch: LabeledBatch, _: int) -> dict[str, Tensor]:
        """One batch; returns its loss and the epoch's means so far."""
        logits = self.discriminator(batch.images)
        loss = self.class_loss(logits, batch.labels)
        correct = (logits.argmax(dim=1) == batch.labels).float()
        self.mean_loss.update(loss.detach(), len(correct))
        self.mean_accuracy.update(correct)
        return {
            "loss": loss,
            "labeled/class_loss": self.mean_loss.compute(),
            "labeled/accuracy": self.mean_accuracy.compute(),
        }

    def configure_optimizers(self) -> Optimizer:
        """Adam with Keras's epsilon."""
        return keras_adam(self, self.hparams.learning_rate)

    @property
    def training_limit(self) -> dict[str, int]:
        """When Lightning's trainer stops, as its arguments."""
        return {"max_epochs": self.hparams.epochs}

    def batches(self, data: SemiSupervisedData, sample_interval: int) -> LabeledEpoch:
        """The batches of one Lightning epoch: each labeled image once, whatever the interval."""
        self.learn_frequencies(data)
        return LabeledEpoch(data)
