"""Checkpoints of a run: all that is needed to continue as if nothing had happened.

A checkpoint is Lightning's (weights, moments of all optimizers, running averages, progress, the
callbacks' states) with the state of every random number generator and the time that training has
taken. It is written to a temporary file, and its checksum is written before it gets its name.
"""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from sgan_lab.errors import DataError
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.evaluation.checksums import checksum_file, sha256
from sgan_lab.training.lightning_progress import complete_progress

RANDOM_STATES, SECONDS = "random_states", "seconds"  # keys of a checkpoint


class Checkpoints(Checkpoint):
    """Writes a checkpoint at each sample interval or epoch; `Interruption` also within one.

    Attributes:
        folder: for the checkpoints.
        keep: how many are kept, the newest.
        newest: the last checkpoint written by this process; None before the first.
        seconds_before: of training in earlier processes, up to the checkpoint that was loaded.
    """

    def __init__(self, dirpath: str, keep: int) -> None:
        self.folder = Path(dirpath)
        self.keep = keep
        self.newest: Path | None = None
        self.seconds_before = 0.0
        self.started = 0.0
        self.random_states: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Take the time; Lightning loads a checkpoint after this."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write a checkpoint."""
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint, then remove those that are no longer kept."""
        if trainer.is_global_zero:
            for torn in self.folder.glob("*.part"):  # of a kill or a full disk
                torn.unlink()
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()  # curves go at least as far as the checkpoint
            elif isinstance(logger, CSVLogger):
                logger.save()
        path = self.folder / f"iteration-{trainer.global_step}.ckpt"
        temporary = path.with_suffix(".part")
        trainer.save_checkpoint(temporary)
        if not trainer.is_global_zero:
            return
        checksum = temporary.with_suffix(".sha256.part")
        checksum.write_text(f"{sha256(temporary)}  {path.name}\n")
        for written, name in ((checksum, checksum_file(path)), (temporary, path)):
            synchronize(written)
            written.replace(name)
        synchronize(self.folder)
        self.newest = path
        for old in checkpoints(self.folder)[self.keep :]:
            old.unlink()
            checksum_file(old).unlink(missing_ok=True)

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the states of the random number generators, of each process, and the time."""
        states = [random_states(module.device)]
        if trainer.world_size > 1:
            states *= trainer.world_size
            torch.distributed.all_gather_object(states, states[0])
        checkpoint[RANDOM_STATES] = states
        checkpoint[SECONDS] = self.seconds_before + time.perf_counter() - self.started

    def on_load_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the random number generators' states, and count what has ended as ended."""
        self.random_states = checkpoint[RANDOM_STATES][trainer.global_rank]
        self.seconds_before = checkpoint[SECONDS]
        complete_progress(checkpoint)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Restore the generators' states, and end at once what had stopped early.

        Lightning calls this callback last.
        """
        if self.random_states is not None:
            set_random_states(self.random_states, module.device)
        reasons = [each.stopping_reason for each in trainer.early_stopping_callbacks]
        trainer.should_stop = any(each != EarlyStoppingReason.NOT_STOPPED for each in reasons)


class BestCheckpoint(ModelCheckpoint):
    """Keeps a checkpoint of the best value of a metric as best.ckpt; no run goes on from it.

    For its arguments see `config.schema.BestCheckpoint`.
    """

    def __init__(self, dirpath: str, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath,
            "best",
            monitor,
            mode=mode,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the checkpoint and its checksum where the value is the best so far."""
        before = self.best_model_score
        super().on_train_epoch_end(trainer, module)
        if trainer.is_global_zero and self.best_model_score is not before:
            path = Path(self.best_model_path)
            checksum_file(path).write_text(f"{sha256(path)}  {path.name}\n")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best value of a checkpoint, also where the run folder has moved."""
        if state_dict["best_model_score"] is not None:
            path = str(Path(self.dirpath, "best.ckpt"))
            places = ("best_model_path", "kth_best_model_path", "last_model_path")
            state_dict = state_dict | dict.fromkeys(places, path)
            state_dict["best_k_models"] = {path: state_dict["best_model_score"]}
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})


def random_states(device: torch.device) -> dict[str, Any]:
    """The states of all random number generators, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    states = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Set what `random_states` has returned."""
    torch.set_rng_state(states["torch"].cpu())
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def check_classes(checkpoint: Path, trained: Sequence[str], class_names: Sequence[str]) -> None:
    """Raise a DataError where data have other classes than a checkpoint, or in another order."""
    if list(trained) == list(class_names):
        return
    differences = {
        "missing": [name for name in trained if name not in class_names],
        "new": [name for name in class_names if name not in trained],
    }
    text = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in differences.items() if names)
    raise DataError(
        f"The classes of the data have changed since {checkpoint} was written"
        f" ({text or 'another order'}). Restore them, or train in a new folder."
    )


def synchronize(path: Path) -> None:
    """Have the disk hold what was written to a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
