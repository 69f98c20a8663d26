"""A run in a process of its own: whatever becomes of it, the program that started it goes on."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgan_lab.errors import JobError
from sgan_lab.jobs.status import read_status, write_status
from sgan_lab.signals import PATIENCE, end_at_once, handle_signals

MAIN_PROCESS = "MainProcess"  # its name in multiprocessing


def run_in_process(folder: Path, prefix: str = "") -> dict[str, Any]:
    """Run `python -m sgan_lab.jobs.worker` on a run folder, wait for it, and see how it ended.

    Args:
        folder: of the run; its config.yaml says what to train.
        prefix: before each of its log lines; not empty for a job of a sweep, which on a terminal
            shows nothing itself, since the sweep shows the progress of all jobs.

    Returns:
        The content of metrics.json.

    Raises:
        JobError: the run has failed or was killed; its status.json says so too.
    """
    command = [sys.executable, "-m", "sgan_lab.jobs.worker", str(folder), prefix]
    silent = bool(prefix) and sys.stdout.isatty()
    with (folder / "run.log").open("ab") as log_file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # see end_with_parent
            stdout=subprocess.DEVNULL if silent else None,
            stderr=log_file,
        )
    is_worker = multiprocessing.current_process().name != MAIN_PROCESS
    if is_worker:
        handle_signals(end_at_once)
    try:
        exit_status = wait(process, is_worker)
    except BaseException:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
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
    """Wait for a process; end before it where the program that this one works for is gone.

    A launcher's worker outlives the `kill -9` of its sweep; its job does not, see
    `end_with_parent`.
    """
    parent = os.getppid()
    while True:
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            if is_worker and os.getppid() != parent:
                os._exit(1)


def end_with_parent() -> None:
    """Have this process end when the one that started it does, by whatever signal.

    It ends as by SIGTERM, with some seconds to save a checkpoint. Its standard input is a pipe of
    which the parent holds the other end and never writes to.
    """

    def watch() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
