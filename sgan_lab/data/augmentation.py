"""Random changes of training images, drawn for each image on its own, on the device of the images.

torchvision's transforms draw once for a batch, and kornia's RandAugment, too, chooses its
operations for a batch; a loop over images would take most of an iteration. What has no parameter
that is drawn is torchvision's. docs/own_images.md has the times.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 2 / 28  # of height and width
ROTATION = math.radians(15)
SCALING = 0.1
SHEAR = 0.15


RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
GRAY = 128  # where an image is moved away
# RandAugment's largest magnitude, as in torchvision: shear, of height and width, degrees.
MOST_SHEAR, MOST_TRANSLATION, MOST_ROTATION = 0.3, 150 / 331, math.radians(30)
MOST_BLENDING = 0.9
MOVES, BLENDS = 5, 4  # operations
MOST_MAGNITUDE = 30


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed; without any change, nothing is drawn.

    Attributes:
        affine: strength of shifts, turns, changes of size and shears, see `random_affine`.
        flip: whether every other image is mirrored, left to right.
        crop: how far images are moved at most, as a fraction of height and width; they are
            mirrored beyond their border.
        brightness: a factor is drawn from 1 - this to 1 + this.
        contrast: as `brightness`, of the differences from the image's mean gray.
        saturation: as `brightness`, of the differences from each pixel's gray.
        hue: colors are turned by up to this fraction of the color circle.
        rand_augment: number of operations on each image, see `rand_augment`.
        magnitude: of these operations, 0 to 30.
        cutout: side of a gray square, as a fraction of height and width.
    """

    affine: float = 0
    flip: bool = False
    crop: float = 0
    brightness: float = 0
    contrast: float = 0
    saturation: float = 0
    hue: float = 0
    rand_augment: int = 0
    magnitude: float = 10
    cutout: float = 0

    def of_bytes(self, images: Tensor) -> Tensor:
        """Bytes (N, channels, height, width), flipped, cropped and by RandAugment."""
        if self.flip or self.crop:
            images = flip_and_crop(images, self.flip, self.crop)
        for _ in range(self.rand_augment):
            images = rand_augment(images, self.magnitude / MOST_MAGNITUDE)
        return images

    def of_floats(self, images: Tensor) -> Tensor:
        """Floats (N, channels, height, width) in [-1, 1]: mapped, colored and cut out."""
        if self.affine:
            images = random_affine(images, self.affine)
        if self.brightness or self.contrast or self.saturation or self.hue:
            images = self.color_jitter(images)
        return cutout(images, self.cutout) if self.cutout else images

    def color_jitter(self, images: Tensor) -> Tensor:
        """Floats (N, channels, height, width) in [-1, 1], with colors changed at random."""

        def uniform(limit: float) -> Tensor:
            return limit * (2 * torch.rand(len(images), 1, 1, device=images.device) - 1)

        bright, contrast, saturation = (
            1 + uniform(limit) for limit in (self.brightness, self.contrast, self.saturation)
        )
        angle = uniform(2 * math.pi * self.hue)
        mean = gray(images).mean(dim=(2, 3)).unsqueeze(2)
        matrix = bright * contrast
        if images.shape[1] == 3:
            to_yiq, to_rgb = color_maps(images.device)
            # Saturation and hue change the plane of I and Q, and leave the luma Y.
            cos, sin = saturation * angle.cos(), saturation * angle.sin()
            zero, one = torch.zeros_like(cos), torch.ones_like(cos)
            rows = [[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]]
            turn = torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
            matrix = matrix * (to_rgb @ turn @ to_yiq)
        # Black, which brightness leaves, is -1.
        offset = bright * (1 + (1 - contrast) * mean) - 1
        return torch.baddbmm(offset, matrix, images.flatten(2)).clamp_(-1, 1).view_as(images)


@cache
def color_maps(device: torch.device) -> tuple[Tensor, Tensor]:
    """RGB to YIQ and back, (3, 3), made once: a CUDA graph cannot hold their making."""
    to_yiq = torch.tensor(RGB_TO_YIQ, device=device)
    return to_yiq, to_yiq.inverse()


