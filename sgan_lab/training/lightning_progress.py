"""What a run changes in Lightning's own counts of progress, which have no public interface."""

from typing import Any

from pytorch_lightning import Trainer


def count_iteration(trainer: Trainer) -> None:
    """Have Lightning count a step of an optimizer that it has not seen, as in a CUDA graph."""
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    progress.increment_ready()
    progress.increment_completed()


def complete_progress(checkpoint: dict[str, Any]) -> None:
    """Have a checkpoint say that the batch and the epoch at whose end it was written have ended.

    Lightning writes it before it counts them, and would count the last batch again.
    """
    progress = checkpoint["loops"]["fit_loop"]
    epochs, batches = progress["epoch_progress"], progress["epoch_loop.batch_progress"]
    for each in (epochs["total"], epochs["current"], batches["total"], batches["current"]):
        each["completed"] = each["processed"]
    if epochs["current"]["completed"] == epochs["current"]["started"]:
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False
