import colorsys
import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as kernels

from sgan_lab.data import augmentation
from sgan_lab.data.augmentation import (
    Augmentation,
    cutout,
    flip_and_crop,
    rand_augment,
    random_affine,
)


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


def test_nothing_changes_and_nothing_is_drawn_without_a_change():
    images, state = torch.randint(256, (3, 3, 5, 4), dtype=torch.uint8), torch.get_rng_state()
    none = Augmentation()
    assert torch.equal(none.of_bytes(images), images)
    assert torch.equal(none.of_floats(images / 255), images / 255)
    assert torch.equal(torch.get_rng_state(), state)


def test_images_are_mirrored_and_moved_each_by_draws_of_its_own():
    torch.manual_seed(0)
    image = torch.randint(256, (2, 8, 12), dtype=torch.uint8)
    padded = F.pad(image[None].float(), (3, 3, 2, 2), mode="reflect")[0].byte()
    crops = [padded[:, y : y + 8, x : x + 12] for y in range(5) for x in range(7)]
    expected = {each.numpy().tobytes() for crop in crops for each in (crop, crop.flip(2))}
    changed = flip_and_crop(image.expand(2000, -1, -1, -1), flip=True, crop=0.25)
    assert {each.contiguous().numpy().tobytes() for each in changed} == expected
    moved = flip_and_crop(image.expand(500, -1, -1, -1), flip=False, crop=0.25)
    assert {each.contiguous().numpy().tobytes() for each in moved} == {
        crop.contiguous().numpy().tobytes() for crop in crops
    }
    mirrored = (flip_and_crop(image.expand(500, -1, -1, -1), True, 0) == image.flip(2)).all(
        (1, 2, 3)
    )
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.11)  # five standard deviations


@pytest.fixture
def at_the_limit(monkeypatch):
    """Every draw from a uniform distribution is its upper limit."""
    monkeypatch.setattr(torch, "rand", torch.ones)


def jittered(images, **strengths):
    """Images in [0, 1] with changed colors, in [0, 1]."""
    return (Augmentation(**strengths).of_floats(images * 2 - 1) + 1) / 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.usefixtures("at_the_limit")
def test_brightness_contrast_and_saturation_are_torchvisions(channels):
    images = torch.rand(4, channels, 6, 5)
    images = 0.3 + 0.4 * torch.arange(images.numel()).view(images.shape).sin().abs()
    close = {"rtol": 0, "atol": 2e-3}  # the weights of red, green and blue have four digits
    for name, change in (
        ("brightness", kernels.adjust_brightness),
        ("contrast", kernels.adjust_contrast),
        ("saturation", kernels.adjust_saturation),
    ):
        expected = change(images, 1.3)
        torch.testing.assert_close(jittered(images, **{name: 0.3}), expected, **close)
    both = kernels.adjust_contrast(images, 1.2) * 1.3
    torch.testing.assert_close(jittered(images, brightness=0.3, contrast=0.2), both, **close)
    assert jittered(images, brightness=1).max() == 1


@pytest.mark.usefixtures("at_the_limit")
def test_hue_turns_colors_about_gray():
    colors = [(0.5, 0.4, 0.3), (0.2, 0.6, 0.5), (0.4, 0.4, 0.4)]
    images = torch.tensor(colors).view(3, 3, 1, 1)
    turned = jittered(images, hue=0.25).flatten(1).tolist()
    for color, found in zip(colors, turned, strict=True):
        y, i, q = colorsys.rgb_to_yiq(*color)
        assert found == pytest.approx(colorsys.yiq_to_rgb(y, -q, i), abs=0.02)
    torch.testing.assert_close(jittered(images[:, :1], hue=0.25), images[:, :1])


def test_draws_of_colors_differ_by_image_and_stay_in_the_limits():
    torch.manual_seed(0)
    images = torch.full((1000, 3, 2, 2), 0.5)
    factors = jittered(images, brightness=0.4)[:, 0, 0, 0] / 0.5
    assert factors.min() == pytest.approx(0.6, abs=0.01)
    assert factors.max() == pytest.approx(1.4, abs=0.01)
    assert factors.mean() == pytest.approx(1, abs=0.04)


def test_a_square_is_cut_out_with_its_center_anywhere():
    torch.manual_seed(0)
    images = torch.ones(4000, 3, 8, 12)
    cut = cutout(images, 0.5)
    gray = (cut == 0).all(dim=1)
    assert torch.equal(cut, torch.where(gray.unsqueeze(1), 0.0, images))
    heights, widths = gray.any(2).sum(1), gray.any(1).sum(1)
    assert torch.equal(gray.sum((1, 2)), heights * widths)  # rectangles
    assert (heights.max(), widths.max()) == (4, 6)
    inner = gray[:, 2:6, 3:9].float().mean(dim=0)  # half of the centers are near enough, each way
    assert (inner - 0.25).abs().max() < 0.04
    corner = 2.5 / 8 * 3.5 / 12  # centers less than half a side from the first pixel's
    assert gray[:, 0, 0].float().mean() == pytest.approx(corner, abs=0.02)


