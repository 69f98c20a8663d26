"""Settings of the process that trains, for glibc, Python, torch and the libraries' messages."""

import ctypes
import logging
import threading
import warnings

import torch


def prepare_process(num_threads: int | None) -> None:
    """Set this process up for training.

    Args:
        num_threads: CPU threads of torch; None leaves torch's choice.
    """
    keep_freed_memory()
    threading.excepthook = report_thread_error
    # What Lightning says of devices and steps is for its developers.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Lightning itself uses what torch has deprecated; no user can mend it.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # A run goes on within an epoch bit for bit: what is left of it is in the checkpoint.
    warnings.filterwarnings("ignore", message=".*ended before the epoch ended.*")
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
