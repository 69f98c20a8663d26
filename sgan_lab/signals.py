"""SIGINT (Ctrl-C) and SIGTERM: the program ends by them cleanly, with the status of a shell's.

Only light imports here: this is in force before torch is imported. While a run trains,
`sgan_lab.training.checkpoints.Interruption` takes over.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 10  # seconds that a run has to finish its iteration and save, when told to end


class Interrupted(SystemExit):
    """The program was told to end by a signal; its exit status is 128 + the signal's number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)


def end_at_once(signal_number: int, _: FrameType | None) -> None:
    """Handle a signal by ending the program, on the way out of whatever it does.

    The workers of a launcher end first, with their jobs; joblib would kill both.

    Raises:
        Interrupted: always.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a SIGINT can still end what takes too long
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(PATIENCE)
    raise Interrupted(signal_number)


def handle_signals(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Have SIGINT and SIGTERM handled, except where they are ignored, as a shell's `&` has it."""
    if threading.current_thread() is not threading.main_thread():  # Python allows it there only
        return
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handler)
