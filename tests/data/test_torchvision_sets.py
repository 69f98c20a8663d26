import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import tarfile
import threading
from functools import partial

import pytest
import scipy.io
import torch
from torchvision import datasets

from sgan_lab.data.catalog import DATA_SETS
from sgan_lab.data.load import load
from sgan_lab.data.torchvision_sets import check_idx_file, idx_shapes
from sgan_lab.errors import DataError

MNIST_TRAINING_FILE = "train-images-idx3-ubyte"


@pytest.fixture
def mnist_copy(mnist_root, tmp_path):
    """A folder with links to the real MNIST files, each to be replaced by a damaged one."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist_root / "MNIST" / "raw").iterdir():
        (raw / path.name).symlink_to(path)
    return tmp_path


def read(name, root, num_labeled=100):
    split = {"num_labeled": num_labeled, "labeled_split": "first", "batch_size": 32}
    return load(name, str(root), **split)


def test_mnist_is_split_as_in_the_tutorial(mnist_root):
    raw = mnist_root / "MNIST" / "raw"
    pixels = (raw / MNIST_TRAINING_FILE).read_bytes()[16:]
    labels = (raw / "train-labels-idx1-ubyte").read_bytes()[8:]
    data = read("MNIST", mnist_root)
    assert data.labeled.images.shape == (100, 1, 28, 28)
    assert data.labeled.images.flatten().tolist() == list(pixels[: 100 * 784])
    assert data.labeled.labels.tolist() == list(labels[:100])
    assert data.unlabeled_images.shape == (59900, 1, 28, 28)
    assert data.unlabeled_images[0].flatten().tolist() == list(pixels[100 * 784 : 101 * 784])
    assert data.test.images.shape == (10000, 1, 28, 28)
    assert data.class_names == tuple("0123456789")
    assert data.unlabeled_images.dtype == torch.uint8


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
        read("MNIST", mnist_copy)
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
    for file, shape in idx_shapes(DATA_SETS["FashionMNIST"]).items():
        header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
        content = gzip.compress(header + bytes(torch.Size(shape).numel()), mtime=0)
        (folder / f"{file}.gz").write_bytes(content)
        sums.append((f"{file}.gz", md5(content)))
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [address])
    monkeypatch.setattr(datasets.FashionMNIST, "resources", sums)
    return folder


def test_an_absent_data_set_is_downloaded_once(mirror, tmp_path):
    arguments = ("FashionMNIST", tmp_path / "data")
    assert read(*arguments).unlabeled_images.shape == (59900, 1, 28, 28)
    for path in mirror.iterdir():
        path.unlink()
    assert read(*arguments).class_names[0] == "T-shirt/top"
    old = tmp_path / "data" / "FashionMNIST" / "processed"  # torchvision prefers these, unchecked
    old.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.ones(1, 28, 28), torch.zeros(1)), old / name)
    assert len(read(*arguments).test.labels) == 10000


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
        read("FashionMNIST", tmp_path / "data")
    message = str(error.value)
    assert "\n" not in message
    for way_out in ("data.root", "SGAN_LAB_DATA", "data=digits"):
        assert way_out in message


@pytest.fixture
def color_images(served, monkeypatch):
    """Small training and test sets of random images, served as torchvision's CIFAR and SVHN."""
    folder, address = served
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (30, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(30) % 10
    parts = {"train": slice(20), "test": slice(20, 30)}

    for cifar, of_labels in ((datasets.CIFAR10, "labels"), (datasets.CIFAR100, "fine_labels")):
        files = {cifar.meta["filename"]: {cifar.meta["key"]: []}}
        listed = {"train": cifar.train_list[0][0], "test": cifar.test_list[0][0]}
        for part, file in listed.items():
            pixels, numbers = images[parts[part]].flatten(1).numpy(), labels[parts[part]].tolist()
            files[file] = {"data": pixels, of_labels: numbers}
        archive, sums = folder / cifar.filename, {}
        with tarfile.open(archive, "w:gz") as tar:
            for file, entry in files.items():
                content = pickle.dumps(entry)
                member = tarfile.TarInfo(f"{cifar.base_folder}/{file}")
                member.size, sums[file] = len(content), md5(content)
                tar.addfile(member, io.BytesIO(content))
        monkeypatch.setattr(cifar, "url", address + archive.name)
        monkeypatch.setattr(cifar, "tgz_md5", md5(archive.read_bytes()))
        for part, file in listed.items():
            monkeypatch.setattr(cifar, f"{part}_list", [[file, sums[file]]])
        monkeypatch.setitem(cifar.meta, "md5", sums[cifar.meta["filename"]])

    for part, chosen in parts.items():
        path = folder / f"{part}_32x32.mat"
        ones_to_ten = labels[chosen].where(labels[chosen] > 0, 10).byte().unsqueeze(1)
        content = {"X": images[chosen].permute(2, 3, 1, 0).numpy(), "y": ones_to_ten.numpy()}
        scipy.io.savemat(path, content)
        entry = [address + path.name, path.name, md5(path.read_bytes())]
        monkeypatch.setitem(datasets.SVHN.split_list, part, entry)
    return folder, images, labels


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "SVHN"])
def test_color_images_are_downloaded_once_and_again_where_they_are_damaged(
    color_images, tmp_path, name
):
    folder, images, labels = color_images
    root = tmp_path / "data"
    arguments = (name, root, 10)

    def check():
        data = read(*arguments)
        for found, expected in zip(data.labeled, (images[:10], labels[:10]), strict=True):
            assert torch.equal(found, expected)
        assert torch.equal(data.unlabeled_images, images[10:20])
        assert torch.equal(data.test.images, images[20:])
        assert data.class_names == DATA_SETS[name].class_names
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
        read(*arguments)
    for path, content in served_files.items():
        path.write_bytes(content)
    check()


def test_labels_are_below_the_number_of_classes_and_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "idx"
    path.write_bytes(struct.pack(">II", 0x0801, 2) + b"\x19\x1a")
    check_idx_file(path, (2,), None, num_classes=27)
    with pytest.raises(DataError, match=r"idx is damaged: it has a label above 25"):
        check_idx_file(path, (2,), None, num_classes=26)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"idx is damaged: 0 bytes instead of 10"):
        check_idx_file(path, (2,), None)
