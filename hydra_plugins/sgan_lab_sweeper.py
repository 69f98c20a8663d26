"""Hydra's sweeper of grids, without the jobs of a resumed sweep that are complete.

Hydra imports plugins from this namespace only, and imports all of them at each start.
"""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override


class GridSweeper(BasicSweeper):
    """Runs the jobs of a grid that `Sweep` has composed and checked before."""

    @staticmethod
    def split_arguments(_: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """The overrides of each job that is left, in batches."""
        from sgan_lab.jobs.sweep import Sweep

        size = max_batch_size or len(Sweep.left) or 1
        return list(BasicSweeper.split_overrides_to_chunks(Sweep.left, size))

    def validate_batch_is_legal(self, batch: list[list[str]]) -> None:
        """Do nothing: it is."""
