"""Checksums of checkpoints, in the format of `sha256sum`, in a file beside each."""

import hashlib
import stat
from pathlib import Path

from sgan_lab.errors import DataError


def checksum_file(checkpoint: Path) -> Path:
    """The file that holds a checkpoint's checksum."""
    return checkpoint.with_name(f"{checkpoint.name}.sha256")


def sha256(path: Path) -> str:
    """SHA-256 sum of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint by its checksum; None where they agree.

    Raises:
        FileNotFoundError: the checkpoint or its checksum does not exist.
    """
    if not stat.S_ISREG(checkpoint.stat().st_mode):  # reading a named pipe would never end
        return "it is no regular file"
    try:
        expected = checksum_file(checkpoint).read_text().split()[0]
        return None if sha256(checkpoint) == expected else "its SHA-256 sum is another"
    except FileNotFoundError:
        raise
    except (OSError, IndexError, UnicodeDecodeError):
        return f"{checksum_file(checkpoint).name} cannot be read"


def check_checkpoint(checkpoint: Path) -> None:
    """Check a checkpoint that a user names, before it is loaded.

    One without a checksum passes, as a copy without the file beside it. So does one that does not
    exist; loading it says so.

    Raises:
        DataError: it is no regular file, or is not what was written.
    """
    try:
        reason = damage(checkpoint)
    except FileNotFoundError:
        return
    if reason:
        raise DataError(f"{checkpoint} is no readable checkpoint of sgan_lab: {reason}")
