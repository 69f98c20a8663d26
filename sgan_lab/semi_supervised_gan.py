"""What the GANs of this package share whose discriminator is also the classifier."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from sgan_lab import plots
from sgan_lab.data import SemiSupervisedBatches, SemiSupervisedData
from sgan_lab.history import History
from sgan_lab.schedules import linear_decay


class SemiSupervisedGAN(LightningModule):
    """A generator and a discriminator that are trained in steps of their own.

    Its hyperparameters include `iterations`, `sample_interval` and `log_interval`.

    Attributes:
        generator: a network from noise to images in [-1, 1].
        discriminator: a network from images in [-1, 1] to class logits.
        learning_rate_decay: fraction of training, at its end, in which the learning rates fall
            linearly to zero.
    """

    generator: nn.Module
    discriminator: nn.Module
    learning_rate_decay: float

    def noise(self, num_images: int) -> Tensor:
        """What the generator takes, of shape (num_images, noise size)."""
        raise NotImplementedError

    def inferred_images(self, noise: Tensor) -> Tensor:
        """Images with the generator in inference mode: running averages, unchanged."""
        self.generator.eval()
        with torch.no_grad():
            images = self.generator(noise)
        self.generator.train()
        return images

    @contextmanager
    def frozen_discriminator(self) -> Iterator[None]:
        """No gradients for the discriminator's weights within."""
        trained = [weight for weight in self.discriminator.parameters() if weight.requires_grad]
        for weight in trained:
            weight.requires_grad_(False)
        yield
        for weight in trained:
            weight.requires_grad_(True)

    def update(self, loss: Tensor, optimizer: Optimizer | LightningOptimizer) -> None:
        """One step of an optimizer along the gradient of a loss."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def on_train_batch_start(self, *_: object) -> None:
        """Set the learning rates of an iteration."""
        factor = linear_decay(self.global_step, self.hparams.iterations, self.learning_rate_decay)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * optimizer.defaults["lr"]

    @property
    def training_limit(self) -> dict[str, int]:
        """When Lightning's trainer is to stop."""
        return {"max_epochs": -1, "max_steps": self.hparams.iterations}

    def batches(self, data: SemiSupervisedData) -> SemiSupervisedBatches:
        """What one Lightning epoch trains on; here an epoch is a sample interval."""
        return SemiSupervisedBatches(data, length=self.hparams.sample_interval)

    @property
    def log_interval(self) -> int:
        """Iterations between two points of TensorBoard's curves."""
        return self.hparams.log_interval

    def log_line(self, iteration: int, values: dict[str, float]) -> str:
        """The tutorial's log line, from what `training_step` returned at an iteration."""
        return (
            f"{iteration} [D loss supervised: {values['labeled/class_loss']:.4f}, "
            f"acc.: {values['labeled/accuracy']:.2%}] "
            f"[D loss unsupervised: {values['unlabeled/discriminator_loss']:.4f}] "
            f"[G loss: {values['generator/loss']:.4f}]"
        )

    def figures(self, history: History) -> dict[str, Figure]:
        """The tutorial's plot, by file name."""
        return {"discriminator_supervised_loss": plots.discriminator_supervised_loss(history)}
