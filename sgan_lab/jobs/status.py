"""The state of a run: status.json in its folder, for sweeps, their progress and reports.

A run writes it when it starts, every few seconds while it trains, and when it ends. A run that is
killed cannot write: its process is looked for, or, from another machine, the age of the file tells.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from sgan_lab.jobs.identity import Identity, checked, exists, this_process
from sgan_lab.signals import Interrupted

FILE = "status.json"
HEARTBEAT = 2  # seconds between two writes
SILENCE = 120  # seconds without a write after which a run on another machine counts as killed


@dataclass(frozen=True)
class Status(Identity):
    """State of a run, and the process that runs it.

    Attributes:
        state: "running", "finished", "failed" or "interrupted"; `read_status` also returns "killed"
            (the process is gone without a result) and "unknown" (no readable status.json).
        error: of a failed run its message, of an interrupted one the reason.
        iteration: of training, up to now.
        iterations: of the whole training; 0 before it has begun.
    """

    state: str
    error: str | None = None
    iteration: int = 0
    iterations: int = 0


def replace_text(path: Path, content: str) -> None:
    """Write a text file as a whole: a reader finds the old content or the new one.

    Raises:
        OSError: it cannot be written; the old content stays.
    """
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.write_text(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_status(folder: Path, status: Status) -> None:
    """Replace a run's status.json as a whole; on a full disk, write over the old content."""
    content = json.dumps(asdict(status), indent=2) + "\n"
    try:
        replace_text(folder / FILE, content)
    except OSError:
        (folder / FILE).write_text(content)


def read_status(folder: Path) -> Status:
    """The state of a run; whether a running one was killed is found out."""
    try:
        written = (folder / FILE).stat().st_mtime
        status = checked(json.loads((folder / FILE).read_text()), Status)
    except (OSError, ValueError, TypeError, RecursionError):
        return Status("unknown")
    if status.state == "running" and not is_alive(status, written):
        error = "the process is gone without a result; was it killed?"
        return replace(status, state="killed", error=error)
    return status


def is_alive(process: Identity, written: float) -> bool:
    """Whether the process of a run exists; where that cannot be seen, whether it wrote lately.

    The time of its last heartbeat is in seconds since 1970.
    """
    alive = exists(process)
    return time.time() - written < SILENCE if alive is None else alive


class StatusFile:
    """Keeps status.json while a run runs: `with StatusFile(folder, explain) as status: ...`.

    Attributes:
        explain: an error as a message for the user.
        progress: set it to a function that returns (iteration, iterations) once training begins.
    """

    def __init__(self, folder: Path, explain: Callable[[Exception], str]) -> None:
        self.folder = folder
        self.explain = explain
        self.progress: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _write(self, state: str, error: str | None = None) -> None:
        status = Status(state, error, *self.progress(), **asdict(this_process()))
        write_status(self.folder, status)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # the run meets the same error when it writes
                self._write("running")

    def __enter__(self) -> "StatusFile":
        self._write("running")
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            self._write("finished")
            return
        with contextlib.suppress(OSError):  # the error that is raised says more
            if isinstance(error, Exception):
                self._write("failed", self.explain(error))
            else:
                self._write("interrupted", str(error) if isinstance(error, Interrupted) else None)
