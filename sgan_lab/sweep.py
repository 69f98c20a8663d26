"""What a sweep does after its jobs."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class WriteReport(Callback):
    """Hydra callback: writes a sweep's report into its folder and prints its summary."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Write and print."""
        from sgan_lab import report  # pandas and scipy would slow every start

        folder = Path(config.hydra.sweep.dir)
        runs = report.read_runs([folder])
        report.write_report(runs, folder)
        report.print_summary(report.summarize(runs))
