"""What all of this package's training on labeled and unlabeled batches has in common."""

from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor

from sgan_lab.algorithms.schedules import linear_decay
from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.evaluation import plots
from sgan_lab.training.history import History


class SemiSupervisedModule(LightningModule):
    """A module that is trained for a number of iterations of a labeled and an unlabeled batch.

    Its hyperparameters include `iterations`, `sample_interval` and `log_interval`.

    Attributes:
        learning_rate_decay: fraction of training, at its end, in which the learning rates fall
            linearly to zero.
        unlabeled_batches: unlabeled batches with each labeled one.
        views: of the unlabeled images in a batch, see `SemiSupervisedBatch`.
    """

    learning_rate_decay: float
    unlabeled_batches: int = 1
    views: int = 1

    def on_train_batch_start(self, *_: object) -> None:
        """Set the learning rates of an iteration."""
        factor = linear_decay(self.global_step, self.hparams.iterations, self.learning_rate_decay)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                learning_rate = factor * optimizer.defaults["lr"]
                if isinstance(group["lr"], Tensor):  # which a recorded step reads
                    group["lr"].fill_(learning_rate)
                else:
                    group["lr"] = learning_rate

    @property
    def training_limit(self) -> dict[str, int]:
        """When Lightning's trainer is to stop."""
        return {"max_epochs": -1, "max_steps": self.hparams.iterations}

    def batches(self, data: SemiSupervisedData) -> SemiSupervisedBatches:
        """What one Lightning epoch trains on; here an epoch is a sample interval."""
        return SemiSupervisedBatches(
            data, self.hparams.sample_interval, self.unlabeled_batches, self.views
        )

    @property
    def log_interval(self) -> int:
        """Iterations between two points of TensorBoard's curves."""
        return self.hparams.log_interval

    def figures(self, history: History) -> dict[str, Figure]:
        """The tutorial's plot, by file name."""
        figure = plots.discriminator_supervised_loss(
            history["labeled/class_loss"], history.interval_ends
        )
        return {"discriminator_supervised_loss": figure}
