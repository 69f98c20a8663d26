"""Record of what every iteration returned: checked, logged and kept for the plots."""

import logging
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sgan_lab.errors import NonFiniteLossError

log = logging.getLogger(__name__)

# The values of a log line, by the names of their curves; the tutorial's, and the one of algorithms
# without a generator.
LINE = {
    "labeled/class_loss": "class loss {:.4f}",
    "labeled/accuracy": "accuracy {:.2%}",
    "unlabeled/discriminator_loss": "real-or-fake loss {:.4f}",
    "unlabeled/loss": "unlabeled loss {:.4f}",
    "generator/loss": "generator loss {:.4f}",
}


class History(Callback):
    """Collects the losses and accuracies of training without waiting for the device.

    What `training_step` returns stays on the device until the end of an interval (a Lightning
    epoch). Then it is read back at once, checked, written to the loggers at each iteration that
    `log_interval` divides and at the interval's end, and logged as a line.

    Args:
        log_interval: iterations between two points of the loggers' curves; None for the ends of
            intervals only.

    Attributes:
        names: the recorded values; the "loss" that Lightning minimizes is not one of them.
        values: (iterations, names), row i is what iteration i + 1 returned.
        interval_ends: the last iteration of each interval.
    """

    def __init__(self, log_interval: int | None) -> None:
        self.log_interval = log_interval
        self.names: list[str] = []
        self.values = torch.empty(0, 0)
        self.interval_ends: list[int] = []
        self._rows: list[Tensor] = []

    def __getitem__(self, name: str) -> Tensor:
        """A value of all iterations, of shape (iterations,)."""
        return self.values[:, self.names.index(name)]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        self._read_back()
        return {"names": self.names, "values": self.values, "interval_ends": self.interval_ends}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what a checkpoint has kept."""
        self.names = state_dict["names"]
        self.values = state_dict["values"].cpu()
        self.interval_ends = state_dict["interval_ends"]

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Raise a NonFiniteLossError, so that training which diverged leaves no checkpoint."""
        self._check_finite(trainer, self._interval_start)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: dict[str, Tensor], *_: object
    ) -> None:
        """Keep an iteration's values on the device."""
        self.names = [name for name in outputs if name != "loss"]
        self._rows.append(torch.stack([outputs[name] for name in self.names]))

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Read an interval back and log it; one that diverged raises a NonFiniteLossError."""
        self._read_back()
        start, last = self._interval_start, len(self.values)
        self.interval_ends.append(last)
        for iteration, row in enumerate(self.values[start:].tolist(), start=start + 1):
            named = dict(zip(self.names, row, strict=True))
            if iteration == last or (self.log_interval and iteration % self.log_interval == 0):
                for logger in trainer.loggers:
                    logger.log_metrics(named, step=iteration)
        self._check_finite(trainer, start)
        log.info(log_line(last, named))

    @property
    def _interval_start(self) -> int:
        return self.interval_ends[-1] if self.interval_ends else 0

    def _read_back(self) -> None:
        if self._rows:
            rows = torch.stack(self._rows).cpu()
            self.values = torch.cat([self.values, rows]) if len(self.values) else rows
            self._rows.clear()

    def _check_finite(self, trainer: Trainer, start: int) -> None:
        rows = self.values[start:]
        bad = (~rows.isfinite()).nonzero()
        if len(bad) == 0:
            return
        row, column = bad[0].tolist()
        kept = [getattr(each, "newest", None) for each in trainer.checkpoint_callbacks]
        raise NonFiniteLossError(
            f"{self.names[column]} is {rows[row, column].item()} at iteration {start + row + 1}; "
            f"training stopped. Last good checkpoint: {next(filter(None, kept), 'none yet')}. "
            "A lower learning rate may help."
        )


def log_line(iteration: int, values: dict[str, float]) -> str:
    """The line of a log, from what `training_step` returned at an iteration."""
    shown = [form.format(values[name]) for name, form in LINE.items() if name in values]
    return f"{iteration}: {', '.join(shown)}"
