import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import tarfile
import threading
import tracemalloc
import zlib
from dataclasses import replace
from functools import partial

import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets

from sgan_lab.data.batches import LabeledEpoch, SemiSupervisedBatches
from sgan_lab.data.containers import LabeledImages, scale
from sgan_lab.data.digits import digits
from sgan_lab.data.image_folder import image_folder, read_image
from sgan_lab.data.splits import split_training_set
from sgan_lab.data.torchvision_sets import IDX_SHAPES, check_idx_file, torchvision_images
from sgan_lab.errors import ConfigError, DataError
from tests.builders import make_data, make_image_folder

MNIST_TRAINING_FILE = "train-images-idx3-ubyte"


@pytest.fixture
def mnist_copy(mnist_root, tmp_path):
    """A folder with links to the real MNIST files, each to be replaced by a damaged one."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist_root / "MNIST" / "raw").iterdir():
        (raw / path.name).symlink_to(path)
    return tmp_path


def mnist(root, num_labeled=100, labeled_split="first", num_validation=0):
    return torchvision_images(
        "MNIST", str(root), num_labeled, labeled_split, 32, num_validation=num_validation
    )


def test_scale_maps_bytes_to_minus_one_to_one():
    scaled = scale(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(scaled, torch.tensor([-1.0, -0.6, 1.0]))


def test_mnist_is_split_as_in_the_tutorial(mnist_root):
    raw = mnist_root / "MNIST" / "raw"
    pixels = (raw / MNIST_TRAINING_FILE).read_bytes()[16:]
    labels = (raw / "train-labels-idx1-ubyte").read_bytes()[8:]
    data = mnist(mnist_root)
    assert data.labeled.images.shape == (100, 1, 28, 28)
    assert data.labeled.images.flatten().tolist() == list(pixels[: 100 * 784])
    assert data.labeled.labels.tolist() == list(labels[:100])
    assert data.unlabeled_images.shape == (59900, 1, 28, 28)
    assert data.unlabeled_images[0].flatten().tolist() == list(pixels[100 * 784 : 101 * 784])
    assert data.test.images.shape == (10000, 1, 28, 28)
    assert data.class_names == tuple("0123456789")
    assert data.unlabeled_images.dtype == torch.uint8


def test_balanced_split_takes_the_first_of_each_class():
    labels = torch.tensor([0, 0, 0, 1, 2, 1, 2, 1, 2, 0])
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    train = LabeledImages(images, labels)
    data = split_training_set(train, train, "abc", 4, "balanced", batch_size=2)
    assert data.labeled.images.flatten().tolist() == [0, 1, 3, 4]
    assert data.labeled.labels.tolist() == [0, 0, 1, 2]
    assert data.unlabeled_images.flatten().tolist() == [2, 5, 6, 7, 8, 9]


def test_random_split_draws_each_image_of_a_class_equally_often():
    labels = torch.tensor([0, 1, 0, 1, 0, 0, 1, 0])  # five and three
    train = LabeledImages(torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1), labels)
    counts = torch.zeros(8)
    for seed in range(1500):
        data = split_training_set(train, train, "ab", 2, "random", 2, label_seed=seed)
        drawn, rest = data.labeled.images.flatten(), data.unlabeled_images.flatten()
        assert data.labeled.labels.tolist() == labels[drawn.long()].tolist()
        assert data.labeled.labels.sort().values.tolist() == [0, 1]
        assert sorted([*drawn.tolist(), *rest.tolist()]) == list(range(8))
        counts[drawn.long()] += 1
    # 300 and 500 are expected; five standard deviations are 77 and 91.
    assert (counts - torch.tensor([300, 500])[labels]).abs().max() < 77


def test_random_split_depends_on_its_seed_only_and_leaves_validation_images_out():
    labels = torch.arange(100) % 5
    train = LabeledImages(torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1), labels)

    def split(seed):
        return split_training_set(train, train, "abcde", 20, "random", 2, 50, seed)

    torch.manual_seed(0)
    data, state = split(3), torch.get_rng_state()
    assert torch.equal(torch.manual_seed(0).get_state(), state)  # nothing was drawn from it
    torch.manual_seed(1)
    assert torch.equal(split(3).labeled.images, data.labeled.images)
    assert not torch.equal(split(4).labeled.images, data.labeled.images)
    assert data.labeled.labels.bincount().tolist() == [4] * 5
    sets = [data.labeled.images, data.unlabeled_images, data.validation.images]
    assert [len(images) for images in sets] == [20, 30, 50]
    assert torch.cat(sets).flatten().sort().values.tolist() == list(range(100))
    assert torch.equal(split(4).validation.images, data.validation.images)


@pytest.mark.parametrize("labeled_split", ["first", "balanced"])
def test_validation_images_are_the_last_of_each_class_and_in_no_other_set(labeled_split):
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 2, 0, 1, 0])
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    train = LabeledImages(images, labels)
    data = split_training_set(train, train, "abc", 3, labeled_split, 2, num_validation=4)
    assert data.validation.images.flatten().tolist() == [6, 7, 8, 9]
    assert data.validation.labels.tolist() == [2, 0, 1, 0]
    assert data.labeled.images.flatten().tolist() == [0, 1, 2]
    assert data.unlabeled_images.flatten().tolist() == [3, 4, 5]
    everything = split_training_set(train, train, "abc", None, labeled_split, 2, 4)
    assert everything.labeled.labels.tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(ConfigError, match=r"data.num_labeled=7: must be an integer 1 to 6"):
        split_training_set(train, train, "abc", 7, "first", 2, 4)
    with pytest.raises(ConfigError, match=r"data.num_validation=11: needs 4 images of class b"):
        split_training_set(train, train, "abc", 1, "first", 2, 11)


def test_split_refuses_more_labels_than_there_are():
    train = LabeledImages(torch.zeros(4, 1, 1, 1), torch.tensor([0, 0, 0, 1]))
    with pytest.raises(ConfigError, match=r"data.num_labeled=5: must be an integer 1 to 4"):
        split_training_set(train, train, "ab", 5, "first", 2)
    with pytest.raises(
        ConfigError, match=r"needs 2 images of class b to be balanced, but there are 1"
    ):
        split_training_set(train, train, "ab", 4, "balanced", 2)
    with pytest.raises(ConfigError, match="number of classes"):
        split_training_set(train, train, "ab", 1, "balanced", 2)


def split_some(labeled_split, num_labeled, classes, unlabeled_classes, num_validation=0):
    """A split of 20 images, their numbers for pixels, of the classes 5 to 9 in turn."""
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    train = LabeledImages(images, torch.arange(20) % 5)
    test = LabeledImages(images[:5], train.labels[:5])
    how = (num_labeled, labeled_split, 2, num_validation, 0, 0.0, classes, unlabeled_classes)
    return split_training_set(train, test, "56789", *how)


@pytest.mark.parametrize("labeled_split", ["first", "balanced", "random"])
def test_unlabeled_images_may_be_of_other_classes(labeled_split):
    data = split_some(labeled_split, 3, [9, "6", 7], ["8", 7], num_validation=3)
    assert data.class_names == ("6", "7", "9")
    assert data.test.images.flatten().tolist() == [1, 2, 4]
    assert data.test.labels.tolist() == [0, 1, 2]
    assert data.validation.images.flatten().tolist() == [16, 17, 19]
    assert data.validation.labels.tolist() == [0, 1, 2]
    drawn = data.labeled.images.flatten()
    assert data.labeled.labels.tolist() == [[1, 2, 4].index(number % 5) for number in drawn]
    assert sorted(data.labeled.labels.tolist()) == [0, 1, 2]
    if labeled_split != "random":
        assert drawn.tolist() == [1, 2, 4]
    expected = ({2, 7, 12} - set(drawn.tolist())) | {3, 8, 13, 18}
    assert sorted(data.unlabeled_images.flatten().tolist()) == sorted(expected)


@pytest.mark.parametrize(
    ("classes", "unlabeled_classes", "unlabeled"),
    [
        (None, None, range(5, 20)),
        (["6", "9"], None, [11, 14, 16, 19]),
        (["6", "9"], ["6", "9"], [11, 14, 16, 19]),
        (["6", "9"], list("56789"), [0, 2, 3, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
        (["6", "9"], ["5"], [0, 5, 10, 15]),
        (None, ["5"], [5, 10, 15]),
    ],
)
def test_unlabeled_images_are_by_default_of_the_classes_to_learn(
    classes, unlabeled_classes, unlabeled
):
    data = split_some("first", 5 if classes is None else 4, classes, unlabeled_classes)
    assert sorted(data.unlabeled_images.flatten().tolist()) == list(unlabeled)


def test_labels_are_counted_among_the_classes_to_learn():
    with pytest.raises(ConfigError, match=r"data.num_labeled=9: must be an integer 1 to 8"):
        split_some("first", 9, ["6", "9"], list("56789"))
    with pytest.raises(ConfigError, match=r"data.num_validation=9: needs 5 images of class 6 to"):
        split_some("first", 1, ["6", "9"], None, num_validation=9)
    with pytest.raises(ConfigError, match=r"data.num_labeled=8: leaves no unlabeled images"):
        SemiSupervisedBatches(split_some("first", 8, ["6", "9"], ["9"]), 1)


@pytest.mark.parametrize("labeled_split", ["first", "balanced"])
def test_labels_of_unlabeled_images_are_never_read(labeled_split):
    """Poisoned labels beyond the labeled set give the same data."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 1, 4, 4), generator=generator, dtype=torch.uint8)
    labels = torch.arange(60) % 3
    poisoned = labels.clone()
    poisoned[12:] = labels[12:].roll(1)
    clean, other = (
        split_training_set(
            LabeledImages(images, y), LabeledImages(images, y), "abc", 12, labeled_split, 4
        )
        for y in (labels, poisoned)
    )
    assert torch.equal(clean.labeled.labels, other.labeled.labels)
    assert torch.equal(clean.labeled.images, other.labeled.images)
    assert torch.equal(clean.unlabeled_images, other.unlabeled_images)


