"""Images in memory or in files, of any size, as the bytes that a classifier takes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgan_lab.data.image_files import pixels_of, read_images

File: TypeAlias = str | os.PathLike
Images: TypeAlias = (
    np.ndarray | Tensor | Image.Image | File | Sequence[Image.Image] | Sequence[File]
)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Pixels as bytes 0 to 255: bytes as they are, floats in [0, 1] times 255 and rounded.

    Raises:
        ValueError: they are something else.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        allowed = "must be uint8 from 0 to 255, or floats in [0, 1]"
        raise ValueError(f"pixels are {values.dtype}: {allowed}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):  # also where one is NaN
        found = f"{values.min():.6g} to {values.max():.6g}"
        raise ValueError(f"pixels are floats from {found}: must be in [0, 1]")
    return np.rint(255 * values).astype(np.uint8)


def array_images(values: np.ndarray) -> Tensor:
    """An array (N, height, width) or (N, height, width, channels) as (N, channels, height, width).

    Raises:
        ValueError: it has another shape, or see `to_bytes`.
    """
    if values.ndim not in (3, 4):
        allowed = "must be (N, height, width) or (N, height, width, channels)"
        raise ValueError(f"images have the shape {values.shape}: {allowed}")
    channels_last = to_bytes(values if values.ndim == 4 else values[..., np.newaxis])
    return torch.from_numpy(np.ascontiguousarray(channels_last)).permute(0, 3, 1, 2)


def image_bytes(
    images: Images, image_shape: tuple[int, int, int], background: str = "white"
) -> Tensor:
    """Images as bytes (N, *image_shape), resized and converted as image files are.

    Args:
        images: an array (N, height, width) or (N, height, width, channels); a tensor (N, height,
            width) or (N, channels, height, width); a picture or the path of one; or a sequence of
            pictures or of paths. Arrays and tensors hold bytes, or floats in [0, 1], of 1, 3, or
            with transparency 4 channels.
        image_shape: (channels, height, width).
        background: the color behind transparent pixels.

    Raises:
        ValueError: an array or a tensor has another shape or other values.
        DataError: a file is no readable image.
    """
    channels, *size = image_shape
    if isinstance(images, Tensor):
        images = images.detach().cpu()
        images = (images.permute(0, 2, 3, 1) if images.ndim == 4 else images).numpy()
    if isinstance(images, np.ndarray):
        found = array_images(images)
        if found.shape[1:] == image_shape:
            return found
        images = [to_picture(each) for each in found]
    elif isinstance(images, File):
        return read_images([Path(images)], size, channels, background)
    elif isinstance(images, Image.Image):
        images = [images]
    elif len(images) and isinstance(images[0], File):
        return read_images([Path(each) for each in images], size, channels, background)
    result = np.empty((len(images), *image_shape), dtype=np.uint8)
    for place, picture in enumerate(images):
        result[place] = pixels_of(picture, size, channels, background)
    return torch.from_numpy(result)


def to_picture(image: Tensor) -> Image.Image:
    """Bytes (1, 3 or 4 channels, height, width) as a picture; else a ValueError."""
    if len(image) not in (1, 3, 4):
        raise ValueError(f"images have {len(image)} channels: must be 1, 3 or 4")
    values = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(values.squeeze(2) if len(image) == 1 else values)
