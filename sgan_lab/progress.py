"""Bars of progress."""

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


class RateColumn(ProgressColumn):
    """Iterations per second, averaged over the last half minute; nothing for other tasks."""

    def render(self, task: Task) -> Text:
        """The rate, or a dash before the first iterations."""
        if not task.fields.get("iterations", True):
            return Text()
        return Text("-" if task.speed is None else f"{task.speed:.1f} it/s")


def training_progress() -> Progress:
    """A bar for iterations; nothing where there is no terminal, without the bar in a narrow one."""
    console = rich.get_console()
    columns = [
        TextColumn(
            "{task.description}",
            # A job's name ends with a value, so it may take two lines and is not cut.
            table_column=Column(overflow="fold", max_width=console.width // 2),
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
