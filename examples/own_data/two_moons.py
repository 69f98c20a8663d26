"""Two moons as pictures: a bright spot on a point of scikit-learn's toy data set."""

from typing import Any

import numpy as np
from sklearn.datasets import make_moons

SIZE = 16  # pixels a side


def load(num_images: int, noise: float) -> dict[str, Any]:
    """Images and labels: half of them to train on, half to test on.

    Args:
        num_images: of both halves together.
        noise: standard deviation of the points around the moons, which have a radius of 1.
    """
    points, labels = make_moons(num_images, noise=noise, random_state=0)
    center = SIZE * (points + 1.5) / 4  # in pixels
    pixel = np.arange(SIZE)
    x, y = (np.exp(-((pixel - center[:, [axis]]) ** 2) / 2) for axis in (0, 1))
    images = y[:, :, None] * x[:, None, :]  # (N, height, width), floats 0 to 1
    half = num_images // 2
    return {
        "train": (images[:half], labels[:half]),
        "test": (images[half:], labels[half:]),
        "class_names": ["upper", "lower"],
    }