def test_semi_supervised_batches_are_drawn_uniformly_with_replacement():
    data = make_data(num_labeled=10, num_unlabeled=30, batch_size=50)
    labeled_ids = {image.numpy().tobytes(): i for i, image in enumerate(scale(data.labeled.images))}
    unlabeled_ids = {im.numpy().tobytes(): i for i, im in enumerate(scale(data.unlabeled_images))}
    torch.manual_seed(0)
    labeled, unlabeled = torch.zeros(10), torch.zeros(30)
    batches = SemiSupervisedBatches(data, 200)
    assert len(batches) == 200
    for batch in batches:
        assert len(batch.labeled_images) == len(batch.unlabeled_images) == 50
        for image, label in zip(batch.labeled_images, batch.labels, strict=True):
            index = labeled_ids[image.numpy().tobytes()]
            assert data.labeled.labels[index] == label
            labeled[index] += 1
        for image in batch.unlabeled_images:
            unlabeled[unlabeled_ids[image.numpy().tobytes()]] += 1
    # 10,000 draws: mean 1,000 and 333, five standard deviations 150 and 90.
    assert (labeled - 1000).abs().max() < 150
    assert (unlabeled - 333).abs().max() < 90


def test_a_labeled_batch_may_come_with_several_unlabeled_ones():
    batches = SemiSupervisedBatches(make_data(batch_size=8), 3, unlabeled_batches=2)
    assert [(len(b.labels), len(b.unlabeled_images)) for b in batches] == [(8, 16)] * 3


