"""How good a classifier is on labeled images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from sgan_lab import losses
from sgan_lab.data import LabeledImages, scale

BATCH_SIZE = 1000  # images at once; changes memory and speed only


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`.

    Attributes:
        loss: mean cross-entropy, in nats.
        confusion: counts, (true class, predicted class).
    """

    loss: float
    confusion: Tensor

    @property
    def errors(self) -> int:
        """Misclassified images."""
        return int(self.confusion.sum() - self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """Correctly classified images, as a fraction of all."""
        return 1 - self.errors / int(self.confusion.sum())

    @property
    def class_accuracies(self) -> list[float]:
        """Correctly classified images of each class, as a fraction; nan for a class without any."""
        return (self.confusion.diag().double() / self.confusion.sum(dim=1)).tolist()


@torch.inference_mode()
def evaluate(classifier: nn.Module, test: LabeledImages, num_classes: int) -> Evaluation:
    """Classify images, dropout off.

    Args:
        classifier: images (N, channels, height, width) in [-1, 1] to logits (N, classes).
        test: images as bytes, with labels, on the classifier's device.
        num_classes: number of classes.
    """
    was_training = classifier.training
    classifier.eval()
    confusion = MulticlassConfusionMatrix(num_classes).to(test.labels.device)
    loss_sum = torch.zeros((), device=test.labels.device)
    for images, labels in zip(
        test.images.split(BATCH_SIZE), test.labels.split(BATCH_SIZE), strict=True
    ):
        logits = classifier(scale(images))
        loss_sum += losses.class_loss(logits, labels) * len(labels)
        confusion.update(logits, labels)
    classifier.train(was_training)
    return Evaluation(loss_sum.item() / len(test.labels), confusion.compute().cpu())
