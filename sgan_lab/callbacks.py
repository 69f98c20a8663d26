"""What a run shows while it trains: a progress bar, and images from one fixed noise."""

import rich
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from torchvision.utils import make_grid

from sgan_lab.sgan import SGAN

NARROW = 80  # columns of a terminal below which the bar itself is left out


class RateColumn(ProgressColumn):
    """Iterations per second, averaged over the last half minute."""

    def render(self, task: Task) -> Text:
        """The rate, or a dash before the first iterations."""
        return Text("-" if task.speed is None else f"{task.speed:.1f} it/s")


class ProgressBar(Callback):
    """Iteration, rate and time left, on the terminal; nothing where there is no terminal."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the bar."""
        total = trainer.max_steps
        if total == -1:
            total = trainer.max_epochs * trainer.num_training_batches
        console = rich.get_console()
        columns = [
            TextColumn("iteration {task.completed}/{task.total}"),
            BarColumn(),
            RateColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
        ]
        if console.width < NARROW:
            del columns[1]
        self.progress = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self.task = self.progress.add_task("training", total=total)
        self.progress.start()

    def on_train_batch_end(self, *_: object) -> None:
        """Count an iteration."""
        self.progress.advance(self.task)

    def on_train_end(self, *_: object) -> None:
        """Take the bar away."""
        self.progress.stop()

    def on_exception(self, *_: object) -> None:
        """Take the bar away, so that the error stands on a clean line."""
        if hasattr(self, "progress"):
            self.progress.stop()


class SampleGrid(Callback):
    """A grid of images from one fixed noise, in TensorBoard at each sample interval.

    Does nothing for a module without a generator.

    Args:
        num_images: images in the grid.
    """

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw the noise, leaving the draws of training as they are."""
        if isinstance(module, SGAN):
            with torch.random.fork_rng(devices=[module.device] if module.on_gpu else []):
                self.noise = module.noise(self.num_images)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the grid."""
        if not isinstance(module, SGAN):
            return
        images = module.inferred_images(self.noise)
        grid = make_grid(images, nrow=8, normalize=True, value_range=(-1, 1))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("generator/images", grid, trainer.global_step)
