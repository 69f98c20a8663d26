"""A GPU for each of several runs at once on one machine."""

import fcntl
import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from omegaconf import DictConfig

LOCKS = Path(tempfile.gettempdir(), f"sgan_lab-gpus-{os.getuid()}")  # of all runs of a user here

held: list[IO[str]] = []  # the open file of the GPU that this process has taken


def choose_gpu(trainer: DictConfig) -> None:
    """Have this process see one GPU only, where there are several and its Trainer uses one.

    Call it before CUDA is asked for.
    """
    import torch

    if trainer.get("devices") != 1 or trainer.get("accelerator") not in ("auto", "gpu", "cuda"):
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        gpus = [str(number) for number in range(torch.cuda.device_count())]
    else:
        gpus = visible.split(",")
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = take_gpu(gpus)


def take_gpu(gpus: Sequence[str], locks: Path = LOCKS) -> str:
    """Take the GPU that the fewest other runs have taken; it is free again when this process ends.

    Of equals it is the first by name, such as "0". The folder holds a file of each GPU and each run
    that shares it.
    """
    locks.mkdir(mode=0o700, exist_ok=True)
    shares = ((gpu, locks / f"{gpu}.{share}") for share in itertools.count() for gpu in gpus)
    return next(gpu for gpu, path in shares if lock(path))


def lock(path: Path) -> bool:
    """Lock a file until this process ends; False where another one has locked it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    held.append(file)
    return True
