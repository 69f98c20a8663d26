import numpy as np
import pytest
import torch
from PIL import Image

from sgan_lab.data.arrays import image_bytes
from sgan_lab.data.image_files import read_images

COLORS = np.arange(2 * 6 * 5 * 3, dtype=np.uint8).reshape(2, 6, 5, 3)
TENSOR = torch.from_numpy(COLORS).permute(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16, np.float64])
def test_bytes_and_fractions_are_the_same_images(dtype):
    values = COLORS if dtype is np.uint8 else (COLORS / 255).astype(dtype)
    assert torch.equal(image_bytes(values, (3, 6, 5)), TENSOR)
    tensor = torch.from_numpy(values).permute(0, 3, 1, 2)  # channels first, as in torch
    assert torch.equal(image_bytes(tensor, (3, 6, 5)), TENSOR)
    gray = image_bytes(values[..., 0], (1, 6, 5))
    assert torch.equal(gray, TENSOR[:, :1])


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 9, 7), (3, 6, 5)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_and_pictures_are_converted_as_their_files_are(tmp_path, shape, channels):
    generator = np.random.default_rng(0)
    values = generator.integers(256, size=(2, 6, 5, channels), dtype=np.uint8)
    pictures = [Image.fromarray(each.squeeze()) for each in values]
    paths = [tmp_path / f"{place}.png" for place in range(2)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    expected = read_images(paths, shape[1:], shape[0])
    for images in (values, pictures, paths, [str(path) for path in paths]):
        assert torch.equal(image_bytes(images, shape), expected)
    assert torch.equal(image_bytes(paths[1], shape), expected[1:])
    assert torch.equal(image_bytes(pictures[0], shape), expected[:1])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (COLORS.astype(np.int64), "pixels are int64: must be uint8 from 0 to 255, or floats"),
        (COLORS.astype(np.float32), r"pixels are floats from 0 to 179: must be in \[0, 1\]"),
        (-(COLORS / 255), "pixels are floats from -0.7"),
        (np.full((1, 4, 4), np.nan), "pixels are floats from nan to nan"),
        (COLORS[0, 0], r"shape \(5, 3\): must be \(N, height, width\)"),
        (TENSOR.permute(0, 2, 3, 1), "images have 6 channels: must be 1, 3 or 4"),
    ],
)
def test_what_is_no_image_is_named(images, message):
    with pytest.raises(ValueError, match=message):
        image_bytes(images, (1, 4, 4))


def test_there_may_be_no_images():
    assert image_bytes(COLORS[:0], (3, 6, 5)).shape == (0, 3, 6, 5)
    assert image_bytes([], (3, 6, 5)).shape == (0, 3, 6, 5)
