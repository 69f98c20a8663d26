"""The names of TensorBoard's event files."""

import re
import time
from pathlib import Path

NAME = re.compile(r"(events\.out\.tfevents\.)(\d{10})(\..+)")


def let_next_be_last(folder: Path) -> None:
    """Rename the event files of a folder so that the next one is the last by name.

    TensorBoard reads in the order of the names, which begin with the time, and takes what it reads
    first for the older. After a clock was set back it would drop what a resumed run writes.
    """
    files = sorted(file for file in folder.glob("events.*") if NAME.fullmatch(file.name))
    now = int(time.time())
    if files and int(NAME.fullmatch(files[-1].name)[2]) >= now:
        for age, file in zip(range(len(files), 0, -1), files, strict=True):
            start, _, rest = NAME.fullmatch(file.name).groups()
            file.rename(folder / f"{start}{now - age:010}{rest}")
