"""A run in a process of its own. If it crashes, the program that started it continues.

The process is forked from a server, which imports torch, Lightning and the rest once and does
nothing else. So the second job of a sweep and those after it start at once. The server never asks
for a GPU, since CUDA does not survive a fork.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sgan_lab.errors import JobError
from sgan_lab.jobs import owner, worker
from sgan_lab.jobs.status import read_status, write_status
from sgan_lab.signals import PATIENCE, SIGNALS, Interrupted, handle_signals

MAIN_PROCESS = "MainProcess"  # its name in multiprocessing
# What launchers tell a process of its place among others. The ranks of a run are its own.
RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
POLL = 0.2  # seconds between two looks at a process and at the signals that came
# What the server imports: of the package and its libraries, never a module of the user's, which may
# change from one job to the next.
IMPORTED = ["sgan_lab.training.train", "sklearn.datasets", "sklearn.model_selection"]

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(IMPORTED)


def run_in_process(folder: Path, prefix: str = "") -> dict[str, Any]:
    """Run `sgan_lab.jobs.worker` on a run folder that this process owns; returns metrics.json.

    A signal is passed on to the run, which has `PATIENCE` to save a checkpoint. A job of a sweep
    has a prefix before each of its log lines. On a terminal it shows nothing, since the sweep shows
    the progress of all jobs.

    Raises:
        JobError: the run has failed or was killed; its status.json says so too.
        Interrupted: a signal ended it.
    """
    process = start(folder, prefix)
    is_worker = multiprocessing.current_process().name != MAIN_PROCESS
    try:
        exit_status = wait(process, is_worker)
    except BaseException:
        end(process, signal.SIGTERM)
        if is_worker:
            os._exit(1)  # it would take the next job
        raise
    status = read_status(folder)
    if status.state == "finished" and exit_status == 0:
        return json.loads((folder / "metrics.json").read_text())
    if status.state not in ("failed", "interrupted"):
        state, error = "failed", f"its process ended with exit status {exit_status}"
        if exit_status < 0:
            state, error = "killed", f"killed by {signal.Signals(-exit_status).name}"
        status = replace(status, state=state, error=error)
        write_status(folder, status)
    raise JobError(status.error or status.state)


def start(folder: Path, prefix: str) -> BaseProcess:
    """Start the process of a run, and the server if there is none, see `run_in_process`."""
    environment = {key: text for key, text in os.environ.items() if key not in RANKS + ADDRESS}
    silent = bool(prefix) and sys.stdout.isatty()
    # The folder is owned until both processes have ended.
    lock = [Connection(os.dup(descriptor)) for descriptor in owner.descriptors(folder)]
    arguments = (folder, prefix, environment, silent, lock)
    process = FORKED.Process(target=worker.run_forked, args=arguments)
    resource_tracker.ensure_running()  # it unblocks signals
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        forkserver.ensure_running()  # it outlives the signals, and its forks begin without them
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    process.start()
    return process


def wait(process: BaseProcess, is_worker: bool) -> int:
    """Wait for a process, and return its exit status.

    End it before where a signal comes or this one's parent is gone. A launcher's worker outlives
    the `kill -9` of its sweep; its job does not, see `worker.end_with_starter`.

    Raises:
        Interrupted: a signal came. The handler of a launcher runs first; submitit's has the job
            queued again.
        JobError: that handler failed.
    """
    parent = os.getppid()
    with received_signals() as (received, earlier):
        while process.exitcode is None and not received:
            process.join(POLL)
            if is_worker and os.getppid() != parent:
                os._exit(1)
        if received:  # the terminal sends SIGINT to both; a second one would end the run at once
            number, frame = received[0]
            end(process, signal.SIGTERM if number == signal.SIGINT else number)
    if not received:
        return process.exitcode
    interrupted = Interrupted(number)
    if callable(earlier[number]):
        try:
            earlier[number](number, frame)
        except Exception as error:
            raise JobError(f"{interrupted}. {error}") from error
    raise interrupted


@contextlib.contextmanager
def received_signals() -> Iterator[tuple[list[tuple[int, Any]], dict[int, Any]]]:
    """Collect the signals that end a program; gives those that came, and the handlers before."""
    received: list[tuple[int, Any]] = []
    earlier = {each: signal.getsignal(each) for each in SIGNALS}
    handle_signals(lambda *signal_and_frame: received.append(signal_and_frame))
    try:
        yield received, earlier
    finally:
        if threading.current_thread() is threading.main_thread():
            for each, handler in earlier.items():
                signal.signal(each, handler)


def end(process: BaseProcess, signal_number: int) -> None:
    """Have a run save a checkpoint and end; kill it where that takes longer than `PATIENCE`."""
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.kill(process.pid, signal_number)
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
