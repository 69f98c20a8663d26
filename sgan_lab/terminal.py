"""The log of a run, in its file and on the terminal, and bars of progress."""

import logging
from pathlib import Path

import rich
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

NARROW = 80  # columns of a terminal below which bars are left out


class TerminalHandler(logging.Handler):
    """Prints messages as they are, through rich's console, which keeps its bars below them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        rich.get_console().print(self.format(record), soft_wrap=True, markup=False, highlight=False)


def log_to(folder: Path, prefix: str = "") -> None:
    """Log to `run.log` in a run folder and, each message after a prefix, to the terminal."""
    file = logging.FileHandler(folder / "run.log")
    file.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    terminal = TerminalHandler()
    terminal.setFormatter(logging.Formatter(prefix.replace("%", "%%") + "%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[file, terminal], force=True)


class RateColumn(ProgressColumn):
    """Iterations per second, averaged over the last half minute; nothing for other tasks."""

    def render(self, task: Task) -> Text:
        """The rate, or a dash before the first iterations."""
        if not task.fields.get("iterations", True):
            return Text()
        return Text("-" if task.speed is None else f"{task.speed:.1f} it/s")


def training_progress() -> Progress:
    """Progress in iterations: without a bar in a narrow terminal, nothing without a terminal."""
    console = rich.get_console()
    columns = [
        TextColumn(
            "{task.description}",
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=console.width // 2),
        ),
        MofNCompleteColumn(),
        BarColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    ]
    if console.width < NARROW:
        del columns[2]
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
