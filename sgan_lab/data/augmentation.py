"""Random affine maps of training images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 2 / 28  # of height and width
ROTATION = math.radians(15)
SCALING = 0.1
SHEAR = 0.15


def random_affine(images: Tensor, strength: float) -> Tensor:
    """Each image shifted, turned, resized and sheared at random, uniformly up to a limit.

    Args:
        images: (N, channels, height, width) in [-1, 1]; pixels of the border repeat beyond it.
        strength: 1 shifts up to 2 pixels of 28, turns up to 15 degrees, resizes by up to 10 % and
            shears by up to 0.15; other values multiply all of these.
    """

    def uniform(limit: float, *shape: int) -> Tensor:
        return (2 * torch.rand(len(images), *shape, device=images.device) - 1) * strength * limit

    turn, shear = uniform(ROTATION), uniform(SHEAR)
    height, width = images.shape[-2:]
    cos, sin = turn.cos(), turn.sin()
    # Output to input coordinates, both in [-1, 1] along each side; pixels are square.
    linear = torch.stack(
        [
            torch.stack([cos, (shear * cos - sin) * height / width], dim=1),
            torch.stack([sin * width / height, shear * sin + cos], dim=1),
        ],
        dim=1,
    )
    linear = linear * (1 + uniform(SCALING, 2, 1))
    shift = 2 * uniform(SHIFT, 2, 1)
    grid = F.affine_grid(torch.cat([linear, shift], dim=2), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
