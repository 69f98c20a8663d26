"""Image files of a user's own as pixels."""

import stat
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import ExifTags, Image
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from sgan_lab.errors import DataError

# No other format is opened, whatever the name of the file: Pillow runs Ghostscript for some.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")
BACKGROUND = "white"  # behind transparent pixels
TURNS = {  # by EXIF orientation, as in PIL.ImageOps.exif_transpose, which fails on odd EXIF data
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_images(paths: Sequence[Path], image_size: Sequence[int], channels: int) -> Tensor:
    """Image files as bytes (N, channels, *image_size).

    Raises:
        DataError: a file is no readable image.
    """
    height, width = image_size
    images = torch.empty(len(paths), channels, height, width, dtype=torch.uint8)
    # rich.progress.track would leave a thread behind where an image is damaged, and on Python 3.13
    # the program would then wait for it for ever.
    console = Console(stderr=True)  # stdout is for the user's CSV
    shows = console.is_interactive  # elsewhere, Progress would print an empty line
    with Progress(console=console, transient=True, disable=not shows) as progress:
        task = progress.add_task("Reading images", total=len(paths))
        for index, path in enumerate(paths):
            images[index] = read_image(path, height, width, channels)
            progress.advance(task)
    return images


def read_image(path: Path, height: int, width: int, channels: int) -> Tensor:
    """An image file as bytes (channels, height, width).

    Of an animation the first picture is read. See `picture` for colors and orientation.

    Raises:
        DataError: the file is no readable image, or has more pixels than Pillow's limit.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would block the program
            raise OSError("it is no regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                return pixels(file, height, width, channels)
    except Exception as error:  # each format's reader fails in its own way
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path} is no readable image: {reason}.") from error


def pixels(file: Image.Image, height: int, width: int, channels: int) -> Tensor:
    """An opened image, resized where its size is another, as bytes (channels, height, width).

    Raises:
        OSError: see `picture`.
    """
    image = picture(file, "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(height, width, channels).permute(2, 0, 1)


def picture(file: Image.Image, mode: str) -> Image.Image:
    """The picture in a file as a viewer shows it, 8 bits a channel.

    16 bits are scaled to 8, transparent pixels lie on white, and a photo is turned upright as its
    EXIF data say.

    Args:
        file: an opened file.
        mode: "L" for gray, "RGB" for color.

    Raises:
        OSError: the file is damaged, or its pixels have no known range.
    """
    file.load()  # EXIF data may follow the pixels
    image = file
    # Older releases of Pillow open 16-bit PNG as "I".
    if file.mode.startswith("I;16") or (file.mode == "I" and file.format == "PNG"):
        image = file.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    elif file.mode in ("I", "F"):
        raise OSError("its pixels have 32 bits; save it with 8 or 16 bits a channel")
    elif file.has_transparency_data:
        ground = Image.new("RGBA", file.size, BACKGROUND)
        image = Image.alpha_composite(ground, file.convert("RGBA"))
    try:
        turn = TURNS.get(file.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # damaged EXIF data, which viewers ignore, too
        turn = None
    image = image.convert(mode)
    return image if turn is None else image.transpose(turn)
