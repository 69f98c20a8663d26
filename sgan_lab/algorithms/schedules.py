"""What changes over the iterations of a training."""

import math


def linear_decay(iteration: int, iterations: int, fraction: float) -> float:
    """The factor of a learning rate: 1, and over the last `fraction` of training linearly to 0.

    Args:
        iteration: how many are done, of `iterations`.
        iterations: length of training.
        fraction: in [0, 1]; 0 for no decay.
    """
    left = 1 - iteration / iterations
    return min(1.0, left / fraction) if fraction else 1.0


def ramp_up(iteration: int, iterations: int, fraction: float) -> float:
    """The factor of a weight: exp(-5 (1 - t)^2), t from 0 to 1 in the first `fraction` of training.

    Laine and Aila 2017, Temporal Ensembling for Semi-Supervised Learning.

    Args:
        iteration: how many are done, of `iterations`.
        iterations: length of training.
        fraction: in [0, 1]; 0 for a factor of 1 throughout.
    """
    t = min(1.0, iteration / (fraction * iterations)) if fraction else 1.0
    return math.exp(-5 * (1 - t) ** 2)
