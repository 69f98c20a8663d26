"""Probabilities that can be trusted: temperature scaling of a classifier's logits.

Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import Tensor

MOST = 20  # the temperature is at most this, and at least one over this


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature by which logits are divided for the least mean cross-entropy.

    The order of the classes stays as it is. Where no image is misclassified, nothing keeps the
    temperature from falling to zero, and it is 1.

    Args:
        logits: of images that the classifier has not learned from, (N, classes).
        labels: their true classes, (N,).
    """
    values, rows = logits.numpy().astype(float), np.arange(len(labels))
    if np.array_equal(values.argmax(axis=1), labels.numpy()) or not np.isfinite(values).all():
        return 1.0

    def cross_entropy(exponent: float) -> float:
        return -log_softmax(values * math.exp(-exponent), axis=1)[rows, labels.numpy()].mean()

    bounds = (-math.log(MOST), math.log(MOST))
    return math.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x)
