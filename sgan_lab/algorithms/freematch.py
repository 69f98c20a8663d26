"""FreeMatch: FixMatch whose threshold follows the classifier, for each class.

Wang et al. 2023, FreeMatch: Self-adaptive Thresholding for Semi-supervised Learning.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgan_lab import losses
from sgan_lab.algorithms.pi_model import PiModel

EPSILON = 1e-6  # a class that is never guessed is no division by zero


class FreeMatch(PiModel):
    """Few images are labels at first, of the classes that are learned best.

    Args:
        threshold_rate: of the running averages that give the threshold, for each batch.
        fairness_weight: of the loss by which predicted classes vary, relative to that on labels.
        training: see `PiModel` and `SemiSupervisedClassifier`.
    """

    def __init__(self, *, threshold_rate: float, fairness_weight: float, **training: Any) -> None:
        super().__init__(**training)
        self.threshold = AdaptiveThreshold(len(self.hparams.class_names), threshold_rate)

    def agreement(self, logits: Tensor, target_logits: Tensor) -> dict[str, Tensor]:
        """Cross-entropy with the labels, and fairness; "unlabeled/threshold" is a mean."""
        threshold = self.threshold(target_logits)
        loss, confident = losses.pseudo_label_loss(logits, target_logits, threshold)
        fairness = losses.fairness_loss(logits, confident, self.threshold.balanced)
        return {
            "unlabeled/loss": loss + self.hparams.fairness_weight * fairness,
            "unlabeled/confident": confident.mean(),
            "unlabeled/threshold": threshold.mean(),
        }


class AdaptiveThreshold(nn.Module):
    """What the probability of a guessed class must exceed, equations 5 to 8.

    Args:
        num_classes: number of classes.
        rate: of the running averages, for each batch; 0.001 in the paper's 2^20 iterations.

    Attributes:
        confidence: average of the largest probability.
        probabilities: average of each class's.
        frequencies: average of how often each class is the most probable one.
    """

    def __init__(self, num_classes: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        uniform = torch.full((num_classes,), 1 / num_classes)
        self.register_buffer("confidence", uniform[0].clone())
        self.register_buffer("probabilities", uniform)
        self.register_buffer("frequencies", uniform.clone())

    @torch.no_grad()
    def forward(self, logits: Tensor) -> Tensor:
        """Take a batch of logits (N, classes) into account; returns a threshold for each, (N,)."""
        probabilities = logits.softmax(dim=1)
        confidences, guesses = probabilities.max(dim=1)
        classes = F.one_hot(guesses, logits.shape[1]).to(logits.dtype)
        self.confidence.lerp_(confidences.mean(), self.rate)
        self.probabilities.lerp_(probabilities.mean(dim=0), self.rate)
        self.frequencies.lerp_(classes.mean(dim=0), self.rate)
        return (self.confidence * self.probabilities / self.probabilities.max())[guesses]

    @property
    def balanced(self) -> Tensor:
        """Average probabilities divided by frequencies and normalized, (classes,)."""
        ratios = self.probabilities / self.frequencies.clamp(min=EPSILON)
        return ratios / ratios.sum()
