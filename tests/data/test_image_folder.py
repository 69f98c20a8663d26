import os
import shutil
import unicodedata

import numpy as np
import pytest
import torch
from PIL import Image

from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.errors import ConfigError, DataError
from sgan_lab.evaluation.checkpoint_files import find_checkpoint
from sgan_lab.evaluation.classifier import load_classifier
from tests.builders import cifar_pictures, make_image_folder, read_folder
from tests.steps import train_here


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


def test_without_a_test_set_a_part_of_each_class_is_held_out_by_the_seed(tmp_path, caplog):
    caplog.set_level("INFO")
    root = cifar_pictures(tmp_path / "labeled", {"airplane": 60, "automobile": 5, "bird": 1}).parent
    first, again, other = (read_folder(root, None, None, label_seed=seed) for seed in (3, 3, 4))
    assert first.image_shape == (3, 32, 32)
    assert first.test.labels.bincount().tolist() == [12, 1]
    assert first.labeled.labels.bincount().tolist() == [48, 4, 1]
    assert torch.equal(first.test.images, again.test.images)
    assert not torch.equal(first.test.images, other.test.images)
    everything = {image.numpy().tobytes() for image in (*first.labeled.images, *first.test.images)}
    assert len(everything) == 66
    assert f"No test/ in {root}: 13 of 66 labeled images are the test set" in caplog.messages
    assert "The test set has no image of class bird." in caplog.messages
    assert "Images are read as data.image_size=[32, 32] data.channels=3" in caplog.messages
    half = read_folder(root, test_fraction=0.5)
    assert half.test.labels.bincount().tolist() == [30, 2]


@pytest.mark.slow
def test_a_classifier_keeps_the_background_of_its_pictures(tmp_path):
    root = make_image_folder(tmp_path / "images")
    path = root / "labeled" / "cat" / "0.png"
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(path)
    settings = ["data=image_folder", f"data.root={root}", "data.background='#ff0000'"]
    settings += ["data.image_size=[8,8]", "data.channels=3", "data.batch_size=2"]
    train_here(tmp_path / "run", *settings, "model=supervised", "model.epochs=1")
    classifier = load_classifier(find_checkpoint(tmp_path / "run"))
    assert classifier.background == "#ff0000"
    red = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    red[:, 0] = 255
    data = read_folder(root, channels=3, background="#ff0000")
    assert torch.equal(data.labeled.images[:1], red)
    assert data.background == "#ff0000"
    for seen in (path, Image.open(path)):
        assert np.array_equal(classifier.predict_proba(seen), classifier.predict_proba(red))
    white = load_classifier(find_checkpoint(tmp_path / "run"))._replace(background="white")
    assert not np.array_equal(white.predict_proba(path), classifier.predict_proba(red))


def test_each_labeled_picture_is_in_one_fold(tmp_path):
    root = make_image_folder(tmp_path)
    with pytest.raises(
        ConfigError, match=f"data.folds=3: must be null, since there is {root}/test"
    ):
        read_folder(root, folds=3)
    shutil.rmtree(root / "test")
    folds = [read_folder(root, folds=3, fold=fold) for fold in range(3)]
    tested = [image.numpy().tobytes() for data in folds for image in data.test.images]
    assert len(set(tested)) == len(tested) == 6
    for data in folds:
        assert data.test.labels.tolist() == [0, 1]
        learned = {image.numpy().tobytes() for image in data.labeled.images}
        assert len(learned) == 4
        assert not learned & {image.numpy().tobytes() for image in data.test.images}


def test_a_folder_of_single_pictures_has_none_to_hold_out(tmp_path):
    root = make_image_folder(tmp_path)
    shutil.rmtree(root / "test")
    for name in ("cat/1", "cat/2", "dog/1", "dog/2"):
        (root / "labeled" / f"{name}.png").unlink()
    with pytest.raises(
        DataError, match="has no test/, and too few labeled images to hold some out"
    ):
        read_folder(root)


def make_table(root, *lines):
    """A table of labels beside a folder of pictures."""
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return str(root / "labels.csv")


def test_labels_may_be_in_a_table_whatever_the_folders(tmp_path, caplog):
    root = make_image_folder(tmp_path)
    shutil.rmtree(root / "unlabeled")
    table = make_table(
        root,
        "note,class,file",
        ",old,labeled/cat/2.png",
        "why,new,./labeled/dog/0.png",
        ",new,labeled/dog/0.png",  # once more, as before
        ",,labeled/dog/1.png",
        ",,",
        "short",
    )
    rename(root, "test", "cat", "new")
    rename(root, "test", "dog", "old")
    data = read_folder(root, labels=table)
    assert data.class_names == ("new", "old")
    assert data.labeled.labels.tolist() == [1, 0]
    assert data.labeled.images[:, 0, 0, 0].tolist() == read_values([30, 40])
    assert data.unlabeled_images[:, 0, 0, 0].tolist() == read_values([10, 20, 50, 60])
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert caplog.messages == []
    shutil.rmtree(root / "test")
    with pytest.raises(DataError, match="too few labeled images to hold some out"):
        read_folder(root, labels=table)