def only_operation(monkeypatch, number, direction):
    monkeypatch.setattr(
        torch,
        "randint",
        lambda high, size, **_: torch.full(size, number if high == 14 else (direction + 1) // 2),
    )


def moved_by_torchvision(images, angle=0.0, translate=(0, 0), shear=(0.0, 0.0)):
    return kernels.affine(
        images,
        angle,
        list(translate),
        1.0,
        list(shear),
        interpolation=InterpolationMode.BILINEAR,
        fill=128,
    )


SHEAR = math.degrees(math.atan(0.3 / 2))
OPERATIONS = [
    lambda x, sign: moved_by_torchvision(x, shear=(sign * SHEAR, 0.0)),
    lambda x, sign: moved_by_torchvision(x, shear=(0.0, sign * SHEAR)),
    lambda x, sign: moved_by_torchvision(x, translate=(sign * 150 / 331 / 2 * 32, 0)),
    lambda x, sign: moved_by_torchvision(x, translate=(0, sign * 150 / 331 / 2 * 24)),
    lambda x, sign: moved_by_torchvision(x, angle=sign * 15.0),
    lambda x, sign: kernels.adjust_brightness(x, 1 + sign * 0.45),
    lambda x, sign: kernels.adjust_saturation(x, 1 + sign * 0.45),
    lambda x, sign: kernels.adjust_contrast(x, 1 + sign * 0.45),
    lambda x, sign: kernels.adjust_sharpness(x, 1 + sign * 0.45),
    lambda x, _: kernels.posterize(x, 6),
    lambda x, _: kernels.solarize(x, 127.5),
    lambda x, _: kernels.autocontrast(x),
    lambda x, _: kernels.equalize(x),
    lambda x, _: x,
]


@pytest.mark.parametrize("number", range(14))
@pytest.mark.parametrize("channels", [1, 3])
def test_operations_of_rand_augment_are_torchvisions(monkeypatch, number, channels):
    images = torch.full((3, channels, 24, 32), 128, dtype=torch.uint8)
    images[..., 8:16, 10:20] = torch.randint(256, (3, channels, 8, 10), dtype=torch.uint8)
    found = []
    for direction in (-1, 1):
        only_operation(monkeypatch, number, direction)
        found.append(rand_augment(images, 0.5))
    monkeypatch.undo()
    expected = [OPERATIONS[number](images, sign) for sign in (-1, 1)]
    # torchvision fills pixels of the border in another way, not as if gray went on beyond it.
    white = torch.full_like(images, 255)
    inner = [number > 4 or OPERATIONS[number](white, sign) == 255 for sign in (-1, 1)]
    if number < 5:  # output to input or the reverse
        found.sort(key=lambda each: (each.int() - expected[0].int()).abs().sum())
    for ours, theirs, where in zip(found, expected, inner, strict=True):
        difference = (ours.int() - theirs.int()).abs() * where
        assert difference.max() <= 1  # theirs is rounded down


def test_rand_augment_draws_an_operation_for_each_image():
    torch.manual_seed(0)
    image = torch.randint(40, 200, (3, 24, 32), dtype=torch.uint8)
    changed = rand_augment(image.expand(1400, -1, -1, -1), 0.5)
    counts = {}
    for each in changed:
        key = each.numpy().tobytes()
        counts[key] = counts.get(key, 0) + 1
    # The nine with a direction 50 times each way, the other five 100 times; of these, what leaves
    # the image as it is; five standard deviations are 34 and 48.
    assert len(counts) == 23
    assert all(min(abs(count - 50) - 34, abs(count - 100) - 48) < 0 for count in counts.values())


def test_equal_seeds_give_equal_images_and_all_changes_work_together():
    every = Augmentation(1, True, 0.125, 0.2, 0.2, 0.2, 0.1, 2, 9, 0.5)
    for shape in ((8, 3, 16, 12), (8, 1, 9, 9)):
        images = torch.randint(256, shape, dtype=torch.uint8)
        results = []
        for _ in range(2):
            torch.manual_seed(3)
            results.append(every.of_floats(every.of_bytes(images) / 127.5 - 1))
        assert torch.equal(*results)
        assert results[0].shape == shape
        assert results[0].abs().max() <= 1
