"""The process of a run: `python -m sgan_lab.jobs.worker FOLDER PREFIX`, see `jobs.process`.

A single run on one device does the same in the process of the command line.
"""

if __name__ == "__main__":  # before the imports that take their time
    from sgan_lab.signals import end_at_once, handle_signals

    handle_signals(end_at_once)

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sgan_lab.config.checks import EXPLAINED, explain
from sgan_lab.jobs.process import end_with_parent
from sgan_lab.jobs.status import StatusFile
from sgan_lab.terminal import log_to

log = logging.getLogger(__name__)


def run(folder: Path, prefix: str = "", rank: int = 0) -> dict[str, Any]:
    """Train as a run folder's config.yaml says, with its log and status.json.

    Args:
        folder: of the run.
        prefix: before each log line on the terminal.
        rank: of this process among those of the run.

    Returns:
        The content of metrics.json; in other processes than the first of several, nothing.

    Raises:
        UserError: data are missing or damaged, or training failed; status.json says so too.
    """
    from sgan_lab.training.ranks import set_rank  # torch takes seconds to import
    from sgan_lab.training.train import train

    set_rank(rank)
    if rank:
        return train(folder)
    log_to(folder, prefix)
    with StatusFile(folder, explain) as status:

        def show(iteration: Callable[[], int], iterations: int) -> None:
            status.progress = lambda: (iteration(), iterations)

        return train(folder, show)


def main() -> None:
    """Run, and end with exit status 1 where the run fails."""
    end_with_parent()
    try:
        run(Path(sys.argv[1]), sys.argv[2], int(os.environ.get("LOCAL_RANK", 0)))
    except Exception as error:
        log.error("%s", explain(error), exc_info=not isinstance(error, EXPLAINED))
        sys.exit(1)


if __name__ == "__main__":
    main()
