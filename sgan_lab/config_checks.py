"""Checks of the configuration before anything is loaded or written.

Hydra refuses misspelled keys and groups; `explain` adds what may have been meant. The allowed
values are here, one rule a key. `CheckConfig` applies them before Hydra makes a run folder, for a
sweep to all of its jobs before the first one starts.
"""

import difflib
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from sgan_lab.errors import ConfigError, UserError

# Training images by the `_target_` of a data config, where they are known before loading.
TRAINING_IMAGES = {"sgan_lab.data.torchvision_images": 60000, "sgan_lab.data.digits": 1437}
CLASSES = 10  # of each of them

ABSENT = object()
EXPLAINED = (UserError, HydraException, OmegaConfBaseException)


class Integer(NamedTuple):
    """Rule: an integer in a range."""

    minimum: int
    maximum: float = math.inf
    or_null: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        if value is None:
            return self.or_null
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and self.minimum <= value <= self.maximum

    def __str__(self) -> str:
        limits = f">= {self.minimum}"
        if self.maximum < math.inf:
            limits = f"{self.minimum} to {self.maximum}"
        return f"must be an integer {limits}" + (" or null" if self.or_null else "")


class PositiveNumber(NamedTuple):
    """Rule: a finite number above 0."""

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and value > 0

    def __str__(self) -> str:
        return "must be a finite number > 0"


class OneOf(NamedTuple):
    """Rule: one of some values."""

    values: Sequence[Any]

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        return value in self.values and not isinstance(value, bool)

    def __str__(self) -> str:
        return f"must be one of {', '.join(map(str, self.values))}"


class ImageSize(NamedTuple):
    """Rule: height and width in pixels."""

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        is_pair = isinstance(value, ListConfig) and len(value) == 2
        return is_pair and all(Integer(4).allows(side) for side in value)

    def __str__(self) -> str:
        return "must be [height, width], integers >= 4"


class Text(NamedTuple):
    """Rule: a text that is not empty."""

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        return isinstance(value, str) and bool(value.strip())

    def __str__(self) -> str:
        return "must be a text that is not empty"


RULES = {
    "seed": Integer(0, 2**32 - 1),
    "iterations": Integer(1),
    "sample_interval": Integer(1),
    "num_threads": Integer(1, or_null=True),
    "data.root": Text(),
    "data.batch_size": Integer(1),
    "data.labeled_split": OneOf(["first", "balanced"]),
    "data.image_size": ImageSize(),
    "data.channels": OneOf([1, 3]),
    "model.epochs": Integer(1),
    "model.log_interval": Integer(1),
    "model.learning_rate": PositiveNumber(),
    "model.labeled_learning_rate": PositiveNumber(),
    "model.unlabeled_learning_rate": PositiveNumber(),
    "model.generator_learning_rate": PositiveNumber(),
    "callbacks.samples.num_images": Integer(1),
}


def check_values(config: DictConfig) -> None:
    """Check all values of one job.

    Raises:
        ConfigError: a value is not allowed, or a mandatory one is missing.
    """
    for group in ("data", "model"):
        for key in OmegaConf.missing_keys(config[group]):
            raise ConfigError(key, "???", "has no default and must be given")
    for key, rule in (RULES | {"data.num_labeled": num_labeled_rule(config)}).items():
        value = OmegaConf.select(config, key, default=ABSENT)
        if value is not ABSENT and not rule.allows(value):
            raise ConfigError(key, value, str(rule))
    balanced = config.data.get("labeled_split") == "balanced"
    if config.data._target_ in TRAINING_IMAGES and balanced and config.data.num_labeled < CLASSES:
        raise ConfigError(
            "data.num_labeled",
            config.data.num_labeled,
            f"must be at least the number of classes ({CLASSES}) with data.labeled_split=balanced",
        )


def num_labeled_rule(config: DictConfig) -> Integer:
    """The rule for `data.num_labeled`, which depends on the data set."""
    maximum = TRAINING_IMAGES.get(config.data._target_, math.inf)
    return Integer(1, maximum, or_null=maximum == math.inf)


def check_folder(key: str, folder: str) -> None:
    """Make a run folder, and check that it is empty and can be written to.

    Raises:
        ConfigError: it is not, or cannot.
    """
    make_writable(key, folder)
    if any(Path(folder).iterdir()):
        raise ConfigError(key, folder, "already holds a run; must be a new or empty folder")


def check_loggers(config: DictConfig) -> None:
    """Check that a folder named for a logger, other than the run folder, can be written to.

    Raises:
        ConfigError: it cannot.
    """
    for name, logger in config.logger.items():
        if "save_dir" in logger and not OmegaConf.is_interpolation(logger, "save_dir"):
            make_writable(f"logger.{name}.save_dir", logger.save_dir)


def make_writable(key: str, folder: str) -> None:
    """Make a folder and write to it.

    Raises:
        ConfigError: it cannot be made or written.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ConfigError(key, folder, f"cannot be written: {error.strerror}") from error


def sweep_jobs(config: DictConfig) -> list[DictConfig]:
    """The configurations of all jobs of a sweep; none for a sweeper that decides as it goes."""
    if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
        return []
    arguments = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    overrides = parser.parse_overrides(arguments + list(config.hydra.overrides.task))
    (jobs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [loader.load_sweep_config(config, list(job)) for job in jobs]


class CheckConfig(Callback):
    """Hydra callback: ends the program with one message where the configuration is not allowed."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check one run."""
        with exit_on_error():
            check_values(config)
            check_loggers(config)
            check_folder("hydra.run.dir", config.hydra.run.dir)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check all jobs of a sweep."""
        with exit_on_error():
            jobs = sweep_jobs(config)
            for job in jobs:
                check_values(job)
            for job in jobs:  # makes folders, so only once all values are known to be good
                check_loggers(job)
            check_folder("hydra.sweep.dir", config.hydra.sweep.dir)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End the program with a message; Hydra would turn a callback's error into a warning."""
    try:
        yield
    except EXPLAINED as error:
        raise SystemExit(explain(error)) from error


def explain(error: Exception) -> str:
    """An error as a message for the user, with near matches of a misspelled name."""
    if isinstance(error, InstantiationException):
        if isinstance(error.__cause__, UserError):
            return str(error.__cause__)
        return f"{error}\nSet HYDRA_FULL_ERROR=1 for the traceback."
    lines = [str(error), did_you_mean(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.insert(1, str(error.__cause__))
        lines.append(did_you_mean(error.__cause__))
    return "\n".join(filter(None, lines))


def did_you_mean(error: Exception) -> str:
    """Near matches of the name that an error is about, or nothing."""
    if isinstance(error, MissingConfigException):
        name, names = (error.missing_cfg_file or "").split("/")[-1], error.options or []
    elif isinstance(error, ConfigAttributeError | ConfigKeyError):
        name, names = str(error.key), [str(key) for key in error.parent_node or []]
    else:
        return ""
    matches = difflib.get_close_matches(name, names, cutoff=0.7)
    return f"Did you mean {' or '.join(matches)}?" if matches else ""
