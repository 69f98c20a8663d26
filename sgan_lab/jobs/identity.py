"""The identity of a process, by which another one tells later whether it still exists.

A process number alone does not do: after a reboot, or in a restarted container, another program has
it. On Linux the start time and the boot id are compared too; elsewhere only number and host.
"""

import os
import platform
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

Made = TypeVar("Made")
PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A process.

    Attributes:
        host: name of its machine.
        pid: its number there.
        started: its start, in clock ticks since the machine was booted; 0 where that is not known.
        boot: id of the machine's boot; empty where that is not known.
        namespace: process numbers are those of this namespace, as each container has one.
    """

    host: str = ""
    pid: int = 0
    started: int = 0
    boot: str = ""
    namespace: str = ""


def this_process() -> Identity:
    """The identity of this process."""
    return Identity(
        host=platform.node(),
        pid=os.getpid(),
        started=start_time(os.getpid()) or 0,
        boot=boot_id(),
        namespace=namespace(),
    )


def checked(values: dict[str, Any], kind: type[Made]) -> Made:
    """What a JSON file holds of a dataclass; a TypeError where a value is of another type."""
    made = kind(**values)
    if not all(isinstance(getattr(made, each.name), each.type) for each in fields(kind)):
        raise TypeError("a value is of another type")
    return made


def boot_id() -> str:
    """Id of this machine's boot; containers share it. Empty where the system has none."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def namespace() -> str:
    """The namespace of this process's number; empty where the system has none."""
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None where it has ended or is not known."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
        state, *fields = text.rpartition(")")[2].split()  # a program's name may hold anything
        return None if state in "ZX" else int(fields[18])  # a zombie has ended
    except (OSError, ValueError, IndexError):
        return None


def is_here(process: Identity) -> bool:
    """Whether a process is or was on this machine since it was booted."""
    if process.boot and boot_id():
        return process.boot == boot_id()
    return process.host == platform.node()


def exists(process: Identity) -> bool | None:
    """Whether a process still exists; None where that cannot be seen from here."""
    if not is_here(process):  # one that ran before this machine was booted again is gone
        return False if process.host == platform.node() else None
    if process.namespace != namespace() and process.namespace:
        return None
    if process.started:
        return start_time(process.pid) == process.started
    try:
        os.kill(process.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's process
        return True
    return True
