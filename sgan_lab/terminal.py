"""The log of a run, in its file and on the terminal, and texts that harm neither reader.

Only light imports here: Hydra makes a handler of it before it composes a configuration.
"""

import logging
import re
from pathlib import Path
from typing import Any

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but for tabulator and new line
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula begins in a spreadsheet


def printable(value: Any) -> Any:
    """A text without what UTF-8 cannot encode, or commands a terminal; else the value."""
    if not isinstance(value, str):
        return value
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value.encode(errors="replace").decode())


def csv_cell(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula, by an apostrophe before it; else the value.

    Numbers stay as they are, also those that are texts, such as the class "-1".
    """
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def cell_text(cell: str) -> str:
    """The text that `csv_cell` has written."""
    return cell[1:] if cell.startswith("'") and csv_cell(cell[1:]) == cell else cell


class PrintableFormatter(logging.Formatter):
    """Formats messages without what would command a terminal, whatever names they hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one message."""
        return printable(super().format(record))


class TerminalHandler(logging.Handler):
    """Prints messages as they are, through rich's console, which keeps its bars below them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        import rich

        rich.get_console().print(self.format(record), soft_wrap=True, markup=False, highlight=False)


def log_to(folder: Path, prefix: str = "") -> None:
    """Log to `run.log` in a run folder and, each message after a prefix, to the terminal.

    Details are in the file only.
    """
    file = logging.FileHandler(folder / "run.log")
    file.setFormatter(PrintableFormatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    terminal = TerminalHandler()
    terminal.setLevel(logging.INFO)
    terminal.setFormatter(PrintableFormatter(prefix.replace("%", "%%") + "%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal], force=True)
    logging.getLogger("sgan_lab").setLevel(logging.DEBUG)
