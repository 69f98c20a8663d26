"""What changes over the iterations of a training."""


def linear_decay(iteration: int, iterations: int, fraction: float) -> float:
    """The factor of a learning rate: 1, and over the last `fraction` of training linearly to 0.

    Args:
        iteration: how many are done, of `iterations`.
        iterations: length of training.
        fraction: in [0, 1]; 0 for no decay.
    """
    left = 1 - iteration / iterations
    return min(1.0, left / fraction) if fraction else 1.0
