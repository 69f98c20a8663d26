import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from sgan_lab.data import own
from sgan_lab.data.own import own_data
from sgan_lab.errors import ConfigError, DataError

SPLIT = {"num_labeled": 2, "labeled_split": "balanced", "batch_size": 2}
LABELS = [0, 1, 2, 0, 1, 2]
BYTES = torch.arange(6 * 4 * 5, dtype=torch.uint8).reshape(6, 1, 4, 5)


class Pictures(Dataset):
    """As of torchvision, with PIL images."""

    classes = ("cat", "dog", "fox")

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return Image.fromarray(BYTES[index, 0].numpy()), LABELS[index]


def read(monkeypatch, parts, **split):
    monkeypatch.setattr(own, "instantiate", lambda _: parts)
    return own_data({"_target_": "my_data.load"}, **SPLIT | {"num_labeled": 3} | split)


@pytest.mark.parametrize(
    "train",
    [
        (BYTES, torch.tensor(LABELS)),
        (BYTES.numpy(), np.array(LABELS)),
        (BYTES.squeeze(1), LABELS),
        (BYTES.permute(0, 2, 3, 1).numpy().astype(int), LABELS),
        (BYTES.float() / 255, LABELS),
        [list(BYTES), LABELS],
        Pictures(),
    ],
)
def test_every_form_gives_the_same_bytes_and_a_split(monkeypatch, train):
    parts = {"train": train, "test": (BYTES[:3], LABELS[:3]), "class_names": Pictures.classes}
    data = read(monkeypatch, parts, num_validation=3)
    assert torch.equal(data.labeled.images, BYTES[:3])
    assert torch.equal(data.validation.images, BYTES[3:])
    assert data.labeled.labels.tolist() == LABELS[:3]
    assert data.class_names == ("cat", "dog", "fox")
    assert data.unlabeled_images.shape == (0, 1, 4, 5)


def test_unlabeled_images_classes_and_names_of_a_data_set(monkeypatch):
    color = BYTES.expand(-1, 3, -1, -1)
    pairs = [(color[index].numpy(), LABELS[index]) for index in range(6)]
    parts = {"train": (color, LABELS), "test": (color, LABELS), "unlabeled": pairs[:4]}
    data = read(monkeypatch, parts, classes=[0, "2"], num_labeled=2)
    assert data.class_names == ("0", "2")
    assert data.test.labels.tolist() == [0, 1, 0, 1]
    assert torch.equal(data.unlabeled_images, torch.cat([color[:4], color[[3, 5]]]))
    assert read(monkeypatch, {"train": Pictures(), "test": Pictures()}).class_names == (
        Pictures.classes
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (None, "my_data.load must return a dict with train, test, unlabeled, class_names, not N"),
        ({"tests": 1}, "not ['train', 'test', 'tests']."),
        ({"train": BYTES}, "train must be a pair (images, labels) or a Dataset of such pairs"),
        ({"train": 5}, "train must be a pair (images, labels) or a Dataset of such pairs, not int"),
        ({"train": (BYTES, LABELS, 1)}, "of such pairs, not 3 values"),
        ({"train": (BYTES, LABELS[1:])}, "train has 6 images and 5 labels"),
        ({"train": (BYTES, np.array(LABELS) / 2)}, "labels must be integers of shape (N,), not"),
        ({"train": (BYTES, [LABELS] * 6)}, "of shape (N,), not torch.int64 of shape (6, 6)"),
        ({"train": (BYTES, ["cat"] * 6)}, "train: labels must be numbers"),
        ({"train": (BYTES[0], LABELS)}, "train has 1 images and 6 labels"),
        ({"train": (BYTES.flatten(1), LABELS)}, "not (6, 20)"),
        ({"train": (BYTES.expand(-1, 2, -1, -1), LABELS)}, "with 1 or 3 channels and 4 or more"),
        ({"train": (BYTES[:, :, :3], LABELS)}, "4 or more pixels a side, not (6, 1, 3, 5)"),
        ({"train": (BYTES[:0], LABELS[:0])}, "train has no images"),
        ({"train": (BYTES * 1.0, LABELS)}, "bytes 0 to 255 or floats 0 to 1, not torch.float32"),
        ({"train": (BYTES.int() * 9, LABELS)}, "or floats 0 to 1, not torch.int32 0 to 1071."),
        ({"train": (BYTES / np.nan, LABELS)}, "not torch.float32 nan to nan"),
        ({"train": ([BYTES[0], BYTES[0, :, :3]], [0, 1])}, "images must be numbers, equally many"),
        ({"test": (BYTES.permute(0, 1, 3, 2), LABELS)}, "images of test have the shape (1, 5, 4)"),
        ({"unlabeled": BYTES[:, :, :, :4]}, "images of unlabeled have the shape (1, 4, 4)"),
        ({"unlabeled": 7}, "unlabeled must be images, not int"),
        ({"test": (BYTES, [5] * 6)}, "labels of test are 5 to 5, not 0 to 2"),
        ({"train": (BYTES, [-1, *LABELS[1:]])}, "labels of train are -1 to 2, not 0 to 2"),
        ({"class_names": ["a", "b"]}, "labels of train are 0 to 2, not 0 to 1"),
        ({"class_names": ["a", "a"]}, "class_names must be 2 or more different names"),
    ],
)
def test_what_is_not_as_expected_is_one_line_that_names_the_function(monkeypatch, changes, message):
    parts = {"train": (BYTES, LABELS), "test": (BYTES, LABELS)}
    with pytest.raises(DataError, match=r"^my_data\.load") as caught:
        read(monkeypatch, None if changes is None else parts | changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_that_does_not_exist_is_named(monkeypatch):
    parts = {"train": (BYTES, LABELS), "test": (BYTES, LABELS)}
    message = re.escape("data.classes=['cat']: must be of 0, 1, 2")
    with pytest.raises(ConfigError, match=message):
        read(monkeypatch, parts, classes=[0, "cat"])
