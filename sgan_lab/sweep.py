"""What a sweep does after its jobs."""

import atexit
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sgan_lab.errors import DataError


class WriteReport(Callback):
    """Hydra callback: writes a sweep's report into its folder and prints its summary."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Have it done at the end: Hydra calls `on_multirun_end` only where no job has failed."""
        atexit.register(write_report, Path(config.hydra.sweep.dir).absolute())


def write_report(folder: Path) -> None:
    """Write and print the report, where a job of the sweep has started."""
    from sgan_lab import report  # pandas and scipy would slow every start

    try:
        runs = report.read_runs([folder])
    except DataError as error:
        print(f"No report: {error}")
        return
    report.print_summary(report.write_report(runs, folder))
    without_result = (runs.status != "finished").sum()
    if without_result:
        print(f"{without_result} of {len(runs)} runs have no result; see {folder / 'report.md'}.")
