"""What the GANs of this package share whose discriminator is also the classifier."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from sgan_lab.algorithms.semi_supervised_module import SemiSupervisedModule
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.training.cuda_graph import Recorded


class SemiSupervisedGAN(SemiSupervisedModule):
    """A generator and a discriminator that are trained in steps of their own.

    Its hyperparameters include `cuda_graph`: whether, on one GPU, iterations are recorded once and
    replayed, see `Recorded`.

    Attributes:
        generator: a network from noise to images in [-1, 1].
        discriminator: a network from images in [-1, 1] to class logits.
    """

    generator: nn.Module
    discriminator: nn.Module

    def noise(self, num_images: int) -> Tensor:
        """What the generator takes, of shape (num_images, noise size)."""
        raise NotImplementedError

    def inferred_images(self, noise: Tensor) -> Tensor:
        """Images with the generator in inference mode: running averages, unchanged."""
        return self.inferred(self.generator, noise)

    def inferred(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """A network's output in inference mode, without gradients; it goes on in training mode."""
        network.eval()
        with torch.no_grad():
            outputs = network(inputs)
        network.train()
        return outputs

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

    def on_train_start(self) -> None:
        """Take the optimizers; on a GPU, have iterations recorded.

        Lightning's `global_step` counts the steps of the optimizers it has wrapped. With only the
        generator's wrapped it is the number of iterations, and so is every step that loggers,
        checkpoints and `max_steps` derive from it.
        """
        *self.discriminator_optimizers, _ = self.optimizers(use_pl_optimizer=False)
        self.generator_optimizer = self.optimizers()[-1]
        if self.hparams.cuda_graph and self.on_gpu and self.trainer.world_size == 1:
            batches = self.trainer.train_dataloader
            batches.draw = Recorded(batches.draw)
            self.training_step = Recorded(
                self.training_step, self.trainer.optimizers, self.step_kind, self.count_iteration
            )

    def step_kind(self) -> Hashable:
        """What the coming training step depends on besides its batch and what is on the device."""

    def count_iteration(self) -> None:
        """Have Lightning count a step of the generator's optimizer that it has not seen."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    def pretrain(self, data: SemiSupervisedData) -> None:
        """What comes before the first iteration; not called where a checkpoint holds its result."""

    def log_line(self, iteration: int, values: dict[str, float]) -> str:
        """The tutorial's log line, from what `training_step` returned at an iteration."""
        return (
            f"{iteration} [D loss supervised: {values['labeled/class_loss']:.4f}, "
            f"acc.: {values['labeled/accuracy']:.2%}] "
            f"[D loss unsupervised: {values['unlabeled/discriminator_loss']:.4f}] "
            f"[G loss: {values['generator/loss']:.4f}]"
        )
