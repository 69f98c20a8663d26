"""Where the configuration files are; those that another may have written or a disk damaged."""

import contextlib
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from sgan_lab.errors import DataError, reason

PACKAGE = Path(__file__).parent.parent
# In a wheel the configs are inside the package, in a checkout beside it.
CONFIG_PATH = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())
MAX_BYTES = 100_000  # of a file; a run's are some thousand
FLAT_TARGET = re.compile(r"sgan_lab\.\w+\.\w+")  # of version 0.1, which had no folders


def with_own_files(arguments: Sequence[str]) -> list[str]:
    """Command line arguments with `--config-dir=conf` where the current folder has its own conf/.

    To go on with a run, which may be a stranger's, the folder must be given again.
    """
    options, _ = get_args_parser().parse_known_args(arguments)
    given = (options.config_dir, options.config_path, options.config_name)
    resumes = any(text.startswith(("resume=", "sweep.resume=")) for text in options.overrides)
    own = Path("conf")
    if any(given) or resumes or not own.is_dir() or own.samefile(CONFIG_PATH):
        return list(arguments)
    return [f"--config-dir={own}", *arguments]


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads YAML as OmegaConf does, ten times as fast where PyYAML has libyaml."""

    yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers


def read_config(path: Path) -> dict[str, Any]:
    """Read a file of settings that a run has left.

    Raises:
        DataError: it is none, cannot be read, is larger than any configuration, or is of a run of
            version 0.1.
    """
    with unreadable(path):
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for ever
            raise ValueError("it is no regular file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
        if "*" in text and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("it has aliases, which could be of any number of values")
        config = yaml.load(text, Loader)
        if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
            raise ValueError("it holds something else than settings by name")
        groups = [group for group in config.values() if isinstance(group, dict)]
        targets = [str(group.get("_target_")) for group in groups]
        if any(map(FLAT_TARGET.fullmatch, targets)) or "log_interval" in (
            config.get("model") or ()
        ):
            raise ValueError("it is a run of sgan_lab 0.1, which this version cannot go on with")
    return config


def load_config(path: Path) -> DictConfig:
    """Load a file of settings that a run has left; errors are those of `read_config`."""
    values = read_config(path)
    with unreadable(path):
        return OmegaConf.create(values)


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Report each error of YAML and OmegaConf, which have their own, as one of a file."""
    try:
        yield
    except Exception as error:
        raise DataError(f"{path} is no readable configuration: {reason(error)}") from error
