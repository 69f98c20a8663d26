"""One process at a time works in the folder of a run or sweep: its owner.

The owner holds a lock on lock.json in the folder. The system frees it when the process ends, in
whatever way. The file says which process it is.

Some network file systems have no locks (NFS without lockd), others keep them to one machine. There
the owner that the file names decides, and for one on another machine the heartbeat in status.json.
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import IO

from sgan_lab.errors import InUseError
from sgan_lab.jobs import status
from sgan_lab.jobs.identity import Identity, checked, exists, is_here, this_process

FILE = "lock.json"
WATCH = 60  # seconds without a heartbeat after which an old one is the last; NFS shows it that late
SETTLE = 1  # seconds after which a lock.json written without a lock is not replaced any more
POLL = 2  # seconds between two tries to own a folder
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

held: dict[Path, IO[str]] = {}  # the open lock.json of each folder that this process owns


def own(folder: Path) -> None:
    """Make this process the owner of an existing folder, until it ends or calls `release`.

    Raises:
        InUseError: another process owns it; nothing was changed.
        OSError: the folder cannot be written to.
    """
    folder = folder.absolute()
    path = folder / FILE
    file, is_locked = open_locked(path)
    if is_locked is False or may_live(folder, owner(path), has_locks=is_locked is True):
        file.close()
        raise InUseError(refusal(folder, owner(path)))
    since = datetime.now().astimezone().isoformat(timespec="seconds")  # for people
    content = json.dumps(asdict(this_process()) | {"since": since}, indent=2) + "\n"
    if is_locked:
        file.truncate(0)
        file.write(content)
        file.flush()
    else:
        status.replace_text(path, content)
        time.sleep(SETTLE)
        if owner(path) != this_process():
            file.close()
            raise InUseError(refusal(folder, owner(path)))
    held[folder] = file


def open_locked(path: Path) -> tuple[IO[str], bool | None]:
    """Open lock.json and lock it; also returns whether this process has locked it.

    That is False where another process has, and None where the file system has no locks.
    """
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file, None
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return file, False
            file.close()
            raise
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file, True
        file.close()  # its owner removed it since it was opened


def owner(path: Path) -> Identity | None:
    """The process that a lock.json names; None where there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text())
        return checked({each.name: content[each.name] for each in fields(Identity)}, Identity)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def may_live(folder: Path, process: Identity | None, has_locks: bool) -> bool:
    """Whether the process that lock.json names, if any, may still work in the folder.

    `has_locks` says whether this process now has the lock.
    """
    if process is None:
        return False
    if has_locks and is_here(process):
        return False  # it would have the lock
    alive = exists(process)
    if alive is None:
        return has_heartbeat(folder)
    return alive or (not has_locks and status.read_status(folder).state == "running")


def has_heartbeat(folder: Path) -> bool:
    """Whether a process on another machine has written lately, or does while it is watched.

    The clocks of two machines differ, so an old heartbeat is watched for a new one.
    """

    def written() -> list[int]:
        files = [folder / FILE, folder / status.FILE]
        return [file.stat().st_mtime_ns for file in files if file.exists()]

    before = written()
    if time.time() - max(before, default=0) / 1e9 < status.SILENCE:
        return True
    time.sleep(WATCH)
    return written() != before


def refusal(folder: Path, process: Identity | None) -> str:
    """The message for a second process that wants a folder."""
    who = f"process {process.pid} on {process.host}" if process else "another process"
    file = folder / FILE
    return f"{folder} is in use by {who}. If that process is gone, delete {file} and try again."


def descriptors(folder: Path) -> list[int]:
    """The file descriptors that keep a folder owned, for a process that this one starts."""
    file = held.get(folder.absolute())
    return [file.fileno()] if file else []


def release(folder: Path) -> None:
    """Give up a folder; without effect where this process does not own it."""
    file = held.pop(folder.absolute(), None)
    if file is None:
        return
    with file, contextlib.suppress(OSError):  # the folder may be gone
        if owner(folder / FILE) == this_process():
            (folder / FILE).unlink()


def release_all() -> None:
    """Give up all folders that this process owns."""
    for folder in list(held):
        release(folder)


@contextlib.contextmanager
def owned(folder: Path, wait: bool = False) -> Iterator[None]:
    """Own the folder of a run for a while.

    Raises:
        InUseError: another process owns it, and its end is not to be waited for.
    """
    while True:
        try:
            own(folder)
            break
        except InUseError:
            if not wait:
                raise
            time.sleep(POLL)
    try:
        yield
    finally:
        release(folder)
