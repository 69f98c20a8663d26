"""Pixels of image files, each against Pillow or a formula."""

import struct
import tracemalloc
import zlib

import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from sgan_lab.data.image_files import FORMATS, infer_shape, read_files, read_images
from sgan_lab.errors import DataError


def pixels(image: Image.Image) -> Tensor:
    """The pixels of an image as Pillow has them, (channels, height, width)."""
    width, height = image.size
    found = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return found.view(height, width, -1).permute(2, 0, 1)


def noise(mode="RGB", size=(12, 9)):
    bands = [Image.effect_noise(size, 80) for _ in mode]
    return Image.merge(mode, bands) if len(bands) > 1 else bands[0]


def read_image(path, height, width, channels):
    """One file."""
    return read_images([path], (height, width), channels)[0]


def read(path, image, channels):
    """A file, at the size of an image."""
    return read_image(path, image.height, image.width, channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".bmp", {}),
        (".tif", {}),
        (".tiff", {"compression": "tiff_lzw"}),
        (".webp", {"lossless": True}),
        (".webp", {}),
        (".gif", {}),
        (".jpg", {}),
        (".jfif", {"format": "JPEG"}),
        (".jpeg", {"progressive": True}),
    ],
)
def test_each_format_is_read_as_pillow_reads_it(tmp_path, suffix, options, channels):
    path, image = tmp_path / f"image{suffix}", noise()
    image.save(path, **options)
    expected = Image.open(path).convert("L" if channels == 1 else "RGB")
    assert torch.equal(read(path, image, channels), pixels(expected))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_picture_of_several_is_read(tmp_path, form):
    path, pictures = tmp_path / "image", [Image.new("L", (9, 7), value) for value in (40, 200)]
    options = {"lossless": True} if form == "WEBP" else {}
    pictures[0].save(path, form, save_all=True, append_images=pictures[1:], **options)
    assert read_image(path, 7, 9, 1).unique().tolist() == [40]


def test_images_are_read_in_order_and_without_a_word_where_there_is_no_terminal(tmp_path, capfd):
    paths = [tmp_path / f"{value}.png" for value in (30, 10, 20)]
    for path in paths:
        Image.new("L", (4, 3), int(path.stem)).save(path)
    assert read_images(paths, (3, 4), 1)[:, 0, 0, 0].tolist() == [30, 10, 20]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, form, channels):
    values = torch.arange(2**16)
    little_endian = torch.stack([values % 256, values // 256], dim=1).byte().numpy().tobytes()
    path, image = tmp_path / "image", Image.frombytes("I;16", (256, 256), little_endian)
    image.save(path, form)
    expected = (values / 257).round().byte().view(1, 256, 256).expand(channels, -1, -1)
    assert torch.equal(read(path, image, channels), expected)
    assert torch.equal(read(path, image, 1).flatten()[::257], torch.arange(256).byte())


def test_sixteen_bits_may_be_big_endian(tmp_path):
    path = tmp_path / "image.tif"
    Image.frombytes("I;16B", (2, 1), bytes([1, 0, 255, 255])).save(path)
    assert read_image(path, 1, 2, 1).tolist() == [[[1, 255]]]


def tiff(width, height, samples, content):
    """A little-endian TIFF file of 16 bits a sample, not compressed."""
    bits = struct.pack(f"<{samples}H", *[16] * samples)
    start = 8 + len(bits)
    fields = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, samples, 8), (259, 3, 1, 1)]
    fields += [(262, 3, 1, 2), (273, 4, 1, start), (277, 3, 1, samples), (278, 3, 1, height)]
    fields += [(279, 4, 1, len(content))]
    head = b"II*\0" + struct.pack("<I", start + len(content))
    entries = b"".join(struct.pack("<HHII", *field) for field in fields)
    return head + bits + content + struct.pack("<H", len(fields)) + entries + bytes(4)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_of_color_are_scaled_to_eight(tmp_path, form):
    values = torch.arange(0, 2**16, 257 // 3)[:762].view(2, 127, 3)
    high, low = values // 256, values % 256
    if form == "PNG":
        rows = torch.stack([high, low], dim=-1).byte().flatten(1)
        lines = b"".join(b"\0" + row.numpy().tobytes() for row in rows)
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 127, 2, 16, 2, 0, 0, 0))
        content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines))
        content += chunk(b"IEND", b"")
    else:
        content = tiff(127, 2, 3, torch.stack([low, high], dim=-1).byte().numpy().tobytes())
    path = tmp_path / "image"
    path.write_bytes(content)
    difference = read_image(path, 2, 127, 3).permute(1, 2, 0).double() - values / 257
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF"])
def test_pixels_of_a_palette_have_its_colors(tmp_path, form):
    colors, path = [(10, 20, 30), (200, 0, 7), (0, 0, 0), (255, 255, 255)], tmp_path / "image"
    image = Image.new("P", (4, 2))
    image.putpalette([value for color in colors for value in color])
    image.putdata([0, 1, 2, 3, 3, 2, 1, 0])
    image.save(path, form)
    expected = torch.tensor([colors, colors[::-1]], dtype=torch.uint8).permute(2, 0, 1)
    assert torch.equal(read_image(path, 2, 4, 3), expected)


