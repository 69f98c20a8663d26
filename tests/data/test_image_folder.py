import os
import struct
import tracemalloc
import zlib

import pytest
import torch
from PIL import Image

from sgan_lab.data.image_folder import read_image
from sgan_lab.errors import DataError
from tests.builders import make_image_folder, read_folder


def test_image_folder_reads_classes_sizes_and_channels(tmp_path):
    root = make_image_folder(tmp_path)
    data = read_folder(root, (10, 12), channels=3)
    assert data.image_shape == (3, 10, 12)
    assert data.class_names == ("cat", "dog")
    assert data.labeled.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.labeled.images[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50, 60]
    assert data.labeled.images[0, :, 5, 5].tolist() == [10, 0, 255]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert data.unlabeled_images[:, 0, 0, 0].tolist() == pytest.approx([100, 101, 102, 103], abs=2)


def test_all_images_of_unequal_classes_may_be_labeled(tmp_path):
    root = make_image_folder(tmp_path)
    (root / "labeled" / "dog" / "2.png").unlink()
    data = read_folder(root)
    assert data.labeled.labels.tolist() == [0, 0, 0, 1, 1]


def test_image_folder_adds_spare_labeled_images_to_the_unlabeled(tmp_path):
    data = read_folder(make_image_folder(tmp_path), num_labeled=2)
    assert data.labeled.labels.tolist() == [0, 1]
    assert data.unlabeled_images.shape == (4 + 4, 1, 8, 8)


def test_image_folder_names_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match=r"absent/labeled is no folder"):
        read_folder(tmp_path / "absent")
    root = make_image_folder(tmp_path)
    (root / "unlabeled" / "2.jpg").write_bytes(b"\x89PNG no image")
    with pytest.raises(DataError, match=r"unlabeled/2.jpg is no readable image"):
        read_folder(root)
    whole = (root / "unlabeled" / "1.jpg").read_bytes()
    (root / "unlabeled" / "2.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"unlabeled/2.jpg is no readable image"):
        read_folder(root)
    (root / "unlabeled" / "2.jpg").unlink()
    (root / "test" / "emu").mkdir()
    with pytest.raises(DataError, match="unknown classes: emu; known are cat, dog"):
        read_folder(root)


def chunk(kind, content):
    """A chunk of a PNG file."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, *chunks):
    """A gray PNG file of black pixels that announces a size, with further chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(25)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (png(100_000, 100_000), "178956970 pixels"),
        (png(10_000, 10_000), "89478485 pixels"),  # Pillow would only warn
        (png(4, 4, chunk(b"zTXt", b"a\0\0" + BOMB)), "MAX_TEXT_CHUNK"),
        (png(4, 4, chunk(b"iCCP", b"a\0\0" + BOMB)), "MAX_TEXT_CHUNK"),
    ],
)
def test_an_image_that_would_fill_the_memory_is_named_with_the_limit(tmp_path, content, limit):
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=rf"bomb.png is no readable image: .*{limit}"):
        read_image(path, 4, 4, 1)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
def test_a_truncated_image_is_refused_or_whole(tmp_path, form):
    path = tmp_path / "image.png"
    Image.effect_noise((12, 9), 80).save(path, form)
    content, whole = path.read_bytes(), read_image(path, 9, 12, 1)
    refused = 0
    for length in range(len(content)):
        path.write_bytes(content[:length])
        try:
            assert torch.equal(read_image(path, 9, 12, 1), whole)
        except DataError:
            refused += 1
    assert refused >= len(content) - 20  # of PNG, checksums and the end mark may be missing


def test_a_file_of_another_format_is_not_opened_whatever_its_name(tmp_path):
    """Pillow would start Ghostscript for PostScript."""
    path = tmp_path / "script.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 7\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match=r"script.png is no readable image: cannot identify"):
        read_image(path, 9, 7, 1)


@pytest.mark.parametrize("part", ["labeled", "labeled/cat", "labeled/cat/0.png", "unlabeled/0.jpg"])
def test_a_link_out_of_the_folder_is_named(tmp_path, part):
    root = make_image_folder(tmp_path / "images")
    (root / part).rename(tmp_path / "outside")
    (root / part).symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=f"{root / part}.* leads out of {root}, to .*/outside"):
        read_folder(root)


def test_links_within_the_folder_are_read_and_circles_end(tmp_path):
    root = make_image_folder(tmp_path / "images")
    (root / "unlabeled" / "link.png").symlink_to(root / "labeled" / "cat" / "0.png")
    (root / "labeled" / "emu").symlink_to("cat")
    (root / "unlabeled" / "circle").symlink_to("..")
    (tmp_path / "link").symlink_to(root)
    data = read_folder(tmp_path / "link")
    assert data.class_names == ("cat", "dog", "emu")
    assert len(data.unlabeled_images) == 5
    (root / "unlabeled" / "self.png").symlink_to("self.png")
    with pytest.raises(DataError, match=r"self.png is no readable image"):
        read_folder(root)


def test_a_pipe_is_not_waited_for(tmp_path):
    root = make_image_folder(tmp_path)
    os.mkfifo(root / "unlabeled" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe.png is no readable image: it is no regular file"):
        read_folder(root)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", b"\xff".decode(errors="surrogateescape")])
def test_a_class_must_be_printable(tmp_path, name):
    root = make_image_folder(tmp_path)
    (root / "labeled" / "cat").rename(root / "labeled" / name)
    with pytest.raises(DataError, match="must have a name that can be printed") as caught:
        read_folder(root)
    assert str(caught.value).isprintable()
