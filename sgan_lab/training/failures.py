"""What goes wrong in training without an error: logged once a kind, and kept in the result."""

import logging
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sgan_lab.algorithms.base import GAN, Algorithm
from sgan_lab.data.containers import SemiSupervisedData, scale
from sgan_lab.training.history import History

SAMPLE = 64  # real and generated images that are compared
SETTLED = 500  # iterations in which images may be alike and easily told apart
FEWEST = 100  # iterations after which predicted classes say something
FREQUENCY_SAMPLE = 500  # unlabeled images whose classes are counted
LEAST_LOSS = 0.01  # of telling real from generated images, in nats
LEAST_VARIANCE = 0.01  # of generated images, as a fraction of that of real ones
ABOVE, BACK = 0.5, 0.1  # of the way from chance to an accuracy of 1
LEAST_FALL = 0.2  # of the accuracy

KINDS = {
    "discriminator": "the discriminator has told real from generated images for a whole sample "
    "interval, and the generator learns little from it. Try a lower learning rate of the "
    "discriminator, a higher one of the generator, or model=improved_sgan.",
    "identical_images": "generated images have become alike. Try lower learning rates, another "
    "seed, or model=improved_sgan, whose generator matches features.",
    "class_frequencies": "classes are predicted more than twice or less than half as often for "
    "unlabeled images as they are labeled: %s. If labels and unlabeled images have the same "
    "frequencies, the classifier misses classes: try model.logit_adjustment=1, "
    "data.balanced_batches=true or more labels. If they have not, targets that are aligned need "
    "model.class_frequencies.",
    "accuracy": "the accuracy on labeled batches has fallen back to chance. Try lower learning "
    "rates, or less weight of the loss on unlabeled images.",
}

log = logging.getLogger(__name__)


class Failures(Callback):
    """Looks for `KINDS` of failure at each sample interval, or epoch of the supervised baseline.

    Attributes:
        history: the values of the iterations; a callback that precedes this one.
        data: that the classifier learns from.
        found: the iteration at which each kind was seen first.
    """

    def __init__(self, history: History, data: SemiSupervisedData) -> None:
        self.history = history
        self.data = data
        self.chance = data.label_frequencies.max().item()
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
            if is_seen:
                self.warn(kind, trainer.global_step)

    def warn(self, kind: str, iteration: int, *details: object) -> None:
        """Log a failure and keep it, if it is the first one of its kind."""
        if kind not in self.found:
            self.found[kind] = iteration
            log.warning(f"Iteration %d: {KINDS[kind]}", iteration, *details)

    def has_fallen(self, accuracy: float) -> bool:
        """Whether an interval's accuracy is at chance, and that of an earlier one was far above."""
        self.best_accuracy = max(self.best_accuracy, accuracy)
        back, above = (self.chance + part * (1 - self.chance) for part in (BACK, ABOVE))
        far = self.best_accuracy > max(above, accuracy + LEAST_FALL)
        return far and accuracy < back

    def are_alike(self, module: GAN) -> bool:
        """Whether generated images differ much less than real ones do; training draws the same."""
        with torch.random.fork_rng(devices=[module.device] if module.on_gpu else []):
            generated = module.inferred_images(module.noise(SAMPLE))
        variance, real_variance = (
            images.var(dim=0).mean().item() for images in (generated, self.unlabeled(SAMPLE))
        )
        return variance < LEAST_VARIANCE * real_variance

    def compare_frequencies(self, algorithm: Algorithm) -> None:
        """Warn where predicted classes are not as frequent as labeled ones, after training.

        Both are counts of labels, plus one: of a class with one label, none may be predicted.
        """
        images = self.unlabeled(FREQUENCY_SAMPLE).to(algorithm.device)
        if len(images) == 0 or algorithm.global_step < FEWEST:
            return
        predicted = algorithm.inferred(algorithm.classifier, images).argmax(dim=1)
        shares = predicted.bincount(minlength=len(self.data.class_names)) / len(images)
        num_labels = len(self.data.labeled.labels)
        frequencies = self.data.label_frequencies.tolist()
        rows = zip(self.data.class_names, shares.tolist(), frequencies, strict=True)
        odd = [
            f"{name} {share:.1%} instead of {frequency:.1%}"
            for name, share, frequency in rows
            if not 0.5 <= (num_labels * share + 1) / (num_labels * frequency + 1) <= 2
        ]
        if odd:
            self.warn("class_frequencies", algorithm.global_step, ", ".join(odd))

    def unlabeled(self, count: int) -> Tensor:
        """About as many unlabeled images, from all over the data set, in [-1, 1]."""
        images = self.data.unlabeled_images
        return scale(images[:: max(1, len(images) // count)])
