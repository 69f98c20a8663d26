"""What a configuration may have called: a `_target_` could come from anybody's config.yaml."""

from collections.abc import Iterator, Sequence
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
# What Hydra itself makes: its callbacks, and the launchers, sweepers and samplers of its plugins.
HYDRA_PLACES = ("sgan_lab", "hydra", "hydra_plugins", "optuna.samplers")
DATA_FUNCTIONS = (
    "sgan_lab.data.load.load",
    "sgan_lab.data.image_folder.image_folder",
)
ALLOWED = f"must be a class of {', '.join(PLACES)}, or one of {', '.join(DATA_FUNCTIONS)}"


def is_in(name: object, places: Sequence[str]) -> bool:
    """Whether a dotted name is one of some places or below one."""
    return isinstance(name, str) and any(f"{name}.".startswith(f"{place}.") for place in places)


def check_packages(config: DictConfig) -> None:
    """Check the places that a configuration's targets name, without importing them.

    Raises:
        ConfigError: one is not allowed.
    """
    content = OmegaConf.to_container(config)
    content.pop("hydra", None)  # see check_hydra_targets
    for key, target in targets(content):
        if not is_in(target, PLACES):
            raise ConfigError(key, target, ALLOWED)


def check_targets(config: DictConfig) -> None:
    """Check what the targets of a run's configuration are: `sgan_lab.data.os.system` is no class.

    Raises:
        ConfigError: one is not allowed, or a value is not resolved and could become one.
    """
    check_packages(config)
    content = OmegaConf.to_container(config)
    for key, value in nodes(content):
        if isinstance(value, str) and "${" in value:
            raise ConfigError(key, value, "must not hold ${ once the configuration is resolved")
    for key, target in targets(content):
        if target not in DATA_FUNCTIONS:
            check_class(key, target, PLACES, ALLOWED)


def check_hydra_targets(config: DictConfig) -> None:
    """Check what Hydra will make for itself, before it does: by a `_target_` below `hydra`.

    Raises:
        ConfigError: one is not allowed.
    """
    allowed = f"must be a class of {', '.join(HYDRA_PLACES)}"
    for key, target in targets(OmegaConf.to_container(config.hydra), "hydra"):
        if not is_in(target, HYDRA_PLACES):
            raise ConfigError(key, target, allowed)
        check_class(key, target, HYDRA_PLACES, allowed)


def check_class(key: str, target: str, places: Sequence[str], allowed: str) -> None:
    """Check that a target is a class, and one that is defined in some places.

    Raises:
        ConfigError: it is not.
    """
    try:
        found = get_object(target)
    except Exception as error:
        raise ConfigError(key, target, "cannot be imported") from error
    if not isinstance(found, type) or not is_in(found.__module__, places):
        raise ConfigError(key, target, allowed)


def targets(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All `_target_` of a configuration, at any depth, with their keys."""
    return (found for found in nodes(content, path) if found[0].split(".")[-1] == "_target_")


def nodes(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values of a configuration, at any depth, with their keys."""
    children = content.items() if isinstance(content, dict) else enumerate(content)
    for name, value in children:
        key = f"{path}.{name}" if path else str(name)
        yield key, value
        if isinstance(value, dict | list):
            yield from nodes(value, key)