def test_an_epoch_visits_each_labeled_image_once_in_a_new_order():
    data = make_data(num_labeled=20, batch_size=8)
    batches = LabeledEpoch(data)
    assert len(batches) == 3
    epochs = [list(batches), list(batches)]
    assert [len(batch.labels) for batch in epochs[0]] == [8, 8, 4]
    images = [torch.cat([batch.images for batch in epoch]) for epoch in epochs]
    assert not torch.equal(*images)
    sums = scale(data.labeled.images).sum(dim=(1, 2, 3)).sort().values
    for epoch in images:
        torch.testing.assert_close(epoch.sum(dim=(1, 2, 3)).sort().values, sums)


@pytest.mark.parametrize("augmentation", [0, 1])
def test_views_show_the_same_unlabeled_images_each_augmented_by_itself(augmentation):
    brightness = 10 * torch.arange(20).view(20, 1, 1, 1) + torch.arange(28)  # a slope each
    images = brightness.expand(20, 1, 28, 28).byte()
    data = replace(make_data(), unlabeled_images=images, augmentation=augmentation)
    torch.manual_seed(0)
    (batch,) = SemiSupervisedBatches(data, 1, views=2)
    first, second = batch.unlabeled_images.chunk(2)
    assert len(first) == len(batch.labels)
    assert torch.equal(first, second) == (augmentation == 0)
    means = [view.mean(dim=(1, 2, 3)) for view in (first, second)]
    torch.testing.assert_close(*means, rtol=0, atol=4 / 127.5)  # half of what tells two apart


def test_a_gan_without_unlabeled_images_is_refused():
    with pytest.raises(ConfigError, match=r"data.num_labeled=20: leaves no unlabeled images"):
        SemiSupervisedBatches(make_data(num_labeled=20, num_unlabeled=0), 1)


