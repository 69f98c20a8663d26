"""Lists of a user's own, and names for messages."""

import stat
from pathlib import Path

from sgan_lab.errors import DataError


def read_text(path: Path) -> str:
    """The text of a file; a DataError where it cannot be read, or is no text."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for ever
            raise OSError("it is no regular file")
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}.") from error


def shown(text: object) -> str:
    """A name for a message: characters that steer a terminal are written out."""
    return str(text) if str(text).isprintable() else ascii(str(text))
