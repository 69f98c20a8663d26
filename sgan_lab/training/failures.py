"""What goes wrong in training without an error: logged once a kind, and kept in the result."""

import logging
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from sgan_lab.algorithms.base import GAN
from sgan_lab.data.containers import SemiSupervisedData, scale
from sgan_lab.training.history import History

SAMPLE = 64  # real and generated images that are compared
SETTLED = 500  # iterations in which images may be alike and easily told apart
LEAST_LOSS = 0.01  # of telling real from generated images, in nats
LEAST_VARIANCE = 0.01  # of generated images, as a fraction of that of real ones
ABOVE, BACK = 0.5, 0.1  # of the way from chance to an accuracy of 1

KINDS = {
    "discriminator": "the discriminator has told real from generated images for a whole sample "
    "interval, and the generator learns little from it. Try a lower learning rate of the "
    "discriminator, a higher one of the generator, or model=improved_sgan.",
    "identical_images": "generated images have become alike. Try lower learning rates, another "
    "seed, or model=improved_sgan, whose generator matches features.",
    "accuracy": "the accuracy on labeled batches has fallen back to chance. Try lower learning "
    "rates, or less weight of the loss on unlabeled images.",
}

log = logging.getLogger(__name__)


class Failures(Callback):
    """Looks for `KINDS` of failure at each sample interval, or epoch of the supervised baseline.

    Args:
        history: the values of the iterations; a callback that precedes this one.
        data: that the classifier learns from.

    Attributes:
        found: the iteration at which each kind was seen first.
    """

    def __init__(self, history: History, data: SemiSupervisedData) -> None:
        self.history = history
        self.images = data.unlabeled_images[:: max(1, len(data.unlabeled_images) // SAMPLE)]
        self.chance = (data.labeled.labels.bincount().max() / len(data.labeled.labels)).item()
        self.best_accuracy = 0.0
        self.found: dict[str, int] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"found": self.found, "best_accuracy": self.best_accuracy}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what a checkpoint has kept."""
        self.found, self.best_accuracy = state_dict["found"], state_dict["best_accuracy"]

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Look at the interval that has ended."""
        if not trainer.is_global_zero:
            return
        start = [0, *self.history.interval_ends][-2]
        means = self.history.values[start:].mean(dim=0).tolist()
        values = dict(zip(self.history.names, means, strict=True))
        seen = {"accuracy": self.has_fallen(values["labeled/accuracy"])}
        if isinstance(module, GAN) and trainer.global_step >= SETTLED:
            loss = values.get("unlabeled/discriminator_loss", 1.0)
            seen |= {"discriminator": loss < LEAST_LOSS, "identical_images": self.are_alike(module)}
        for kind, is_seen in seen.items():
            if is_seen and kind not in self.found:
                self.found[kind] = trainer.global_step
                log.warning("Iteration %d: %s", trainer.global_step, KINDS[kind])

    def has_fallen(self, accuracy: float) -> bool:
        """Whether an interval's accuracy is at chance, and that of an earlier one was far above."""
        self.best_accuracy = max(self.best_accuracy, accuracy)
        back, above = (self.chance + part * (1 - self.chance) for part in (BACK, ABOVE))
        return accuracy < back and self.best_accuracy > above

    def are_alike(self, module: GAN) -> bool:
        """Whether generated images differ much less than real ones do; training draws the same."""
        with torch.random.fork_rng(devices=[module.device] if module.on_gpu else []):
            generated = module.inferred_images(module.noise(SAMPLE))
        variance, real_variance = (
            images.var(dim=0).mean().item() for images in (generated, scale(self.images))
        )
        return variance < LEAST_VARIANCE * real_variance
