"""Label propagation: the labels of a few images spread to the others along a graph of neighbors.

Zhou et al. 2003, Learning with Local and Global Consistency. As targets of a network: Iscen et al.
2019, Label Propagation for Deep Semi-supervised Learning; they look for neighbors in the network's
features. Here they are looked for in the images' edges, so that the guesses precede training.
"""

import logging
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.data.neighbors import neighbor_graph

SPREADING = 0.99  # alpha of Zhou et al.
STEPS = 100
BALANCING_STEPS = 20
NO_GUESS = -1

log = logging.getLogger(__name__)


class LabelPropagation:
    """Teaches a classifier the propagated labels of the unlabeled images at the start of training.

    Consistency training alone may give all images of one kind, such as sevens with a bar, to the
    class that the classifier takes them for at first. Among their neighbors are other sevens. Such
    guesses are among the least certain ones, so none is left out.

    Args:
        weight: of the loss; that on labeled images has weight 1.
        iterations: with that loss; in those that follow, the classifier corrects wrong guesses.
    """

    def __init__(self, weight: float, iterations: float) -> None:
        self.weight = weight
        self.iterations = iterations

    def is_on(self, iteration: int) -> bool:
        """Whether an iteration, counted from 0, has the loss."""
        return iteration < self.iterations

    def loss(self, logits: Tensor, guesses: Tensor, iteration: int) -> Tensor:
        """Weighted cross-entropy of logits (N, classes) with `propagated_labels` (N,).

        Images without a guess count in the mean, with a loss of 0. So do all in iterations that do
        not have the loss.
        """
        if not self.is_on(iteration):
            return logits.new_zeros(())
        loss = F.cross_entropy(logits, guesses, ignore_index=NO_GUESS, reduction="sum")
        return self.weight * loss / len(guesses)


def propagated_labels(data: SemiSupervisedData) -> Tensor:
    """Guesses for the unlabeled images, on the device of these.

    Args:
        data: with N unlabeled images.

    Returns:
        Labels (N,); `NO_GUESS` for images that no label reaches. The classes are about as frequent
        as among the labels.
    """
    images = torch.cat([data.labeled.images, data.unlabeled_images])
    log.info("Labels are propagated to %d images.", len(data.unlabeled_images))
    graph = neighbor_graph(images)
    labels = np.full(len(images), -1)
    num_labeled = len(data.labeled.labels)
    labels[:num_labeled] = data.labeled.labels.cpu()
    spreading = LabelSpreading(lambda *_: graph, alpha=SPREADING, max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many steps are enough
        spreading.fit(np.zeros((len(images), 1)), labels)
    probabilities = spreading.label_distributions_[num_labeled:]
    is_reached = probabilities.any(axis=1)
    probabilities[~is_reached] = 1 / len(spreading.classes_)
    weights = None if data.label_weights is None else data.label_weights.cpu()
    counts = np.bincount(labels[:num_labeled], weights)[spreading.classes_]
    probabilities = balanced(probabilities, counts / counts.sum())
    guesses = np.where(is_reached, spreading.classes_[probabilities.argmax(axis=1)], NO_GUESS)
    return torch.from_numpy(guesses).to(data.unlabeled_images.device)


def balanced(probabilities: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Class probabilities (N, classes), scaled by class so that their means are `frequencies`.

    The iteration of Sinkhorn and Knopp 1967.
    """
    for _ in range(BALANCING_STEPS):
        probabilities = probabilities * (frequencies / probabilities.mean(axis=0))
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    return probabilities
