"""Any data set of the catalog, by its name."""

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from sgan_lab.data.catalog import DATA_SETS
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.data.splits import listed_images, split_training_set
from sgan_lab.errors import ConfigError


def load(
    name: str, root: str | None = None, labeled_list: str | None = None, **split: Any
) -> SemiSupervisedData:
    """Read a data set and split its training images into labeled, unlabeled and validation images.

    Args:
        name: key of `DATA_SETS`.
        root: folder that holds the data set, or into which it is downloaded; None for `data` in
            the current folder. "digits" needs no folder.
        labeled_list: a file that lists the labeled images, by their indices in the training set.
        split: the arguments of `split_training_set` from `num_labeled` on.

    Raises:
        ConfigError: there is no such data set, or see `split_training_set`.
        DataError: the files are missing and cannot be downloaded, or are damaged; or see
            `listed_images`.
    """
    if name not in DATA_SETS:
        raise ConfigError("data.name", name, f"must be one of {', '.join(DATA_SETS)}")
    data_set = DATA_SETS[name]
    train, test = resolve_name(data_set.reader)(name, Path(root or "data").expanduser())
    if labeled_list is not None:
        split["listed"] = listed_images(Path(labeled_list), len(train.labels))
    return split_training_set(train, test, data_set.class_names, **split)