def test_digits_have_a_fixed_split():
    first, second = (digits(100, "balanced", 32) for _ in range(2))
    assert first.test.images.shape == (360, 1, 28, 28)
    assert len(first.labeled.labels) + len(first.unlabeled_images) == 1437
    assert torch.equal(first.test.images, second.test.images)
    assert first.labeled.labels.bincount().tolist() == [10] * 10
    assert first.test.labels.bincount().min() >= 34
    assert (first.test.images.min(), first.test.images.max()) == (0, 255)


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (MNIST_TRAINING_FILE, lambda b: b[:-1], "47040015 bytes instead of 47040016"),
        (MNIST_TRAINING_FILE, lambda b: b[:7] + b"\1" + b[8:], "does not announce 60000x28x28"),
        (MNIST_TRAINING_FILE, lambda b: b[:-1] + b"\1", "its MD5 sum is not"),
        ("t10k-labels-idx1-ubyte", lambda b: b[:-1] + b"\n", "it has a label above 9"),
        ("t10k-labels-idx1-ubyte", lambda _: b"", "0 bytes instead of 10008"),
    ],
)
def test_a_damaged_file_is_named(mnist_copy, file, damage, message):
    path = mnist_copy / "MNIST" / "raw" / file
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(content))
    with pytest.raises(DataError, match=message) as error:
        mnist(mnist_copy)
    assert str(path) in str(error.value)


