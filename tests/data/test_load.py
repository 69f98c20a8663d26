import pytest
import torch

from sgan_lab.data.augmentation import Augmentation
from sgan_lab.data.catalog import DATA_SETS
from sgan_lab.data.load import load
from sgan_lab.errors import ConfigError


def test_what_is_read_is_split_as_asked_and_named_as_in_the_catalog():
    split = {"labeled_split": "random", "batch_size": 7, "num_validation": 50}
    split["augmentation"] = {"crop": 0.5}
    data = load("digits", num_labeled=100, label_seed=3, **split)
    assert data.class_names == DATA_SETS["digits"].class_names
    assert (data.batch_size, data.augmentation) == (7, Augmentation(crop=0.5))
    assert data.labeled.labels.bincount().tolist() == [10] * 10
    assert data.validation.labels.bincount().tolist() == [5] * 10
    assert len(data.unlabeled_images) == 1437 - 150
    del split["augmentation"]
    assert load("digits", num_labeled=100, **split).augmentation == Augmentation()
    some = load("digits", num_labeled=30, classes=["3", 5], unlabeled_classes=["7"], **split)
    assert some.class_names == ("3", "5")


def test_a_name_that_is_not_in_the_catalog_is_refused():
    with pytest.raises(ConfigError, match=r"data.name=MNST: must be one of MNIST, FashionMNIST,"):
        load("MNST", num_labeled=1, labeled_split="first", batch_size=1)


def test_a_papers_split_can_be_replayed_by_its_indices(tmp_path):
    (tmp_path / "list.txt").write_text("5\n1436\n0")
    split = {"num_labeled": None, "labeled_split": "first", "batch_size": 1, "num_unlabeled": 300}
    data = load("digits", labeled_list=str(tmp_path / "list.txt"), **split)
    everything = load("digits", **split | {"num_unlabeled": None}).labeled
    assert torch.equal(data.labeled.images, everything.images[[0, 5, 1436]])
    assert torch.equal(data.labeled.labels, everything.labels[[0, 5, 1436]])
    assert len(data.unlabeled_images) == 300
