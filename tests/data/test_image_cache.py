import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from sgan_lab.data import image_cache
from sgan_lab.data.image_cache import read_or_recall


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Five pictures, one of them broken, of a folder that is large enough for the cache."""
    monkeypatch.setenv("SGAN_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(image_cache, "FEWEST_CACHED", 5)
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        Image.new("L", (4, 4), 10 * index).save(path)
    paths[3].write_bytes(b"no image")
    return paths


@pytest.fixture
def readings(monkeypatch):
    """What was asked of the reader of files."""
    asked, read_files = [], image_cache.read_files

    def read(paths, *arguments):
        asked.append(arguments)
        return read_files(paths, *arguments)

    monkeypatch.setattr(image_cache, "read_files", read)
    return asked


def read(paths, image_size=(4, 4), channels=1):
    images, broken = read_or_recall(paths, paths[0].parent, image_size, channels)
    return images[[0, 1, 2, 4], 0, 0, 0].tolist(), broken


def test_pictures_are_read_once_and_then_recalled_with_what_is_broken(pictures, readings, tmp_path):
    first = read(pictures)
    assert first[0] == [0, 10, 20, 40]
    assert list(first[1]) == [3]
    assert read(pictures) == first
    assert len(readings) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1
    read_or_recall(pictures[:4], pictures[0].parent, (4, 4), 1)  # too few
    assert len(readings) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_changed_picture_is_read_again_and_replaces_the_old_file(pictures, readings, tmp_path):
    read(pictures)
    (before,) = (tmp_path / "cache").iterdir()
    Image.new("L", (4, 4), 77).save(pictures[1])
    assert read(pictures)[0] == [0, 77, 20, 40]
    (after,) = (tmp_path / "cache").iterdir()
    assert before != after
    read(pictures, (8, 4))
    read(pictures, (4, 4), 3)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    read_or_recall(pictures, pictures[0].parent, (4, 4), 3, "red")  # replaces that on white
    assert len(list((tmp_path / "cache").iterdir())) == 3
    assert len(readings) == 5


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("damage", ["a byte", "the end"])
def test_a_damaged_file_is_made_again(pictures, readings, tmp_path, caplog, place, damage):
    first = read(pictures)
    (file,) = (tmp_path / "cache").iterdir()
    content = bytearray(file.read_bytes())
    index = int(place * len(content))
    if damage == "a byte":
        content[index] ^= 0xFF
    else:
        del content[index:]
    file.write_bytes(content)
    assert read(pictures) == first
    assert read(pictures) == first
    assert len(readings) <= 2  # a byte may be one that means nothing
    assert (len(readings) == 2) == any("is damaged" in text for text in caplog.messages)


def test_a_file_of_other_pixels_is_not_taken(pictures, readings, tmp_path):
    first = read(pictures)
    (file,) = (tmp_path / "cache").iterdir()
    image_cache.store(file, torch.zeros(5, 1, 4, 3, dtype=torch.uint8), {})
    assert read(pictures) == first
    assert len(readings) == 2


def test_a_pickle_is_never_loaded(pictures, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",))

    first = read(pictures)
    (file,) = (tmp_path / "cache").iterdir()
    np.savez(file, images=np.array([Bomb()], dtype=object), broken=[], reasons=[])
    assert read(pictures) == first
    assert not (tmp_path / "executed").exists()


def test_an_interrupted_writing_leaves_nothing(pictures, readings, tmp_path, monkeypatch):
    def interrupt(path, **_):
        path.write_bytes(b"a part")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_cache.np, "savez", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read(pictures)
    assert list((tmp_path / "cache").iterdir()) == []
    assert read(pictures)[0] == [0, 10, 20, 40]
    assert len(readings) == 2


def test_jobs_that_start_together_each_have_the_pictures(pictures, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read(pictures), range(8)))
    assert all(each == found[0] for each in found)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_no_error(pictures, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file")
    caplog.set_level(logging.WARNING)
    assert read(pictures)[0] == [0, 10, 20, 40]
    assert "cannot be kept in" in caplog.text
