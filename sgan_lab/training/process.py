"""Settings of the process that trains, for glibc, Python, torch and the libraries' messages."""

import ctypes
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sgan_lab.signals import Interrupted
from sgan_lab.training.checkpoints import random_states, set_random_states


def prepare_process(num_threads: int | None) -> None:
    """Set this process up for training with so many CPU threads of torch.

    None takes the CPUs of a Slurm job, which may see those of the whole node, and elsewhere what
    torch chooses.
    """
    keep_freed_memory()
    threading.excepthook = report_thread_error
    # What Lightning says of devices and steps is for its developers.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Lightning itself uses what torch has deprecated; no user can mend it.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # A run goes on within an epoch bit for bit: what is left of it is in the checkpoint.
    warnings.filterwarnings("ignore", message=".*ended before the epoch ended.*")
    job_cpus = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    if num_threads is None and job_cpus and "OMP_NUM_THREADS" not in os.environ:
        num_threads = min(int(job_cpus), torch.get_num_threads())
    # The folder of a resumed run's checkpoints is not empty.
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    torch.backends.cudnn.deterministic = True  # equal seeds, equal results


def keep_freed_memory() -> None:
    """Have glibc keep what an iteration frees for the next one; without glibc, do nothing.

    It would return the memory to the system, and get it back cleared, page by page: a sixth of the
    time where batches are large.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):
        return
    mallopt(m_mmap_threshold, 2**25)  # bytes; the largest that glibc takes
    mallopt(m_trim_threshold, 2**30)


def report_thread_error(error: threading.ExceptHookArgs) -> None:
    """Leave out the OSErrors of TensorBoard's writer, which are raised again by the next value."""
    if not issubclass(error.exc_type, OSError):
        threading.__excepthook__(error)


@contextmanager
def guest() -> Iterator[None]:
    """Train in the process of a notebook or of another program, and leave it as it was.

    Put back are the random number generators, torch's threads and determinism, logging, warnings
    and the hook of threads. What glibc was told stays.

    Raises:
        KeyboardInterrupt: SIGINT ended training.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    states, threads = random_states(device), torch.get_num_threads()
    deterministic, hook = torch.backends.cudnn.deterministic, threading.excepthook
    root, lightning = logging.getLogger(), logging.getLogger("pytorch_lightning")
    handlers, levels = root.handlers, [root.level, lightning.level]
    root.handlers = []  # a run's log closes those that it finds
    try:
        with warnings.catch_warnings():
            yield
    except Interrupted as interrupted:
        if interrupted.signal != signal.SIGINT:
            raise
        raise KeyboardInterrupt from interrupted
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = handlers
        for logger, level in zip((root, lightning), levels, strict=True):
            logger.setLevel(level)
        threading.excepthook = hook
        torch.backends.cudnn.deterministic = deterministic
        torch.set_num_threads(threads)
        set_random_states(states, device)
