import math

import pytest
import torch

from sgan_lab.data import augmentation
from sgan_lab.data.augmentation import random_affine


def blob(height, width, y, x):
    """An image of a Gaussian spot at (y, x), in pixels from the top left corner's center."""
    rows = torch.arange(height).view(-1, 1)
    columns = torch.arange(width).view(1, -1)
    return 2 * torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8) - 1


def center_of_mass(image):
    weight = (image + 1).double()
    height, width = weight.shape
    y = (weight.sum(1) * torch.arange(height)).sum() / weight.sum()
    x = (weight.sum(0) * torch.arange(width)).sum() / weight.sum()
    return y.item(), x.item()


def only(monkeypatch, name, value):
    for each in ("SHIFT", "ROTATION", "SCALING", "SHEAR"):
        monkeypatch.setattr(augmentation, each, value if each == name else 0.0)
    monkeypatch.setattr(torch, "rand", torch.ones)  # every draw at its upper limit


def moved(monkeypatch, name, value, spot, size=(40, 60), strength=1.0):
    only(monkeypatch, name, value)
    image = blob(*size, *spot)
    return center_of_mass(random_affine(image[None, None], strength)[0, 0])


def test_shift_moves_by_a_fraction_of_height_and_width(monkeypatch):
    y, x = moved(monkeypatch, "SHIFT", 0.1, spot=(20, 30))
    assert (y, x) == (pytest.approx(16, abs=0.02), pytest.approx(24, abs=0.02))


def test_rotation_keeps_lengths_whatever_the_shape(monkeypatch):
    y, x = moved(monkeypatch, "ROTATION", math.radians(30), spot=(19.5, 41.5))
    dy, dx = y - 19.5, x - 29.5
    assert math.hypot(dy, dx) == pytest.approx(12, abs=0.05)
    assert abs(math.degrees(math.atan2(dy, dx))) == pytest.approx(30, abs=0.3)


def test_scaling_is_about_the_center(monkeypatch):
    y, x = moved(monkeypatch, "SCALING", 0.25, spot=(9.5, 39.5))
    assert y - 19.5 == pytest.approx(-8, abs=0.05)  # the output looks 1.25 times as far
    assert x - 29.5 == pytest.approx(8, abs=0.05)


def test_shear_shifts_rows_by_their_height(monkeypatch):
    y, x = moved(monkeypatch, "SHEAR", 0.5, spot=(9.5, 29.5))
    assert y == pytest.approx(9.5, abs=0.05)
    assert x - 29.5 == pytest.approx(5, abs=0.05)


def test_strength_multiplies_the_limits(monkeypatch):
    y, x = moved(monkeypatch, "SHIFT", 0.1, spot=(20, 30), strength=0.5)
    assert (y, x) == (pytest.approx(18, abs=0.02), pytest.approx(27, abs=0.02))


def test_each_image_is_mapped_by_draws_of_its_own_within_the_range():
    torch.manual_seed(0)
    images = blob(28, 28, 10, 14).expand(50, 3, -1, -1)
    mapped = random_affine(images, 1.0)
    assert mapped.shape == images.shape
    assert mapped.min() >= -1
    assert mapped.max() <= 1
    assert len({tuple(image.flatten().tolist()) for image in mapped}) == 50
    assert torch.equal(mapped[:, 0], mapped[:, 2])  # the channels of an image alike
