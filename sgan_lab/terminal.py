"""The log of a run, in its file and on the terminal.

Only light imports here: Hydra makes a handler of it before it composes a configuration.
"""

import logging
import re
from pathlib import Path
from typing import Any

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but for tabulator and new line


def printable(value: Any) -> Any:
    """A text without what UTF-8 cannot encode, or commands a terminal; else the value."""
    if not isinstance(value, str):
        return value
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value.encode(errors="replace").decode())


class TerminalHandler(logging.Handler):
    """Prints messages as they are, through rich's console, which keeps its bars below them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        import rich

        rich.get_console().print(self.format(record), soft_wrap=True, markup=False, highlight=False)


def log_to(folder: Path, prefix: str = "") -> None:
    """Log to `run.log` in a run folder and, each message after a prefix, to the terminal."""
    file = logging.FileHandler(folder / "run.log")
    file.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    terminal = TerminalHandler()
    terminal.setFormatter(logging.Formatter(prefix.replace("%", "%%") + "%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal], force=True)
