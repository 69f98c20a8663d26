"""Signals that end the program: it ends cleanly, with the exit status of a shell's.

Only light imports here: this is in force before torch is imported. While a run trains,
`sgan_lab.training.interruption` takes over.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = {  # and why they usually come
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "a request to end",
    signal.SIGHUP: "a closed terminal",
    signal.SIGUSR1: "a time limit",  # by `sbatch --signal=USR1@60` and the habit of many clusters
    signal.SIGUSR2: "a time limit",  # by submitit
}
PATIENCE = 10  # seconds that a run has to finish its iteration and save, when told to end


class Interrupted(SystemExit):
    """A signal ended the program. The exit status is 128 + the number of the signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)
        self.signal = signal.Signals(signal_number)

    def __str__(self) -> str:
        return f"interrupted: {self.signal.name}, {SIGNALS[self.signal]}"


def end_at_once(signal_number: int, _: FrameType | None) -> None:
    """Handle a signal: end the program, whatever it does at the moment.

    The workers of a launcher and their jobs end first; joblib would kill both.

    Raises:
        Interrupted: always.
    """
    for each in SIGNALS:
        if each != signal.SIGINT:  # a second one can still end what takes too long
            signal.signal(each, signal.SIG_IGN)
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(PATIENCE)
    raise Interrupted(signal_number)


def handle_signals(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Set the handler of `SIGNALS`, except of ignored ones, as by a shell's `&` or `nohup`."""
    if threading.current_thread() is not threading.main_thread():  # Python allows no other one
        return
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handler)
