"""Where the configuration files are; those that another may have written or a disk damaged."""

import stat
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from sgan_lab.errors import DataError

PACKAGE = Path(__file__).parent.parent
# In a wheel the configs are inside the package, in a checkout beside it.
CONFIG_PATH = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())
MAX_BYTES = 100_000  # of a file; a run's are some thousand
MAX_VALUES = 10_000  # of a file with its aliases written out, as OmegaConf does


def load_config(path: Path) -> DictConfig:
    """Load a file of settings.

    Raises:
        DataError: it is none, cannot be read, or is larger than any configuration.
    """
    try:
        check_size(path)
        config = OmegaConf.load(path)
        check_keys(config)
    except Exception as error:  # YAML and OmegaConf each have their own
        raise unreadable(path, error) from error
    return config


def unreadable(path: Path, error: Exception) -> DataError:
    """An error of reading a file of settings, as one line that names the file."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path} is no readable configuration: {reason}")


def check_keys(config: DictConfig | ListConfig) -> None:
    """Check that a file holds settings by name.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(config, DictConfig) or not all(isinstance(key, str) for key in config):
        raise ValueError("it holds something else than settings by name")


def check_size(path: Path) -> None:
    """Check that a YAML file is no larger than a configuration, also with its aliases written out.

    Raises:
        ValueError: it is larger, no regular file, or no UTF-8.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for ever
        raise ValueError("it is no regular file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    text = path.read_text(encoding="utf-8")
    if "*" in text and num_values(yaml.compose(text, Loader=yaml.SafeLoader), {}) > MAX_VALUES:
        raise ValueError(f"with its aliases written out it has more than {MAX_VALUES:,} values")


def num_values(node: yaml.Node | None, known: dict[yaml.Node, float]) -> float:
    """How many values a YAML node holds with its aliases written out; infinite if it holds itself.

    Args:
        node: a scalar, a list or a mapping.
        known: the numbers of the nodes that were counted before.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if node not in known:
        known[node] = float("inf")
        pairs = isinstance(node, yaml.MappingNode)
        children = [value for pair in node.value for value in pair] if pairs else node.value
        known[node] = 1 + sum(num_values(child, known) for child in children)
    return known[node]
