"""What has become of a run: status.json in its folder, for sweeps, their progress and reports.

A run writes it when it starts, every few seconds while it trains, and when it ends. A run that is
killed cannot write: it is told by its process, or, from another machine, by the age of the file.
"""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType

FILE = "status.json"
HEARTBEAT = 2  # seconds between two writes
SILENCE = 120  # seconds without a write after which a run on another machine counts as killed


@dataclass(frozen=True)
class Status:
    """State of a run.

    Attributes:
        state: "running", "finished", "failed", "interrupted", or, in what `read_status` returns
            only, "killed" (it ended without a word) and "unknown" (no readable status.json).
        error: of a failed run, its message.
        iteration: of training, up to now.
        iterations: of the whole training; 0 before it has begun.
        host: machine that the run is on.
        pid: its process there.
    """

    state: str
    error: str | None = None
    iteration: int = 0
    iterations: int = 0
    host: str = ""
    pid: int = 0


def replace_text(path: Path, content: str) -> None:
    """Write a text file, at once as a whole.

    Raises:
        OSError: it cannot be written; what was there is left.
    """
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.write_text(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_status(folder: Path, status: Status) -> None:
    """Replace a run's status.json, at once as a whole; on a full disk, in its own place.

    Raises:
        OSError: it cannot be written.
    """
    content = json.dumps(asdict(status), indent=2) + "\n"
    try:
        replace_text(folder / FILE, content)
    except OSError:
        (folder / FILE).write_text(content)


def read_status(folder: Path) -> Status:
    """The state of a run, a killed one recognized."""
    try:
        written = (folder / FILE).stat().st_mtime
        status = Status(**json.loads((folder / FILE).read_text()))
        if not all(isinstance(getattr(status, each.name), each.type) for each in fields(status)):
            raise TypeError("a value is of another type")
    except (OSError, ValueError, TypeError, RecursionError):
        return Status("unknown")
    if status.state == "running" and not is_alive(status, written):
        return replace(status, state="killed", error="it ended without a word; was it killed?")
    return status


def is_alive(status: Status, written: float) -> bool:
    """Whether a running run's process, which last wrote at a time in seconds, still exists."""
    if status.host != platform.node():
        return time.time() - written < SILENCE
    try:
        os.kill(status.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


class StatusFile:
    """Keeps status.json while a run runs: `with StatusFile(folder, explain) as status: ...`.

    Args:
        folder: of the run.
        explain: an error as a message for the user.

    Attributes:
        progress: set it to a function that returns (iteration, iterations) once training begins.
    """

    def __init__(self, folder: Path, explain: Callable[[Exception], str]) -> None:
        self.folder = folder
        self.explain = explain
        self.progress: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _write(self, state: str, error: str | None = None) -> None:
        status = Status(state, error, *self.progress(), platform.node(), os.getpid())
        write_status(self.folder, status)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # what the run itself writes will tell
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
        state = "failed" if isinstance(error, Exception) else "interrupted"
        with contextlib.suppress(OSError):  # the error on its way says more
            self._write(state, self.explain(error) if state == "failed" else None)
