"""Image files of a user's own as pixels."""

import math
import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import ExifTags, Image
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from sgan_lab.errors import DataError, reason

# No other format is opened, whatever the name of the file: Pillow runs Ghostscript for some.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")
CHUNK = 64  # files that a thread reads in one go
MOST_NAMED = 10  # of the files that a message names
MOST_INSPECTED = 1000  # of the files by which a shape is inferred
MOST_INFERRED = 64  # pixels of a side that is inferred
TURNS = {  # by EXIF orientation, as in PIL.ImageOps.exif_transpose, which fails on odd EXIF data
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_images(
    paths: Sequence[Path], image_size: Sequence[int], channels: int, background: str = "white"
) -> Tensor:
    """Image files as bytes (N, channels, *image_size), see `read_files`.

    Raises:
        DataError: files are no readable images; it names up to ten.
    """
    images, broken = read_files(paths, image_size, channels, background)
    if broken:
        raise DataError(f"{named(paths, broken)}.")
    return images


def read_files(
    paths: Sequence[Path],
    image_size: Sequence[int],
    channels: int,
    background: str = "white",
    shows_progress: bool = True,
) -> tuple[Tensor, dict[int, str]]:
    """Image files, read in as many threads as torch has.

    Of an animation the first picture is read. See `picture` for colors and orientation. A file of
    more pixels than Pillow's limit is not read.

    Args:
        paths: the files.
        image_size: (height, width) to which images are resized.
        channels: 1 for gray, 3 for color.
        background: the color behind transparent pixels, by a name or as #rrggbb.
        shows_progress: whether there is a bar on a terminal.

    Returns:
        Bytes (N, channels, *image_size), and what is wrong with each file that is no readable
        image, by its index; its pixels have no meaning.
    """
    images = torch.empty(len(paths), channels, *image_size, dtype=torch.uint8)
    pixels, broken = images.numpy(), {}

    def read(chunk: range) -> int:
        for index in chunk:
            try:
                with open_image(paths[index]) as file:
                    pixels[index] = pixels_of(file, image_size, channels, background)
            except Exception as error:  # each format's reader fails in its own way
                broken[index] = reason(error).rstrip(".")
        return len(chunk)

    chunks = [range(len(paths))[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    # rich.progress.track would leave a thread behind at an interrupt, and on Python 3.13 the
    # program would then wait for it for ever.
    console = Console(stderr=True)  # stdout is for the user's CSV
    shows = shows_progress and console.is_interactive  # elsewhere, Progress prints an empty line
    with (
        strict_pillow(),
        Progress(console=console, transient=True, disable=not shows) as progress,
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
    ):
        task = progress.add_task("Reading images", total=len(paths))
        try:
            for count in pool.map(read, chunks):
                progress.advance(task, count)
        except BaseException:  # a signal
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return images, dict(sorted(broken.items()))


def named(paths: Sequence[Path], broken: dict[int, str]) -> str:
    """The first ten of the files that are no readable images, each with what is wrong."""
    first, *others = [
        f"{paths[index]} is no readable image: {why}"
        for index, why in islice(broken.items(), MOST_NAMED)
    ]
    if not others:
        return first
    return f"{len(broken)} files cannot be read, such as: {'; '.join([first, *others])}"


@contextmanager
def strict_pillow() -> Iterator[None]:
    """No warnings of odd metadata; more pixels than Pillow's limit are an error.

    Around all threads, since Python's filters of warnings are those of the process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def open_image(path: Path) -> Image.Image:
    """Open an image file; its pixels are not read yet.

    Raises:
        OSError: it is no regular file, or of none of the `FORMATS`.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would block the program
        raise OSError("it is no regular file")
    return Image.open(path, formats=FORMATS)


def pixels_of(
    file: Image.Image, image_size: Sequence[int], channels: int, background: str
) -> np.ndarray:
    """The pixels of an opened file, resized if needed, (channels, *image_size); see `picture`."""
    height, width = image_size
    image = picture(file, "L" if channels == 1 else "RGB", background)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)


def infer_shape(paths: Sequence[Path], background: str = "white") -> tuple[int, int, int]:
    """A shape (channels, height, width) that suits image files, by up to a thousand of them.

    One channel if all are gray on their background, also those that are stored as color. The sides
    are the median ones, made smaller together so that none is above 64, and rounded to multiples of
    4. Files that cannot be read do not count.
    """
    sides, has_color = [], False
    step = math.ceil(len(paths) / MOST_INSPECTED) or 1
    with strict_pillow():
        for path in paths[::step]:
            with suppress(Exception), open_image(path) as file:  # reading names what is wrong
                turned = orientation(file) > 4
                sides.append(file.size if turned else file.size[::-1])
                has_color = has_color or is_colored(file, background)
    height, width = (median(each) for each in zip(*sides or [(28, 28)], strict=True))
    scale = min(1, MOST_INFERRED / max(height, width)) / 4
    height, width = (4 * max(1, math.floor(side * scale + 0.5)) for side in (height, width))
    return 3 if has_color else 1, height, width


def is_colored(file: Image.Image, background: str) -> bool:
    """Whether a pixel of an opened file has unequal red, green and blue."""
    is_gray = file.mode in ("1", "L", "F") and not file.has_transparency_data
    if is_gray or file.mode.startswith("I"):
        return False
    red, green, blue = picture(file, "RGB", background).split()
    return red.tobytes() != green.tobytes() or red.tobytes() != blue.tobytes()


def picture(file: Image.Image, mode: str, background: str) -> Image.Image:
    """The picture in a file as a viewer shows it, 8 bits a channel: "L" for gray, "RGB" for color.

    16 bits are scaled to 8, transparent pixels lie on a background, and a photo is turned upright
    as its EXIF data say.

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
        ground = Image.new("RGBA", file.size, background)
        image = Image.alpha_composite(ground, file.convert("RGBA"))
    turn = TURNS.get(orientation(file))
    image = image.convert(mode)
    return image if turn is None else image.transpose(turn)


def orientation(file: Image.Image) -> int:
    """The EXIF orientation of an opened file, 1 (upright) to 8."""
    try:
        found = file.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF data, which viewers ignore, too
        return 1
    return found if found in TURNS else 1
