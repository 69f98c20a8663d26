"""The checkpoints of a run folder, and the one that a user means."""

import argparse
import logging
import re
from pathlib import Path

from sgan_lab.config.own import TRUST
from sgan_lab.errors import DataError
from sgan_lab.evaluation.checksums import checksum_file, damage

log = logging.getLogger(__name__)

FOLDER = "checkpoints"  # in a run folder
NAME = r"iteration-(\d+)\.ckpt"
BEST = "best.ckpt"  # where a callback keeps it


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    found = [path for path in folder.glob("*.ckpt") if re.fullmatch(NAME, path.name)]
    return sorted(found, key=iteration_of, reverse=True)


def iteration_of(checkpoint: Path) -> int:
    """The iteration after which a checkpoint was written."""
    return int(re.fullmatch(NAME, checkpoint.name)[1])


def newest_intact(folder: Path) -> Path | None:
    """The newest checkpoint that agrees with its checksum; damaged ones are named in the log."""
    for path in checkpoints(folder):
        try:
            reason = damage(path)
        except FileNotFoundError:
            reason = f"{checksum_file(path).name} does not exist"
        if reason is None:
            return path
        log.warning("%s is damaged: %s. The one before is used.", path, reason)
    return None


def find_checkpoint(path: Path, which: str | None = None) -> Path:
    """The checkpoint that a user means, by its own path or that of a run folder.

    Args:
        path: of either.
        which: of a run folder: "last", the newest that is intact, or "best", the one with the best
            validation accuracy; None for the last one.

    Raises:
        DataError: there is none.
    """
    if not path.is_dir():
        if which:
            raise DataError(f"{path} is no run folder, of which --which {which} could be taken.")
        return path
    folder = path / FOLDER
    if which == "best":
        if not (folder / BEST).is_file():
            raise DataError(f"{folder / BEST} does not exist; the run kept no best checkpoint.")
        return folder / BEST
    checkpoint = newest_intact(folder)
    if checkpoint is None:
        run = next((each.parent for each in sorted(path.glob(f"*/{FOLDER}"))), None)
        hint = f"; it holds runs: name one, such as {run}" if run else ""
        raise DataError(f"{path} holds no intact {FOLDER}/iteration-<n>.ckpt{hint}.")
    return checkpoint


def checkpoint_parser(
    description: str, epilog: str, nargs: str | None = None
) -> argparse.ArgumentParser:
    """For a command that takes what `find_checkpoint` finds: `checkpoint`, `which`; and `trust`.

    With `nargs="?"` the checkpoint may be left out.
    """
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs=nargs,
        help="a run folder, or checkpoints/iteration-<n>.ckpt of one",
    )
    parser.add_argument(
        "--which",
        choices=("last", "best"),
        help="of a run folder: the newest checkpoint (default), or checkpoints/best.ckpt",
    )
    parser.add_argument("--trust", **TRUST)
    return parser