@pytest.fixture
def served(tmp_path):
    """A folder, and the address at which a loopback server offers what is in it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def mirror(served, monkeypatch):
    """What torchvision takes for its mirror of FashionMNIST, black images."""
    folder, address = served
    sums = []
    for file, shape in IDX_SHAPES.items():
        header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
        content = gzip.compress(header + bytes(torch.Size(shape).numel()), mtime=0)
        (folder / f"{file}.gz").write_bytes(content)
        sums.append((f"{file}.gz", md5(content)))
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [address])
    monkeypatch.setattr(datasets.FashionMNIST, "resources", sums)
    return folder


def test_an_absent_data_set_is_downloaded_once(mirror, tmp_path):
    arguments = ("FashionMNIST", str(tmp_path / "data"), 100, "first", 32)
    assert torchvision_images(*arguments).unlabeled_images.shape == (59900, 1, 28, 28)
    for path in mirror.iterdir():
        path.unlink()
    assert torchvision_images(*arguments).class_names[0] == "T-shirt/top"
    old = tmp_path / "data" / "FashionMNIST" / "processed"  # torchvision prefers these, unchecked
    old.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.ones(1, 28, 28), torch.zeros(1)), old / name)
    assert len(torchvision_images(*arguments).test.labels) == 10000


@pytest.mark.parametrize("failure", ["not found", "wrong checksum", "truncated"])
def test_a_failed_download_names_the_ways_out(mirror, tmp_path, failure):
    path = mirror / "t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    path.unlink()
    if failure == "wrong checksum":
        path.write_bytes(content + b"\0")
    if failure == "truncated":
        path.write_bytes(content[:-100])
    with pytest.raises(DataError) as error:
        torchvision_images("FashionMNIST", str(tmp_path / "data"), 100, "first", 32)
    message = str(error.value)
    assert "\n" not in message
    for way_out in ("data.root", "SGAN_LAB_DATA", "data=digits"):
        assert way_out in message


@pytest.fixture
def color_images(served, monkeypatch):
    """Small training and test sets of random images, served as torchvision's CIFAR10 and SVHN."""
    folder, address = served
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (30, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(30) % 10
    parts = {"train": slice(20), "test": slice(20, 30)}

    cifar10, archive = datasets.CIFAR10, folder / "cifar-10-python.tar.gz"
    files = {"batches.meta": {"label_names": [str(label) for label in range(10)]}}
    for file, part in (("data_batch_1", "train"), ("test_batch", "test")):
        files[file] = {
            "data": images[parts[part]].flatten(1).numpy(),
            "labels": labels[parts[part]].tolist(),
        }
    sums = {}
    with tarfile.open(archive, "w:gz") as tar:
        for file, entry in files.items():
            content = pickle.dumps(entry)
            member = tarfile.TarInfo(f"{cifar10.base_folder}/{file}")
            member.size, sums[file] = len(content), md5(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(cifar10, "url", address + archive.name)
    monkeypatch.setattr(cifar10, "tgz_md5", md5(archive.read_bytes()))
    monkeypatch.setattr(cifar10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(cifar10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setitem(cifar10.meta, "md5", sums["batches.meta"])

    for part, chosen in parts.items():
        path = folder / f"{part}_32x32.mat"
        ones_to_ten = labels[chosen].where(labels[chosen] > 0, 10).byte().unsqueeze(1)
        content = {"X": images[chosen].permute(2, 3, 1, 0).numpy(), "y": ones_to_ten.numpy()}
        scipy.io.savemat(path, content)
        entry = [address + path.name, path.name, md5(path.read_bytes())]
        monkeypatch.setitem(datasets.SVHN.split_list, part, entry)
    return folder, images, labels


@pytest.mark.parametrize("name", ["CIFAR10", "SVHN"])
def test_color_images_are_downloaded_once_and_again_where_they_are_damaged(
    color_images, tmp_path, name
):
    folder, images, labels = color_images
    root = tmp_path / "data"
    arguments = (name, str(root), 10, "first", 32)

    def check():
        data = torchvision_images(*arguments)
        for found, expected in zip(data.labeled, (images[:10], labels[:10]), strict=True):
            assert torch.equal(found, expected)
        assert torch.equal(data.unlabeled_images, images[10:20])
        assert torch.equal(data.test.images, images[20:])
        assert data.class_names == tuple("0123456789")
        assert data.test.images.is_contiguous()

    check()
    served_files = {path: path.read_bytes() for path in folder.iterdir()}
    for path in served_files:
        path.unlink()
    check()
    for path in root.rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=f"{name} is not in data.root=.*data=digits"):
        torchvision_images(*arguments)
    for path, content in served_files.items():
        path.write_bytes(content)
    check()


def test_image_folder_reads_classes_sizes_and_channels(tmp_path):
    root = make_image_folder(tmp_path)
    data = image_folder(str(root), [10, 12], 3, None, "balanced", 2)
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
    data = image_folder(str(root), [8, 8], 1, None, "balanced", 2)
    assert data.labeled.labels.tolist() == [0, 0, 0, 1, 1]


def test_image_folder_adds_spare_labeled_images_to_the_unlabeled(tmp_path):
    data = image_folder(str(make_image_folder(tmp_path)), [8, 8], 1, 2, "balanced", 2)
    assert data.labeled.labels.tolist() == [0, 1]
    assert data.unlabeled_images.shape == (4 + 4, 1, 8, 8)


def test_image_folder_names_what_is_wrong(tmp_path):
    def read(root):
        return image_folder(str(root), [8, 8], 1, None, "balanced", 2)

    with pytest.raises(DataError, match=r"absent/labeled is no folder"):
        read(tmp_path / "absent")
    root = make_image_folder(tmp_path)
    (root / "unlabeled" / "2.jpg").write_bytes(b"\x89PNG no image")
    with pytest.raises(DataError, match=r"unlabeled/2.jpg is no readable image"):
        read(root)
    whole = (root / "unlabeled" / "1.jpg").read_bytes()
    (root / "unlabeled" / "2.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"unlabeled/2.jpg is no readable image"):
        read(root)
    (root / "unlabeled" / "2.jpg").unlink()
    (root / "test" / "emu").mkdir()
    with pytest.raises(DataError, match="unknown classes: emu; known are cat, dog"):
        read(root)


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
        image_folder(str(root), [8, 8], 1, None, "balanced", 2)


def test_links_within_the_folder_are_read_and_circles_end(tmp_path):
    root = make_image_folder(tmp_path / "images")
    (root / "unlabeled" / "link.png").symlink_to(root / "labeled" / "cat" / "0.png")
    (root / "labeled" / "emu").symlink_to("cat")
    (root / "unlabeled" / "circle").symlink_to("..")
    (tmp_path / "link").symlink_to(root)
    data = image_folder(str(tmp_path / "link"), [8, 8], 1, None, "balanced", 2)
    assert data.class_names == ("cat", "dog", "emu")
    assert len(data.unlabeled_images) == 5
    (root / "unlabeled" / "self.png").symlink_to("self.png")
    with pytest.raises(DataError, match=r"self.png is no readable image"):
        image_folder(str(root), [8, 8], 1, None, "balanced", 2)


def test_a_pipe_is_not_waited_for(tmp_path):
    root = make_image_folder(tmp_path)
    os.mkfifo(root / "unlabeled" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe.png is no readable image: it is no regular file"):
        image_folder(str(root), [8, 8], 1, None, "balanced", 2)
    os.mkfifo(root / "idx")
    with pytest.raises(DataError, match=r"idx is damaged: 0 bytes instead of 10"):
        check_idx_file(root / "idx", (2,), None)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", b"\xff".decode(errors="surrogateescape")])
def test_a_class_must_be_printable(tmp_path, name):
    root = make_image_folder(tmp_path)
    (root / "labeled" / "cat").rename(root / "labeled" / name)
    with pytest.raises(DataError, match="must have a name that can be printed") as caught:
        image_folder(str(root), [8, 8], 1, None, "balanced", 2)
    assert str(caught.value).isprintable()
