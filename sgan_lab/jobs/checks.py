"""Checks of the folders that a run writes to, before Hydra makes the first of them."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from sgan_lab.config.checks import check_values, exit_on_error
from sgan_lab.errors import ConfigError
from sgan_lab.jobs import owner
from sgan_lab.jobs.resume import check_resumed_run


class CheckConfig(Callback):
    """Hydra callback: ends the program with one message where a run's configuration is not allowed.

    Of sweeps, see `sgan_lab.jobs.sweep.Sweep`.
    """

    has_passed: ClassVar[bool] = False  # whether a run is composed and checked

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check one run."""
        with exit_on_error((Exception,)):
            check_run(config)
        CheckConfig.has_passed = True


def check_run(config: DictConfig) -> None:
    """Check one run, then make its folder and own it; a UserError says what is not allowed."""
    check_values(config)
    check_loggers(config)
    if config.resume is None:
        check_folder("hydra.run.dir", config.hydra.run.dir)
    else:
        check_resumed_run(config)


def check_folder(key: str, folder: str) -> None:
    """Make a run folder and own it.

    Raises:
        ConfigError: it is not empty, or cannot be written to.
        InUseError: another process owns it.
    """
    check_writable(key, folder)
    Path(folder).mkdir(parents=True, exist_ok=True)
    owner.own(Path(folder))
    if any(path.name != owner.FILE for path in Path(folder).iterdir()):
        raise ConfigError(key, folder, "already holds a run; must be a new or empty folder")


def check_loggers(config: DictConfig) -> None:
    """Raise a ConfigError where a folder named for a logger or callback cannot be written to.

    The run's own folder is not meant.
    """
    for group, place in (("logger", "save_dir"), ("callbacks", "dirpath")):
        for name, settings in config[group].items():
            if place in settings and not OmegaConf.is_interpolation(settings, place):
                key, folder = f"{group}.{name}.{place}", settings[place]
                if not isinstance(folder, str) or not folder.strip("\0 "):
                    raise ConfigError(key, folder, "must be a text that is not empty")
                check_writable(key, folder)


def check_writable(key: str, folder: str) -> None:
    """Raise a ConfigError where a folder can neither be written to nor made; it is not made."""
    try:
        path = Path(folder).absolute()
        existing = next(each for each in (path, *path.parents) if each.exists())
        tempfile.TemporaryFile(dir=existing).close()
    except (OSError, ValueError) as error:  # a ValueError for what is no path
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(key, folder, f"cannot be written: {reason}") from error
