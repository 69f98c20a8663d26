"""The end of training by a signal, with a checkpoint to continue from."""

import signal
from types import FrameType

from pytorch_lightning import Callback, LightningModule, Trainer

from sgan_lab.signals import Interrupted, end_at_once, handle_signals
from sgan_lab.training.checkpoints import Checkpoints


class Interruption(Callback):
    """Ends training after the current iteration, with a checkpoint, when a signal has come.

    The signals are those of `sgan_lab.signals`. A second SIGINT ends training at once. Several
    processes would have to agree on an iteration, so there each signal ends training at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def receive(self, signal_number: int, _: FrameType | None) -> None:
        """Handle a signal; a second SIGINT raises Interrupted."""
        if self.received and signal_number == signal.SIGINT:
            raise Interrupted(signal_number)
        self.received = self.received or signal_number

    def end_if_received(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.received:
            raise Interrupted(self.received)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the signals over from Lightning, which restores all handlers after training."""
        handle_signals(self.receive if trainer.world_size == 1 else end_at_once)

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """End within an interval; at its end its checkpoint, curves and images come first."""
        if trainer.is_last_batch or trainer.global_step == trainer.max_steps:
            return
        if self.received:
            for callback in trainer.checkpoint_callbacks:
                if isinstance(callback, Checkpoints):
                    callback.save(trainer)
        self.end_if_received()

    def on_train_epoch_start(self, *_: object) -> None:
        """End between two intervals."""
        self.end_if_received()
