"""What a configuration may have called: a `_target_` could come from anybody's config.yaml."""

from collections.abc import Iterator
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sgan_lab.errors import ConfigError

PACKAGES = ("sgan_lab", "torch", "torchvision", "pytorch_lightning", "torchmetrics")
DATA_FUNCTIONS = (
    "sgan_lab.data.torchvision_images",
    "sgan_lab.data.digits",
    "sgan_lab.data.image_folder",
)
ALLOWED = f"must be a class of {', '.join(PACKAGES)}, or one of {', '.join(DATA_FUNCTIONS)}"


def check_packages(config: DictConfig) -> None:
    """Check the packages that a configuration's targets name, without importing them.

    Those of Hydra itself, which it checks and calls before anything else, are left out.

    Raises:
        ConfigError: one is not allowed.
    """
    content = OmegaConf.to_container(config)
    content.pop("hydra", None)
    for key, target in targets(content):
        if not isinstance(target, str) or target.split(".")[0] not in PACKAGES:
            raise ConfigError(key, target, ALLOWED)


def check_targets(config: DictConfig) -> None:
    """Check what a configuration's targets are: `torch.os.system` is no class of torch.

    Raises:
        ConfigError: one is not allowed.
    """
    check_packages(config)
    for key, target in targets(OmegaConf.to_container(config)):
        if target in DATA_FUNCTIONS:
            continue
        try:
            found = get_object(target)
        except Exception as error:
            raise ConfigError(key, target, "cannot be imported") from error
        if not isinstance(found, type) or found.__module__.split(".")[0] not in PACKAGES:
            raise ConfigError(key, target, ALLOWED)


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All `_target_` of a configuration, at any depth, with their keys."""
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for name, value in children:
        key = f"{path}.{name}" if path else str(name)
        if name == "_target_":
            yield key, value
        elif isinstance(value, dict | list):
            yield from targets(value, key)
