"""What a run shows while it trains: progress, validation, and images from one fixed noise."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torchvision.utils import make_grid, save_image

from sgan_lab.algorithms.base import GAN
from sgan_lab.data.containers import LabeledImages
from sgan_lab.evaluation.evaluate import evaluate
from sgan_lab.evaluation.metrics import measure, scalars
from sgan_lab.progress import training_progress


class ProgressBar(Callback):
    """Iteration, rate and time left, on the terminal; nothing where there is no terminal."""

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the bar."""
        total = trainer.max_steps
        if total == -1:
            total = trainer.max_epochs * trainer.num_training_batches
        self.progress = training_progress()
        self.task = self.progress.add_task("iteration", total=total, completed=trainer.global_step)
        self.progress.start()

    @rank_zero_only
    def on_train_batch_end(self, *_: object) -> None:
        """Count an iteration."""
        self.progress.advance(self.task)

    @rank_zero_only
    def on_train_end(self, *_: object) -> None:
        """Take the bar away."""
        self.progress.stop()

    def on_exception(self, *_: object) -> None:
        """Take the bar away, so that the error stands on a clean line."""
        if hasattr(self, "progress"):
            self.progress.stop()


class SampleGrid(Callback):
    """A grid of images from one fixed noise, at each sample interval.

    TensorBoard has them all, generated_images.png in the run folder the last one. A module without
    a generator has none.

    Args:
        num_images: images in the grid.
    """

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images
        self.noise: Tensor | None = None

    def state_dict(self) -> dict[str, Tensor | None]:
        """What a checkpoint keeps."""
        return {"noise": self.noise}

    def load_state_dict(self, state_dict: dict[str, Tensor | None]) -> None:
        """Go on with the noise of a checkpoint."""
        self.noise = state_dict["noise"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw the noise, leaving the draws of training as they are."""
        if isinstance(module, GAN) and self.noise is None:
            with torch.random.fork_rng(devices=[module.device] if module.on_gpu else []):
                self.noise = module.noise(self.num_images)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the grid."""
        if not isinstance(module, GAN):
            return
        images = module.inferred_images(self.noise.to(module.device))
        grid = make_grid(images, nrow=8, normalize=True, value_range=(-1, 1))
        if trainer.is_global_zero:
            save_image(grid, Path(trainer.default_root_dir, "generated_images.png"))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("generator/images", grid, trainer.global_step)


class Validation(Callback):
    """The metrics on the validation images, logged at each sample interval or epoch.

    Args:
        images: the validation images; None for none.
        class_names: a name for each label.
    """

    def __init__(self, images: LabeledImages | None, class_names: Sequence[str]) -> None:
        self.images = images
        self.class_names = class_names

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Evaluate and log."""
        if self.images is None:
            return
        values: dict[str, float] = {}
        if trainer.is_global_zero:
            self.images = self.images.to(module.device)
            metrics = measure(evaluate(module, self.images, self.class_names))
            values = {f"validation/{name}": value for name, value in scalars(metrics).items()}
        values = trainer.strategy.broadcast(values)
        self.log_dict(values, logger=False, sync_dist=True)  # for callbacks that watch them
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)