@pytest.mark.parametrize(("form", "allowed"), [("TIFF", 1), ("JPEG", 4)])
def test_printing_inks_become_colors(tmp_path, form, allowed):
    path, image = tmp_path / "image", Image.new("CMYK", (16, 16), (0, 128, 255, 51))
    image.save(path, form, **{"quality": 100} if form == "JPEG" else {})
    expected = torch.tensor([204, 204 * 127 / 255, 0]).view(3, 1, 1)  # (255 - ink)(255 - black)
    assert (read_image(path, 16, 16, 3) - expected).abs().max() <= allowed


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bits_are_refused(tmp_path, mode):
    path = tmp_path / "image.tif"
    Image.new(mode, (4, 3), 1).save(path)
    with pytest.raises(DataError, match=r"image.tif is no readable image: its pixels have 32 bits"):
        read_image(path, 3, 4, 1)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_lie_on_white(tmp_path, mode, form):
    path, image = tmp_path / "image", noise(mode)
    image.save(path, form, **{"lossless": True, "exact": True} if form == "WEBP" else {})
    *colors, alpha = pixels(image).double()
    alpha = alpha / 255
    expected = torch.stack([alpha * color + (1 - alpha) * 255 for color in colors])
    difference = read(path, image, 3) - expected.expand(3, -1, -1)
    assert difference.abs().max() <= 1
    gray = Image.open(path).convert("RGBA")
    gray = Image.alpha_composite(Image.new("RGBA", image.size, "white"), gray).convert("L")
    assert torch.equal(read(path, image, 1), pixels(gray))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
@pytest.mark.parametrize("background", ["#1f77b4", "black", "yellow"])
def test_transparent_pixels_lie_on_the_background(tmp_path, mode, background):
    path, image = tmp_path / "image.png", noise("LA" if mode == "LA" else "RGBA")
    if mode == "PA":
        image = image.quantize(16)  # a palette with transparency
    image.save(path)
    shown = Image.new("RGB", image.size, background)
    shown.paste(Image.open(path).convert("RGBA"), mask=Image.open(path).convert("RGBA"))
    found = read_images([path], image.size[::-1], 3, background)[0]
    assert (found.int() - pixels(shown).int()).abs().max() <= 1
    channels, *_ = infer_shape([path], background)
    assert channels == (1 if (mode, background) == ("LA", "black") else 3)


@pytest.mark.parametrize(
    ("form", "mode", "key"),
    [("PNG", "L", 40), ("PNG", "RGB", (40,) * 3), ("PNG", "P", 40), ("GIF", "P", 40)],
)
def test_a_color_may_stand_for_transparent_pixels(tmp_path, form, mode, key):
    image = Image.new("L", (4, 2), 40)
    image.paste(90, (0, 0, 2, 2))
    if mode == "P":  # the palette is gray
        image.putpalette([level for level in range(256) for _ in range(3)])
    path = tmp_path / "image"
    image.convert(mode).save(path, form, transparency=key)
    assert read_image(path, 2, 4, 1).tolist() == [[[90, 90, 255, 255]] * 2]


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_photos_are_turned_upright(tmp_path, form, turned):
    path, exif = tmp_path / "photo", Image.Exif()
    exif[0x0112] = turned
    noise().save(path, form, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(path))
    assert expected.size == ((9, 12) if turned > 4 else (12, 9))
    assert torch.equal(read(path, expected, 3), pixels(expected))


