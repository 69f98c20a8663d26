"""What a run shows while it trains: progress, validation, and images from one fixed noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torchvision.utils import make_grid, save_image

from sgan_lab.algorithms.base import GAN
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.evaluation import plots
from sgan_lab.evaluation.calibration import fit_temperature
from sgan_lab.evaluation.classifier import BACKGROUND, TEMPERATURE
from sgan_lab.evaluation.evaluate import evaluate
from sgan_lab.evaluation.metrics import measure, scalars
from sgan_lab.progress import training_progress

ROWS, COLUMNS = 10, 8  # of the images over time


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

    TensorBoard has them all. The run folder has the last one, generated_images.png, and at the end
    of training generated_images_over_time.png, with the first images of about ten iterations. A
    module without a generator has none.
    """

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images
        self.noise: Tensor | None = None
        self.over_time: dict[int, Tensor] = {}  # images by iteration

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"noise": self.noise, "over_time": self.over_time}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the noise and the images of a checkpoint."""
        self.noise, self.over_time = state_dict["noise"], state_dict["over_time"]

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
        is_due = trainer.global_step - max(self.over_time, default=0) >= trainer.max_steps / ROWS
        if is_due or trainer.global_step == trainer.max_steps:
            # A copy, since a checkpoint would store all images of which these are a view.
            self.over_time[trainer.global_step] = images[:COLUMNS].cpu().clone()

    def on_train_end(self, trainer: Trainer, *_: object) -> None:
        """Draw the images over time."""
        if self.over_time and trainer.is_global_zero:
            figure = plots.images_over_time(self.over_time)
            figure.savefig(Path(trainer.default_root_dir, "generated_images_over_time.png"))


class Validation(Callback):
    """The metrics on the validation images of the data, logged at each sample interval or epoch.

    Each checkpoint has the temperature that they give, see `fit_temperature`, and the background of
    the images. Without validation images the temperature is 1.
    """

    def __init__(self, data: SemiSupervisedData) -> None:
        self.images = data.validation
        self.class_names = data.class_names
        self.background = data.background
        self.temperature = 1.0

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what those need who use the classifier."""
        checkpoint |= {TEMPERATURE: self.temperature, BACKGROUND: self.background}

    def on_load_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the temperature of a run that has ended."""
        self.temperature = checkpoint.get(TEMPERATURE, 1.0)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Evaluate and log."""
        if self.images is None:
            return
        values: dict[str, float] = {}
        if trainer.is_global_zero:
            self.images = self.images.to(module.device)
            found = evaluate(module, self.images, self.class_names)
            self.temperature = fit_temperature(found.logits, found.labels)
            metrics = measure(replace(found, temperature=self.temperature))
            values = {f"validation/{name}": value for name, value in scalars(metrics).items()}
        values = trainer.strategy.broadcast(values)
        self.log_dict(values, logger=False, sync_dist=True)  # for callbacks that watch them
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)
