"""What a sweep shows on the terminal while its jobs run, and what a run shows at its end."""

from pathlib import Path
from typing import Any

import rich
from rich.markup import escape
from rich.progress import TaskID
from rich.table import Table

from sgan_lab.evaluation.metrics import shown
from sgan_lab.progress import training_progress
from sgan_lab.terminal import printable


class JobsProgress:
    """A bar for each job of a sweep that runs, and above them the number of jobs that have ended.

    The number of jobs to run may be None, not known.
    """

    def __init__(self, num_jobs: int | None) -> None:
        self.progress = training_progress()
        self.jobs: dict[str, TaskID] = {}
        self.ended: set[str] = set()
        self.sweep = self.progress.add_task("jobs", total=num_jobs, iterations=False)

    def __enter__(self) -> "JobsProgress":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, job: str, iteration: int, iterations: int) -> None:
        """Show how far a job is."""
        if job not in self.jobs:
            self.jobs[job] = self.progress.add_task(job, total=None)
            self.ended.discard(job)  # it may run again
        self.progress.update(self.jobs[job], completed=iteration, total=iterations or None)

    def end(self, job: str, message: str) -> None:
        """Count a job as ended and print a line about it."""
        if job in self.jobs:
            self.progress.remove_task(self.jobs.pop(job))
        self.ended.add(job)
        self.progress.update(self.sweep, completed=len(self.ended))
        self.progress.console.print(message, markup=False, highlight=False, soft_wrap=True)


def print_result(metrics: dict[str, Any], folder: Path) -> None:
    """The closing table of a run, from the content of metrics.json."""
    table = Table(title="Result", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a folder is to be copied, so never cut
    for label, text in shown(metrics, "test"):
        table.add_row(label, escape(printable(text)))
    table.add_row("test images", f"{metrics['test_images']:,}")
    table.add_row("labeled images", f"{metrics['num_labeled']:,}")
    table.add_row("iterations", f"{metrics['iterations']:,}")
    table.add_row(
        "time", f"{metrics['seconds']:.0f} s, {metrics['iterations_per_second']:.1f} it/s"
    )
    table.add_row("folder", escape(str(folder)))
    rich.print(table)