def test_damaged_exif_data_and_odd_metadata_are_passed_over_in_silence(tmp_path, recwarn):
    path, image = tmp_path / "photo", noise()
    image.save(path, "JPEG")
    expected = read(path, image, 3)
    for exif in (b"garbage", b"II*\0\x08\0\0\0\xff\xff\x12\x01", b"MM\0*\0\0\0\x08\0\1\1\x12"):
        image.save(path, "JPEG", exif=b"Exif\0\0" + exif)
        assert torch.equal(read(path, image, 3), expected)
    assert len(recwarn) == 0


def chunk(kind, content):
    """A chunk of a PNG file."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, *chunks):
    """A gray PNG file of black pixels that announces a size, with further chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(25)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def gif(screen, frame):
    """A GIF file that announces the sides of its screen and of its only frame."""
    descriptor = b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0x80) + bytes(6)
    return b"GIF89a" + struct.pack("<HHBBB", screen, screen, 0, 0, 0) + descriptor + b"\2\0;"


BOMB = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (png(100_000, 100_000), "178956970 pixels"),
        (png(10_000, 10_000), "89478485 pixels"),  # Pillow would only warn
        (gif(screen=60_000, frame=4), "178956970 pixels"),
        (gif(screen=4, frame=60_000), "178956970 pixels"),
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


@pytest.mark.parametrize("form", FORMATS)
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


def test_all_files_that_are_broken_are_found_and_ten_are_named(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(200)]
    for index, path in enumerate(paths):
        Image.new("L", (4, 3), index).save(path)
    for index in range(3, 200, 10):
        paths[index].write_bytes(b"no image")
    torch.set_num_threads(3)
    try:
        images, broken = read_files(paths, (3, 4), 1)
    finally:
        torch.set_num_threads(1)
    assert list(broken) == list(range(3, 200, 10))
    whole = [index for index in range(200) if index not in broken]
    assert images[whole, 0, 0, 0].tolist() == whole
    with pytest.raises(
        DataError, match=r"^20 files cannot be read, such as: .*/3.png is no"
    ) as caught:
        read_images(paths, (3, 4), 1)
    assert str(caught.value).count("is no readable image: cannot identify image file") == 10


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(32, 32)], (32, 32)),
        ([(640, 480), (4000, 3000), (800, 600)], (48, 64)),
        ([(30, 45), (31, 45), (5, 5)], (44, 32)),
        ([(2, 400)], (64, 4)),
        ([], (28, 28)),
    ],
)
def test_the_size_is_the_median_one_at_most_64_in_multiples_of_four(tmp_path, sizes, expected):
    paths = [tmp_path / f"{index}.png" for index in range(len(sizes) + 1)]
    for path, size in zip(paths, sizes, strict=False):
        Image.new("L", size).save(path)
    paths[-1].write_bytes(b"no image")
    assert infer_shape(paths) == (1, *expected)


def test_a_turned_photo_counts_with_its_sides_as_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise("L", (64, 32)).save(tmp_path / "photo.jpg", exif=exif)
    assert infer_shape([tmp_path / "photo.jpg"]) == (1, 64, 32)


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (Image.new("RGB", (8, 8), (9, 9, 9)), 1),
        (Image.new("RGB", (8, 8), (9, 9, 10)), 3),
        (Image.new("RGBA", (8, 8), (0, 99, 0, 0)), 1),  # nothing of it is seen
        (Image.new("I;16", (8, 8), 999), 1),
        (Image.new("P", (8, 8), 3), 1),
    ],
)
def test_one_picture_with_color_makes_all_colored(tmp_path, image, channels):
    noise("L").save(tmp_path / "gray.png")
    image.save(tmp_path / "image.png")
    assert infer_shape([tmp_path / "gray.png", tmp_path / "image.png"])[0] == channels
