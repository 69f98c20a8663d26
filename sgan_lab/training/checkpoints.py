"""Checkpoints of a run: all that is needed to go on from one as if nothing had happened.

A checkpoint is Lightning's (weights, moments of all optimizers, running averages, progress, the
callbacks' states) with the state of every random number generator. It is written to a temporary
file, and has its SHA-256 sum beside it, in the format of `sha256sum`, before it gets its name.
"""

import hashlib
import logging
import os
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import TensorBoardLogger

from sgan_lab.training.lightning_progress import complete_progress

log = logging.getLogger(__name__)

NAME = r"iteration-(\d+)\.ckpt"
RANDOM_STATES = "random_states"  # key of a checkpoint


class Checkpoints(Checkpoint):
    """Writes a checkpoint at each sample interval or epoch; `Interruption` also within one.

    Args:
        dirpath: folder for the checkpoints.
        keep: how many are kept, the newest.

    Attributes:
        newest: the last checkpoint written by this process; None before the first.
    """

    def __init__(self, dirpath: str, keep: int) -> None:
        self.folder = Path(dirpath)
        self.keep = keep
        self.newest: Path | None = None
        self.random_states: dict[str, Any] | None = None

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
        """Add the states of the random number generators, of each process."""
        states = [random_states(module.device)]
        if trainer.world_size > 1:
            states *= trainer.world_size
            torch.distributed.all_gather_object(states, states[0])
        checkpoint[RANDOM_STATES] = states

    def on_load_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the random number generators' states, and count what has ended as ended."""
        self.random_states = checkpoint[RANDOM_STATES][trainer.global_rank]
        complete_progress(checkpoint)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Go on drawing where the checkpoint was written; Lightning calls this callback last."""
        if self.random_states is not None:
            set_random_states(self.random_states, module.device)


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


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    found = [path for path in folder.glob("*.ckpt") if re.fullmatch(NAME, path.name)]
    return sorted(found, key=iteration_of, reverse=True)


def iteration_of(checkpoint: Path) -> int:
    """The iteration after which a checkpoint was written."""
    return int(re.fullmatch(NAME, checkpoint.name)[1])


def newest_intact(folder: Path) -> Path | None:
    """The newest checkpoint that agrees with its checksum; damaged ones are named in the log."""
    for path in checkpoints(folder):
        try:
            expected = checksum_file(path).read_text().split()[0]
            if sha256(path) == expected:
                return path
            reason = "its SHA-256 sum is another"
        except (OSError, IndexError, UnicodeDecodeError):
            reason = f"{checksum_file(path).name} cannot be read"
        log.warning("%s is damaged: %s. The one before is used.", path, reason)
    return None


def checksum_file(checkpoint: Path) -> Path:
    """The file that holds a checkpoint's checksum."""
    return checkpoint.with_name(f"{checkpoint.name}.sha256")


def sha256(path: Path) -> str:
    """SHA-256 sum of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def synchronize(path: Path) -> None:
    """Have the disk hold what was written to a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
