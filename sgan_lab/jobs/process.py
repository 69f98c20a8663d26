"""A run in a process of its own. If it crashes, the program that started it continues."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgan_lab.errors import JobError
from sgan_lab.jobs import owner
from sgan_lab.jobs.status import read_status, write_status
from sgan_lab.signals import PATIENCE, SIGNALS, Interrupted, handle_signals

MAIN_PROCESS = "MainProcess"  # its name in multiprocessing
# What launchers tell a process of its place among others. The ranks of a run are its own.
RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
POLL = 0.2  # seconds between two looks at a process and at the signals that came


def run_in_process(folder: Path, prefix: str = "") -> dict[str, Any]:
    """Run `python -m sgan_lab.jobs.worker` on a run folder that this process owns, and wait for it.

    A signal is passed on to the run, which has `PATIENCE` to save a checkpoint.

    Args:
        folder: of the run; its config.yaml says what to train.
        prefix: before each of its log lines. A job of a sweep has one. On a terminal such a job
            shows nothing, since the sweep shows the progress of all jobs.

    Returns:
        The content of metrics.json.

    Raises:
        JobError: the run has failed or was killed; its status.json says so too.
        Interrupted: a signal ended it.
    """
    command = [sys.executable, "-m", "sgan_lab.jobs.worker", str(folder), prefix]
    silent = bool(prefix) and sys.stdout.isatty()
    with (folder / "run.log").open("ab") as log_file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # see end_with_parent
            stdout=subprocess.DEVNULL if silent else None,
            stderr=log_file,
            env={key: text for key, text in os.environ.items() if key not in RANKS + ADDRESS},
            pass_fds=owner.descriptors(folder),  # the folder is owned until both have ended
        )
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


def wait(process: subprocess.Popen, is_worker: bool) -> int:
    """Wait for a process; end it before where a signal comes or this one's parent is gone.

    A launcher's worker outlives the `kill -9` of its sweep; its job does not, see
    `end_with_parent`.

    Returns:
        The exit status.

    Raises:
        Interrupted: a signal came. The handler of a launcher runs first; submitit's has the job
            queued again.
        JobError: that handler failed.
    """
    parent = os.getppid()
    with received_signals() as (received, earlier):
        exit_status = None
        while exit_status is None and not received:
            with contextlib.suppress(subprocess.TimeoutExpired):
                exit_status = process.wait(timeout=POLL)
            if is_worker and os.getppid() != parent:
                os._exit(1)
        if received:  # the terminal sends SIGINT to both; a second one would end the run at once
            number, frame = received[0]
            end(process, signal.SIGTERM if number == signal.SIGINT else number)
    if not received:
        return exit_status
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


def end(process: subprocess.Popen, signal_number: int) -> None:
    """Have a run save a checkpoint and end; kill it where that takes longer than `PATIENCE`."""
    process.send_signal(signal_number)
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_with_parent() -> None:
    """Have this process end when the one that started it does, even by SIGKILL.

    It ends as by SIGTERM, with some seconds to save a checkpoint. Its standard input is a pipe. The
    parent holds the other end and never writes to it, so reading ends when the parent does.
    """

    def watch() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
