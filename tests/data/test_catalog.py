import hashlib
import itertools
from pathlib import Path
from pkgutil import resolve_name

import pytest
from omegaconf import OmegaConf
from torchvision import datasets

from sgan_lab.data.catalog import DATA_SETS, IDX

CONF = Path(__file__).parent.parent.parent / "conf" / "data"
MNIST_LIKE = [name for name, data_set in DATA_SETS.items() if data_set.reader == IDX]
SUPERCLASSES = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things
    large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
    non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""  # of CIFAR-100


@pytest.mark.parametrize("name", MNIST_LIKE)
def test_the_classes_of_the_mnist_family_are_those_that_torchvision_names(name):
    named = [each.split(" - ")[0] for each in getattr(datasets, name).classes]
    assert DATA_SETS[name].class_names == tuple(named)


def pickled(content):
    """The bytes that Python 2 pickled a dictionary of numbers and lists of texts to."""
    numbers = itertools.count(1)

    def stored(value):
        if isinstance(value, int):
            return b"M" + value.to_bytes(2, "little")
        if isinstance(value, str):
            return b"U" + bytes([len(value)]) + value.encode() + b"q" + bytes([next(numbers)])
        return b"]q" + bytes([next(numbers)]) + b"(" + b"".join(map(stored, value)) + b"e"

    start = b"\x80\x02}q" + bytes([next(numbers)]) + b"("
    return start + b"".join(stored(key) + stored(content[key]) for key in content) + b"u."


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("CIFAR10", {"num_cases_per_batch": 10_000}, {"num_vis": 3 * 32 * 32}),
        ("CIFAR100", {}, {"coarse_label_names": SUPERCLASSES.split()}),
    ],
)
def test_the_classes_of_cifar_are_those_in_the_file_whose_sum_torchvision_knows(
    name, before, after
):
    meta = getattr(datasets, name).meta
    content = pickled(before | {meta["key"]: DATA_SETS[name].class_names} | after)
    assert hashlib.md5(content).hexdigest() == meta["md5"]


def test_digits_are_as_many_and_as_large_as_in_the_catalog():
    data_set = DATA_SETS["digits"]
    parts = resolve_name(data_set.reader)("digits", Path())
    for images, count in zip(parts, (data_set.training_images, data_set.test_images), strict=True):
        assert images.images.shape == (count, *data_set.image_shape)
        assert images.labels.unique().tolist() == list(range(10))


@pytest.mark.parametrize("name", DATA_SETS)
def test_each_data_set_has_a_reader_and_one_file_that_names_it(name):
    assert callable(resolve_name(DATA_SETS[name].reader))
    files = [OmegaConf.load(path).get("name") for path in CONF.glob("*.yaml")]
    assert files.count(name) == 1
