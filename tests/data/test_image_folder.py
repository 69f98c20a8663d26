import os
import shutil
import unicodedata

import pytest
import torch
from PIL import Image

from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.errors import ConfigError, DataError
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


def rename(root, part, name, new):
    (root / part / name).rename(root / part / new)


def test_hidden_files_and_folders_are_neither_classes_nor_images(tmp_path, caplog):
    root = make_image_folder(tmp_path)
    before = read_folder(root)
    for folder in (".ipynb_checkpoints", "labeled/.ipynb_checkpoints", "labeled/cat/.cache"):
        (root / folder).mkdir()
    for folder in ("labeled/@eaDir", "test/__MACOSX", "unlabeled/@eaDir", "test/cat/#recycle"):
        (root / folder).mkdir()
        Image.new("L", (4, 4)).save(root / folder / "copy.png")
    Image.new("L", (4, 4)).save(root / "labeled" / "cat" / ".cache" / "0.png")
    for file in ("labeled/.DS_Store", "labeled/cat/._0.png", "unlabeled/.0.jpg", "test/Thumbs.db"):
        (root / file).write_bytes(b"Mac OS X")
    after = read_folder(root)
    assert after.class_names == before.class_names
    for part in ("labeled", "test"):
        assert torch.equal(getattr(after, part).images, getattr(before, part).images)
    assert torch.equal(after.unlabeled_images, before.unlabeled_images)
    assert caplog.messages == []


def test_what_is_not_read_is_named_and_counted(tmp_path, caplog):
    root = make_image_folder(tmp_path)
    for file in ("labeled/cat/a.heic", "labeled/dog/b.HEIC", "labeled/cat/notes", "test/dog/a.csv"):
        (root / file).touch()
    (root / "unlabeled" / "a.\x1b[31m").touch()
    Image.new("L", (4, 4)).save(root / "test" / "stray.png")
    (root / "unlabelled").mkdir()
    read_folder(root)
    formats = "Formats that are: PNG, JPEG, BMP, WEBP, TIFF, GIF."
    assert sorted(caplog.messages) == sorted(
        [
            f"Folders of {root} that are not read: unlabelled",
            f"Files below {root}/test that are not read: 1 .csv. {formats}",
            f"Images in {root}/test that are in no class folder are not read.",
            f"Files below {root}/labeled that are not read: 2 .heic, 1 no suffix. {formats}",
            f"Files below {root}/unlabeled that are not read: 1 '.\\x1b[31m'. {formats}",
        ]
    )


def test_a_class_may_be_written_in_composed_and_decomposed_letters(tmp_path):
    root = make_image_folder(tmp_path)
    nfc, nfd = (unicodedata.normalize(form, "pâté") for form in ("NFC", "NFD"))
    rename(root, "labeled", "cat", nfd)
    rename(root, "test", "cat", nfc)
    data = read_folder(root)
    assert data.class_names == ("dog", nfc)
    assert data.labeled.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    rename(root, "labeled", "dog", nfc)  # two folders of one class
    (root / "labeled" / "dog").mkdir()
    assert read_folder(root).labeled.labels.tolist() == [1] * 6


@pytest.mark.parametrize("part", ["labeled", "test"])
def test_a_folder_level_too_much_is_named_before_images_are_read(tmp_path, part):
    root = make_image_folder(tmp_path)
    (root / "unlabeled" / "damaged.png").touch()
    rename(root, part, ".", "../all")
    (root / part).mkdir()
    rename(root, ".", "all", f"{part}/all")
    expected = {
        "labeled": "must hold a folder for each of two or more classes; it holds all. Move the "
        "folders in it, cat, dog, one level up.",
        "test": "unknown classes: all; known are cat, dog.",
    }
    with pytest.raises(DataError, match=f"{root / part} .*{expected[part]}"):
        read_folder(root)


@pytest.mark.parametrize(("left", "found"), [("cat", "cat"), (None, "none")])
def test_fewer_than_two_classes_are_refused(tmp_path, left, found):
    root = make_image_folder(tmp_path)
    for name in {"cat", "dog"} - {left}:
        shutil.rmtree(root / "labeled" / name)
    with pytest.raises(DataError, match=rf"two or more classes; it holds {found}\.$"):
        read_folder(root)


def test_labeled_images_that_are_in_the_test_set_too_are_named(tmp_path, caplog):
    root = make_image_folder(tmp_path)
    cat = root / "labeled" / "cat"
    shutil.copy(cat / "1.png", root / "test" / "cat" / "copy.png")
    Image.open(cat / "2.png").save(root / "test" / "cat" / "again.bmp")
    read_folder(root)
    named = f"{cat}/1.png as {root}/test/cat/copy.png"
    assert caplog.messages == [f"2 of the labeled images are in test/, too, such as {named}."]


def test_unlabeled_images_may_be_missing(tmp_path, caplog):
    root = make_image_folder(tmp_path)
    shutil.rmtree(root / "unlabeled")
    data = read_folder(root)
    assert data.unlabeled_images.shape == (0, 1, 8, 8)
    with pytest.raises(ConfigError, match=r"data.num_labeled=6: leaves no unlabeled images"):
        SemiSupervisedBatches(data, 1)
    assert len(read_folder(root, num_labeled=4).unlabeled_images) == 2
    assert caplog.messages == []


def test_a_class_that_the_test_set_lacks_is_named(tmp_path, caplog):
    root = make_image_folder(tmp_path)
    shutil.rmtree(root / "test" / "dog")
    assert read_folder(root).test.labels.tolist() == [0, 0]
    assert caplog.messages == ["The test set has no image of class dog."]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    root = make_image_folder(tmp_path)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("unlabeled"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="unlabeled cannot be read: Permission denied"):
        read_folder(root)
