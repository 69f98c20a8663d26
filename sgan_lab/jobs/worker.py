"""The process of a run, see `jobs.process`. A single run on one device does the same in its own.

`python -m sgan_lab.jobs.worker FOLDER PREFIX` is what Lightning starts the other processes of a run
with.
"""

if __name__ == "__main__":  # before the imports that take their time
    from sgan_lab.signals import end_at_once, handle_signals

    handle_signals(end_at_once)

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sgan_lab.config.checks import EXPLAINED, explain
from sgan_lab.config.files import load_config
from sgan_lab.jobs.gpus import choose_gpu
from sgan_lab.jobs.status import StatusFile
from sgan_lab.signals import PATIENCE, SIGNALS, end_at_once, handle_signals
from sgan_lab.terminal import log_to

POLL = 0.5  # seconds between two looks at the process that started this one

log = logging.getLogger(__name__)


def run(folder: Path, prefix: str = "", rank: int = 0) -> dict[str, Any]:
    """Train as a run folder's config.yaml says, with its log and status.json.

    Returns the content of metrics.json; in other processes than that of rank 0, nothing. Log lines
    have a prefix on the terminal.

    Raises:
        UserError: data are missing or damaged, or training failed; status.json says so too.
    """
    from sgan_lab.training.ranks import set_rank  # torch takes seconds to import
    from sgan_lab.training.train import train

    set_rank(rank)
    if rank:
        return train(folder)
    log_to(folder, prefix)
    with StatusFile(folder, explain) as status:
        choose_gpu(load_config(folder / "config.yaml").trainer)

        def show(iteration: Callable[[], int], iterations: int) -> None:
            status.progress = lambda: (iteration(), iterations)

        return train(folder, show)


def run_forked(
    folder: Path, prefix: str, environment: dict[str, str], silent: bool, _lock: list[Connection]
) -> None:
    """Run in a process that was forked from the server.

    Args:
        folder: of the run; what libraries print as errors goes to its run.log.
        prefix: before each log line on the terminal.
        environment: of the process that started this one; the server has that of the first job.
        silent: whether to print nothing.
        _lock: open files that own the folder, as long as this process lives.
    """
    handle_signals(end_at_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.environ.clear()
    os.environ.update(environment)
    with (folder / "run.log").open("ab") as log_file:
        os.dup2(log_file.fileno(), sys.stderr.fileno())
    if silent:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    # Lightning starts the other processes of a run with the command of the first.
    sys.modules["__main__"], sys.argv = sys.modules[__name__], [__file__, str(folder), prefix]
    main()


def main() -> None:
    """Run, and end with exit status 1 where the run fails."""
    end_with_starter()
    try:
        run(Path(sys.argv[1]), sys.argv[2], int(os.environ.get("LOCAL_RANK", 0)))
    except Exception as error:
        log.error("%s", explain(error), exc_info=not isinstance(error, EXPLAINED))
        sys.exit(1)


def end_with_starter() -> None:
    """Have this process end when the one that started it does, even by SIGKILL, or its server.

    It ends as by SIGTERM, with some seconds to save a checkpoint.
    """
    starter, parent = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        while os.getppid() == parent and (starter is None or starter.is_alive()):
            time.sleep(POLL)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
