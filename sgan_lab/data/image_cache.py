"""The pixels of large folders of pictures, kept from one run to the next.

Each folder is one file below `$SGAN_LAB_CACHE`, by default `~/.cache/sgan_lab`. Its name is made of
what decides on its content: the names, sizes and times of change of the pictures, and how they are
read. Any of these files may be deleted at any time.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import __version__ as pillow_version
from torch import Tensor

from sgan_lab.data.image_files import read_files
from sgan_lab.errors import reason

log = logging.getLogger(__name__)

FORM = 1  # to be counted up where the same files give other pixels
FEWEST_CACHED = 1000  # fewer pictures are read in a moment


def read_or_recall(
    paths: Sequence[Path],
    root: Path,
    image_size: Sequence[int],
    channels: int,
    background: str = "white",
) -> tuple[Tensor, dict[int, str]]:
    """Image files below `root` as `read_files` reads them, from the cache where it has them."""
    shape = (len(paths), channels, *image_size)
    is_small = len(paths) < FEWEST_CACHED
    if is_small or (file := cache_file(paths, root, shape, background)) is None:
        return read_files(paths, image_size, channels, background)
    if file.exists():
        try:
            # A zip file: checksums of all bytes are compared. No pickle: no code is run.
            with np.load(file, allow_pickle=False) as stored:
                images = torch.from_numpy(stored["images"])
                places, reasons = stored["broken"].tolist(), stored["reasons"].tolist()
                broken = dict(zip(places, reasons, strict=True))
            if (images.shape, images.dtype) == (shape, torch.uint8):
                log.info("%d images of %s are read from %s", len(paths), root, file)
                return images, broken
        except Exception as error:  # a damaged file fails in many ways
            log.warning("%s is damaged and made again: %s", file, reason(error))
    images, broken = read_files(paths, image_size, channels, background)
    store(file, images, broken)
    return images, broken


def cache_file(
    paths: Sequence[Path], root: Path, shape: Sequence[int], background: str
) -> Path | None:
    """Where the pixels of image files are kept; None where a file is gone.

    The name begins with what stays when pictures are added or changed.
    """
    folder = os.environ.get("SGAN_LAB_CACHE")
    if not folder:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "sgan_lab")
    kind = hashlib.sha256(json.dumps([str(root.resolve()), shape[1:]]).encode())
    content = hashlib.sha256(json.dumps([FORM, pillow_version, background]).encode())
    try:
        for path in paths:
            found = path.stat()
            name = os.fsencode(path.relative_to(root))
            content.update(b"%s\0%d %d\0" % (name, found.st_size, found.st_mtime_ns))
    except OSError:
        return None
    return Path(folder).expanduser() / f"{kind.hexdigest()[:16]}-{content.hexdigest()[:32]}.npz"


def store(file: Path, images: Tensor, broken: dict[int, str]) -> None:
    """Write a file of the cache, whole or not at all, and delete those that it replaces."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
            part = Path(scratch, file.name)
            np.savez(
                part,
                images=images.numpy(),
                broken=np.array(list(broken), dtype=np.int64),
                reasons=np.array(list(broken.values()), dtype=np.str_),
            )
            part.replace(file)
        for other in file.parent.glob(f"{file.name.split('-')[0]}-*.npz"):
            if other != file:
                other.unlink(missing_ok=True)
    except OSError as error:
        log.warning("The pixels of the pictures cannot be kept in %s: %s", file.parent, error)
