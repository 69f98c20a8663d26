"""Distribution alignment: guessed classes become as frequent as those of the labels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgan_lab.errors import ConfigError

RATE = 0.02  # of the running averages, for each batch
EPSILON = 1e-6  # the authors'; a class that never comes is no division by zero


class DistributionAlignment(nn.Module):
    """Corrects guesses on unlabeled images by how frequent each class is among guesses and labels.

    Berthelot et al. 2020, ReMixMatch, section 3.1; the authors average over the last 128 batches.

    Args:
        num_classes: number of classes.
        frequencies: of the classes, in place of those of the labels.

    Raises:
        ConfigError: there are more or fewer frequencies than classes.
    """

    def __init__(self, num_classes: int, frequencies: Sequence[float] | None = None) -> None:
        super().__init__()
        uniform = torch.full((num_classes,), 1 / num_classes)
        self.register_buffer("label_distribution", uniform)
        self.register_buffer("guess_distribution", uniform.clone())
        self.is_given = False
        if frequencies is not None:
            if len(frequencies) != num_classes:
                allowed = f"must be null or {num_classes} numbers, one a class"
                raise ConfigError("model.class_frequencies", list(frequencies), allowed)
            self.give(torch.tensor(frequencies))

    def give(self, frequencies: Tensor) -> None:
        """Take given frequencies (classes,) for those of the labels, if none were given before."""
        if not self.is_given:
            self.label_distribution.copy_(frequencies / frequencies.sum())
        self.is_given = True

    @torch.no_grad()
    def update_labels(self, labels: Tensor) -> None:
        """Take a batch of labels (N,) into account, where frequencies are not given."""
        if self.is_given:
            return
        classes = F.one_hot(labels, len(self.label_distribution))
        frequencies = classes.to(self.label_distribution.dtype).mean(dim=0)
        self.label_distribution.lerp_(frequencies, RATE)

    @torch.no_grad()
    def forward(self, logits: Tensor) -> Tensor:
        """Take a batch of guesses into account, and align it.

        Args:
            logits: (N, classes), of unlabeled images.

        Returns:
            Logits whose class probabilities are those of the argument times label distribution /
            guess distribution, normalized.
        """
        frequencies = logits.softmax(dim=1).mean(dim=0).to(self.guess_distribution.dtype)
        self.guess_distribution.lerp_(frequencies, RATE)
        factors = (self.label_distribution + EPSILON) / (self.guess_distribution + EPSILON)
        return logits + factors.log()