def gray(images: Tensor) -> Tensor:
    """(N, channels, height, width) to (N, 1, height, width): the luma of ITU-R BT.601."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def flip_and_crop(images: Tensor, flip: bool, crop: float) -> Tensor:
    """Images mirrored and moved by whole pixels; see `Augmentation`.

    Args:
        images: (N, channels, height, width) of any type.
        flip: whether every other image is mirrored.
        crop: limit of the movement, as a fraction of height and width.
    """
    count, channels, *sides = images.shape
    places = []
    for side in sides:
        place = torch.arange(side, device=images.device).expand(count, side)
        if limit := round(crop * side):
            place = place + torch.randint(-limit, limit + 1, (count, 1), device=images.device)
            place = side - 1 - (side - 1 - place.abs()).abs()
        places.append(place)
    rows, columns = places
    if flip:
        flipped = torch.randint(2, (count, 1), device=images.device) == 1
        columns = columns.where(~flipped, sides[1] - 1 - columns)
    images = images.gather(2, rows.view(count, 1, -1, 1).expand(-1, channels, -1, sides[1]))
    return images.gather(3, columns.view(count, 1, 1, -1).expand(-1, channels, sides[0], -1))


def cutout(images: Tensor, size: float) -> Tensor:
    """Images with a gray square each (DeVries and Taylor 2017), partly outside at the border.

    Args:
        images: (N, channels, height, width) in [-1, 1].
        size: of the square, as a fraction of height and width.
    """
    inside = []
    for side in images.shape[-2:]:
        center = side * torch.rand(len(images), 1, device=images.device)
        place = torch.arange(side, device=images.device) + 0.5
        inside.append((place - center).abs() < size * side / 2)
    rows, columns = inside
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


def rand_augment(images: Tensor, magnitude: float) -> Tensor:
    """One operation on each image, drawn from the 14 of RandAugment (Cubuk et al. 2020).

    Shears, translations and turns have a direction at random, and so have blends: brightness,
    color, contrast and sharpness are made more or less.

    Args:
        images: bytes (N, channels, height, width).
        magnitude: 0 to 1, as a fraction of torchvision's largest.
    """
    from torchvision.transforms.v2 import functional as kernels  # a second to import

    operation = torch.randint(MOVES + BLENDS + 5, (len(images),), device=images.device)
    direction = 2 * torch.randint(2, (len(images), 1), device=images.device) - 1
    amount = (
        magnitude * direction * (operation.unsqueeze(1) == torch.arange(9, device=images.device))
    )
    functions: list[tuple[int, int, Callable[[Tensor, Tensor], Tensor]]] = [
        (0, MOVES, lambda some, amounts: move(some, amounts[:, :MOVES])),
        (MOVES, MOVES + BLENDS, lambda some, amounts: blend(some, amounts[:, MOVES:])),
        (9, 10, lambda some, _: kernels.posterize(some, 8 - round(4 * magnitude))),
        (10, 11, lambda some, _: kernels.solarize(some, 255 * (1 - magnitude))),
        (11, 12, lambda some, _: kernels.autocontrast(some)),
        (12, 13, lambda some, _: kernels.equalize(some)),
    ]  # and the last one leaves the image as it is
    result = images.clone()
    for first, end, function in functions:
        chosen = ((operation >= first) & (operation < end)).nonzero().flatten()
        if len(chosen):
            result[chosen] = function(images[chosen], amount[chosen])
    return result


def move(images: Tensor, amounts: Tensor) -> Tensor:
    """Images sheared, translated or turned about their center.

    Args:
        images: bytes (N, channels, height, width).
        amounts: of shear along x and y, translation along x and y, and rotation, (N, 5), each as a
            fraction of the largest.
    """
    height, width = images.shape[-2:]
    shear_x, shear_y, shift_x, shift_y, turn = amounts.unbind(1)
    angle = MOST_ROTATION * turn
    # Output to input coordinates, both in [-1, 1] along each side; pixels are square.
    x = [angle.cos(), (MOST_SHEAR * shear_x - angle.sin()) * height / width]
    y = [(MOST_SHEAR * shear_y + angle.sin()) * width / height, angle.cos()]
    x.append(2 * MOST_TRANSLATION * shift_x)
    y.append(2 * MOST_TRANSLATION * shift_y)
    matrix = torch.stack([torch.stack(x, dim=1), torch.stack(y, dim=1)], dim=1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float() - GRAY, grid, align_corners=False)
    return (moved + GRAY).round().byte()


def blend(images: Tensor, amounts: Tensor) -> Tensor:
    """Images with more or less of what a degenerate image lacks.

    Args:
        images: bytes (N, channels, height, width).
        amounts: of brightness, color, contrast and sharpness, (N, 4), one of them not zero, each
            as a fraction of the largest.
    """
    from torchvision.transforms.v2 import functional as kernels

    floats = images.float()
    lumas = gray(floats)
    degenerates = [0.0, lumas, lumas.mean(dim=(1, 2, 3), keepdim=True)]
    degenerates.append(kernels.adjust_sharpness(images, 0).float())
    for amount, degenerate in zip(amounts.T, degenerates, strict=True):
        floats = floats + MOST_BLENDING * amount.view(-1, 1, 1, 1) * (floats - degenerate)
    return floats.clamp(0, 255).round().byte()


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
