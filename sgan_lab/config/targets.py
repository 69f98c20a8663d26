"""Which classes and functions are made from what a stranger may have written: a run's folder."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sgan_lab.errors import ConfigError

# Where the classes are that a configuration has use for. Elsewhere in torch and Lightning there are
# classes that run a command or code when they are made.
PLACES = (
    "sgan_lab",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.loggers",
    "pytorch_lightning.plugins",
    "pytorch_lightning.profilers",
    "pytorch_lightning.strategies",
    "pytorch_lightning.trainer",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
)
DATA_FUNCTIONS = (
    "sgan_lab.data.load.load",
    "sgan_lab.data.image_folder.image_folder",
    "sgan_lab.data.own.own_data",
)
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")  # a dotted name
CODE_KEYS = ("_target_", "discriminator", "metrics")  # name classes or functions, which are called


def is_trusted(target: object, named: set[str]) -> bool:
    """Whether a run folder may name a target: a data function or class of the known packages.

    It may also be of a package that the user has named.
    """
    if not isinstance(target, str):
        return False
    if target in DATA_FUNCTIONS or target.split(".")[0] in named:
        return True
    if not is_in(target, PLACES):
        return False
    try:
        found = get_object(target)
    except Exception:  # an import can raise anything
        return False
    # By where it is defined: sgan_lab.jobs.cluster.subprocess.Popen is a class, too.
    return isinstance(found, type) and is_in(found.__module__, PLACES)


def is_in(name: str, places: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of some places or below one."""
    return any(f"{name}.".startswith(f"{place}.") for place in places)


def code_names(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Of values by dotted key, as `nodes` gives them, those that name a class or function.

    A name without a dot is one of this package's own, such as that of a network.
    """
    for key, value in values:
        last = next((part for part in reversed(key.split(".")) if not part.isdecimal()), "")
        is_short = last != "_target_" and isinstance(value, str | None) and "." not in f"{value}"
        if last in CODE_KEYS and not isinstance(value, dict | list) and not is_short:
            yield key, value


def check_resolved(config: DictConfig) -> None:
    """Raise a ConfigError where a resolved text holds `${` and would be resolved once more.

    `${oc.env:SECRET}` may be put together of two others.
    """
    for key, value in nodes(OmegaConf.to_container(config)):
        if isinstance(value, str) and "${" in value:
            raise ConfigError(key, value, "must not hold ${ once the configuration is resolved")


def nodes(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values below a dict or list, at any depth, with their dotted keys."""
    children = content.items() if isinstance(content, dict) else enumerate(content)
    for name, value in children:
        key = f"{path}.{name}" if path else str(name)
        yield key, value
        if isinstance(value, dict | list):
            yield from nodes(value, key)