def read_values(reds):
    """What the colored pictures of `make_image_folder` are in gray."""
    return [Image.new("RGB", (1, 1), (red, 0, 255)).convert("L").getpixel((0, 0)) for red in reds]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,klass", "a,b"], "labels.csv must have the columns file,class; it has file, klass"),
        ([""], "must have the columns file,class; it has none"),
        (
            ["file,class", "unlabeled/0.jpg,a", "unlabeled/1.jpg,b", "unlabeled/0.jpg,b"],
            "labels.csv lists unlabeled/0.jpg as a, b.",
        ),
        (
            ["file,class", "unlabeled/0.jpg,a", "gone.jpg,b", "test/cat/0.png,a", "../x.png,a"],
            "3 of its files are no pictures below .*: gone.jpg, test/cat/0.png, ../x.png.",
        ),
        (["file,class", "unlabeled/0.jpg,a"], "must give two or more classes .*; it has a."),
        (["file,class"], "must give two or more classes .*; it has none."),
    ],
)
def test_what_is_wrong_with_a_table_is_one_error(tmp_path, lines, message):
    root = make_image_folder(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read_folder(root, labels=make_table(root, *lines))
    assert "\n" not in str(caught.value)


def test_a_table_must_be_a_text_file(tmp_path):
    root = make_image_folder(tmp_path)
    (root / "binary.csv").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(root / "pipe.csv")
    for name, reason in (("gone", "No such file"), ("binary", "can't decode"), ("pipe", "regular")):
        with pytest.raises(DataError, match=rf"{name}.csv cannot be read: .*{reason}"):
            read_folder(root, labels=str(root / f"{name}.csv"))


@pytest.mark.parametrize("lines", ["labeled/dog/1.png\n\nlabeled/cat/2.png\n", "4\n2"])
def test_a_list_says_which_images_are_labeled(tmp_path, lines):
    root = make_image_folder(tmp_path)
    (tmp_path / "list.txt").write_text(lines)
    data = read_folder(root, labeled_list=str(tmp_path / "list.txt"))
    assert data.labeled.images[:, 0, 0, 0].tolist() == read_values([30, 50])
    assert data.labeled.labels.tolist() == [0, 1]
    assert len(data.unlabeled_images) == 4 + 4
    shutil.rmtree(root / "test")
    data = read_folder(root, labeled_list=str(tmp_path / "list.txt"), num_validation=2)
    assert data.labeled.images[:, 0, 0, 0].tolist() == read_values([30, 50])
    assert data.test.labels.tolist() == [0, 1]
    assert data.validation.labels.tolist() == [0, 1]
    assert len(data.unlabeled_images) == 4


def test_broken_files_are_named_or_left_out(tmp_path, caplog):
    root = make_image_folder(tmp_path)
    for name in ("labeled/cat/1.png", "test/dog/0.png", "unlabeled/3.jpg"):
        (root / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^3 files cannot .*data.skip_broken=true leaves"):
        read_folder(root)
    (tmp_path / "list.txt").write_text("2\n3")
    for listed in (None, str(tmp_path / "list.txt")):
        caplog.clear()
        data = read_folder(root, skip_broken=True, labeled_list=listed)
        assert data.labeled.images[:, 0, 0, 0].tolist() == read_values(
            [10, 30, 40, 50, 60] if listed is None else [30, 40]
        )
        assert data.test.labels.tolist() == [0, 0, 1]
        assert len(data.unlabeled_images) == (3 if listed is None else 6)
        (message,) = caplog.messages
        assert message.startswith("3 files are no readable images and are left out: ")
        assert all(name in message for name in ("cat/1.png: cannot identify", "unlabeled/3.jpg"))


def test_unlabeled_images_are_drawn_from_all_that_there_are(tmp_path):
    root = make_image_folder(tmp_path)
    drawn = [
        read_folder(root, num_labeled=2, num_unlabeled=5, label_seed=seed).unlabeled_images
        for seed in (0, 0, 1)
    ]
    assert [len(images) for images in drawn] == [5] * 3
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    with pytest.raises(ConfigError, match=r"data.num_unlabeled=9: must be null or 1 to 8"):
        read_folder(root, num_labeled=2, num_unlabeled=9)


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
