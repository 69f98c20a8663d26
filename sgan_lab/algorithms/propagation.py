"""Label propagation: the labels of a few images spread to the others along a graph of neighbors.

Zhou et al. 2003, Learning with Local and Global Consistency. As targets of a network: Iscen et al.
2019, Label Propagation for Deep Semi-supervised Learning; they look for neighbors in the network's
features. Here they are looked for in the pixels, so that the guesses precede training.
"""

import logging
import warnings

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import kneighbors_graph
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from sgan_lab.data.containers import SemiSupervisedData

COMPONENTS = 50  # principal components of the pixels
NEIGHBORS = 5
SPREADING = 0.99  # alpha of Zhou et al.
STEPS = 100
BALANCING_STEPS = 20

log = logging.getLogger(__name__)


class LabelPropagation:
    """Teaches a classifier the propagated labels of the unlabeled images at the start of training.

    Consistency training alone may give all images of one kind, such as sevens with a bar, to the
    class that the classifier takes them for at first. Among their neighbors are other sevens.

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

    def loss(self, logits: Tensor, guesses: Tensor) -> Tensor:
        """Weighted cross-entropy of logits (N, classes) with `propagated_labels` (N, classes)."""
        return self.weight * -(guesses * logits.log_softmax(dim=1)).sum(dim=1).mean()


def propagated_labels(data: SemiSupervisedData) -> Tensor:
    """Guesses for the unlabeled images, on the device of these.

    Args:
        data: with N unlabeled images.

    Returns:
        Class probabilities times certainty, (N, classes). The certainty of an image, which is the
        sum of its row, is 1 where one class is certain and 0 where all are equally probable (Iscen
        et al., equation 7). The classes are as frequent as among the labels.
    """
    images = torch.cat([data.labeled.images, data.unlabeled_images]).flatten(1)
    log.info("Labels are propagated to %d images.", len(data.unlabeled_images))
    pixels = images.float().cpu().numpy()
    components = min(COMPONENTS, *pixels.shape)
    points = PCA(components, svd_solver="covariance_eigh").fit_transform(pixels)
    labels = np.full(len(points), -1)
    num_labeled = len(data.labeled.labels)
    labels[:num_labeled] = data.labeled.labels.cpu()
    spreading = LabelSpreading(lambda *_: neighbor_graph(points), alpha=SPREADING, max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many steps are enough
        spreading.fit(points, labels)
    guesses = np.zeros((len(data.unlabeled_images), len(data.class_names)))
    guesses[:, spreading.classes_] = spreading.label_distributions_[num_labeled:]
    guesses[guesses.sum(axis=1) == 0] = 1 / guesses.shape[1]  # no label has come that far
    frequencies = np.bincount(labels[:num_labeled], minlength=guesses.shape[1]) / num_labeled
    guesses = balanced(guesses, frequencies)
    certainty = 1 - entropy(guesses, axis=1, keepdims=True) / np.log(guesses.shape[1])
    return torch.from_numpy(guesses * certainty).float().to(data.unlabeled_images.device)


def neighbor_graph(points: np.ndarray) -> csr_matrix:
    """Weights exp(-(d / mean d)^2) of points (N, D) and neighbors at the cosine distance d."""
    graph = kneighbors_graph(points, NEIGHBORS, mode="distance", metric="cosine")
    graph.data = np.exp(-((graph.data / graph.data.mean()) ** 2))
    return graph.maximum(graph.T)


def balanced(guesses: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Class probabilities (N, classes), scaled by class so that their means are `frequencies`.

    The iteration of Sinkhorn and Knopp 1967.
    """
    for _ in range(BALANCING_STEPS):
        guesses = guesses * (frequencies / guesses.mean(axis=0).clip(1e-12))
        guesses = guesses / guesses.sum(axis=1, keepdims=True)
    return guesses
