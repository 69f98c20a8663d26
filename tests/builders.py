"""Tiny data sets, folders of images, and run folders as tests need them."""

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.tensorboard import SummaryWriter

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.data.image_folder import image_folder
from sgan_lab.data.load import load

SHAPE = (1, 28, 28)
CLASSES = tuple("0123456789")
UNEQUAL = {(1, 4, 8): 450, (3,): 25, (9,): 25}  # images by digits


def make_data(num_labeled=20, num_unlabeled=50, batch_size=8):
    generator = torch.Generator().manual_seed(1)

    def images(n):
        return torch.randint(256, (n, *SHAPE), generator=generator, dtype=torch.uint8)

    labels = torch.randint(10, (num_labeled,), generator=generator)
    labeled = LabeledImages(images(num_labeled), labels)
    return SemiSupervisedData(labeled, images(num_unlabeled), labeled, None, CLASSES, batch_size)


def digits(num_labeled, labeled_split, batch_size):
    """scikit-learn's digits, read and split."""
    split = {"num_labeled": num_labeled, "labeled_split": labeled_split, "batch_size": batch_size}
    return load("digits", **split)


def read_folder(root, image_size=(8, 8), channels=1, num_labeled=None, **settings):
    """The images of a user's folder, read and split."""
    split = {"num_labeled": num_labeled, "labeled_split": "balanced", "batch_size": 2} | settings
    return image_folder(str(root), image_size, channels, **split)


def make_image_folder(root):
    """Two classes with 3 labeled and 2 test images each, and 4 unlabeled ones; 10x12 pixels."""
    value = 0
    for part, count in (("labeled/cat", 3), ("labeled/dog", 3), ("test/cat", 2), ("test/dog", 2)):
        (root / part).mkdir(parents=True)
        for index in range(count):
            value += 10
            Image.new("RGB", (12, 10), (value, 0, 255)).save(root / part / f"{index}.png")
    (root / "unlabeled").mkdir()
    for index in range(4):
        Image.new("L", (5, 5), 100 + index).save(root / "unlabeled" / f"{index}.jpg", quality=100)
    return root


def cifar_pictures(folder, counts):
    """JPEG pictures of CIFAR-10, <class>/*.jpg below a folder, counted by class.

    They are of the archive in the folder that SGAN_LAB_DATA names; without it, a test is skipped.
    """
    if (root := os.environ.get("SGAN_LAB_DATA")) is None:
        pytest.skip("set SGAN_LAB_DATA to a folder with cifar10-jpeg.tar.gz to run this test")
    counts = dict(counts)
    with tarfile.open(Path(root, "cifar10-jpeg.tar.gz"), "r|gz") as archive:
        for member in archive:
            part, *below = Path(member.name).parts
            if member.isfile() and part == "train" and counts.get(below[0]):
                (folder / below[0]).mkdir(parents=True, exist_ok=True)
                folder.joinpath(*below).write_bytes(archive.extractfile(member).read())
                counts[below[0]] -= 1
            if not any(counts.values()):
                break
    return folder


def make_run(folder, model, num_labeled, seed, accuracy=None, model_settings=None, **top_level):
    """A run folder as `sgan_lab.run` leaves it; without an accuracy, one that did not finish."""
    folder.mkdir(parents=True)
    (folder / "run.log").touch()
    config = {
        "seed": seed,
        "iterations": 100,
        "num_threads": seed + 1,
        "data": {
            "_target_": "sgan_lab.data.load.load",
            "name": "digits",
            "num_labeled": num_labeled,
        },
        "model": {"_target_": f"sgan_lab.algorithms.models.{model}"} | (model_settings or {}),
        "logger": {"tensorboard": {"save_dir": str(folder)}},
        **top_level,
    }
    if model == "SGAN":
        config["model"]["iterations"] = config["iterations"]
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    if accuracy is not None:
        metrics = {"test_accuracy": accuracy, "test_errors": 1, "seconds": 2.0, "num_labeled": 77}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def change_metrics(folder, **changes):
    """Change values of a run's metrics.json."""
    file = folder / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def make_sweep(folder):
    """Two models at two label counts, three seeds each; one run has no result."""
    accuracies = {("SGAN", 50): 0.8, ("SGAN", 100): 0.9, ("Net", 50): 0.6, ("Net", 100): 0.7}
    for (model, labels), accuracy in accuracies.items():
        for seed in range(3):
            missing = (model, labels, seed) == ("Net", 100, 2)
            value = None if missing else accuracy + 0.01 * seed
            make_run(folder / f"{model}{labels}{seed}", model, labels, seed, value)
    return folder


def write_events(folder, scalars, images=(), purge_step=None):
    """Event files as a run leaves them.

    Args:
        scalars: by name, the value of each iteration.
        images: the iterations that have a grid; gray, darker from one to the next.
        purge_step: what was logged from this step on is dropped by TensorBoard.
    """
    with SummaryWriter(str(folder), purge_step=purge_step) as writer:
        for name, values in scalars.items():
            for iteration, value in values.items():
                writer.add_scalar(name, value, iteration)
        for number, iteration in enumerate(images):
            image = torch.full((1, 8, 8), 1 - number / 10)
            writer.add_image("generator/images", image, iteration)


def bomb(depth):
    """Lists of ten of the list before, ten to the power of the depth texts in all."""
    lines = ["x0: &x0 [" + "a, " * 10 + "]"]
    lines += [f"x{n}: &x{n} [" + f"*x{n - 1}, " * 10 + "]" for n in range(1, depth)]
    return "\n".join(lines)


def unequal_digits():
    """8x8 pictures of digits in three classes, 450, 25 and 25 for training; for `data=own`.

    Of any first images, 5 % each are of the last two classes; the test images are 90 a class.
    """
    images, digits_ = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(images))
    images, digits_ = (images * 15).astype("uint8").reshape(-1, 8, 8)[order], digits_[order]
    parts = [np.isin(digits_, group).nonzero()[0] for group in UNEQUAL]
    counts = list(UNEQUAL.values())
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    train, test = (
        (images[np.concatenate(chosen)], np.repeat(range(len(parts)), list(map(len, chosen))))
        for chosen in (
            [part[:count] for part, count in zip(parts, counts, strict=True)],
            [part[-90:] for part in parts],
        )
    )
    mixed = places.argsort(kind="stable")
    return {"train": (train[0][mixed], train[1][mixed]), "test": test}
