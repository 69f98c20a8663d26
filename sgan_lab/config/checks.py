"""Checks of the configuration before anything is loaded or written.

Hydra refuses misspelled keys and groups; `explain` adds what may have been meant. The allowed
values are here, one rule a key. `CheckConfig` applies them before Hydra makes a run folder;
`sgan_lab.jobs.sweep` to all jobs of a sweep before the first one starts.
"""

import difflib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from sgan_lab.config.files import CONFIG_PATH, load_config
from sgan_lab.config.settings import experiment_settings
from sgan_lab.config.targets import check_packages
from sgan_lab.errors import ConfigError, UserError
from sgan_lab.jobs import owner
from sgan_lab.jobs.resume import check_resumed_run

# Training images by `data.name`, or the `_target_` of a data config that has none, where they are
# known before loading.
TRAINING_IMAGES = {
    "MNIST": 60000,
    "FashionMNIST": 60000,
    "KMNIST": 60000,
    "CIFAR10": 50000,
    "SVHN": 73257,
    "sgan_lab.data.digits.digits": 1437,
}
DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker")
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
CLASSES = {  # of these data sets, by `data.name`; digits of the others
    "FashionMNIST": (*FASHION, "Bag", "Ankle boot"),
    "CIFAR10": ("airplane", "automobile", *ANIMALS, "ship", "truck"),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
FEATURE_MATCHING = "sgan_lab.algorithms.feature_matching.FeatureMatching"
BAD_GAN = "sgan_lab.algorithms.bad_gan.BadGAN"

EXTRAS = ("joblib", "submitit", "optuna")  # of this package, with launchers and sweepers so named
LARGEST = 2**31 - 1
ABSENT = object()
EXPLAINED = (UserError, HydraException, OmegaConfBaseException, OSError)


class Integer(NamedTuple):
    """Rule: an integer in a range."""

    minimum: int
    maximum: int = LARGEST
    or_null: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        if value is None:
            return self.or_null
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and self.minimum <= value <= self.maximum

    def __str__(self) -> str:
        limits = f"{self.minimum} to {self.maximum}"
        if self.maximum == LARGEST:
            limits = f">= {self.minimum} and < 2^31"
        return f"must be an integer {limits}" + (" or null" if self.or_null else "")


class PositiveNumber(NamedTuple):
    """Rule: a finite number above 0."""

    or_null: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        if value is None:
            return self.or_null
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and 0 < value <= sys.float_info.max

    def __str__(self) -> str:
        return "must be a finite number > 0" + (" or null" if self.or_null else "")


class Number(NamedTuple):
    """Rule: a number in a range."""

    minimum: float
    maximum: float
    below: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and self.minimum <= value <= self.maximum):
            return False
        return not (self.below and value == self.maximum)

    def __str__(self) -> str:
        return (
            f"must be a number >= {self.minimum} and {'<' if self.below else '<='} {self.maximum}"
        )


class OneOf(NamedTuple):
    """Rule: one of some values."""

    values: Sequence[Any]

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        return any(type(value) is type(allowed) and value == allowed for allowed in self.values)

    def __str__(self) -> str:
        names = ("null" if value is None else str(value) for value in self.values)
        return f"must be one of {', '.join(names)}"


class ImageSize(NamedTuple):
    """Rule: height and width in pixels."""

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        is_pair = isinstance(value, ListConfig) and len(value) == 2
        return is_pair and all(Integer(4, 4096).allows(side) for side in value)

    def __str__(self) -> str:
        return "must be [height, width], integers >= 4 and <= 4096"


class Classes(NamedTuple):
    """Rule: some of a data set's classes, by name."""

    names: Sequence[str]
    minimum: int

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        if value is None:
            return True
        chosen = [str(name) for name in value] if isinstance(value, ListConfig) else []
        known = set(chosen) & set(self.names)
        return len(known) == len(chosen) >= self.minimum

    def __str__(self) -> str:
        names = ", ".join(self.names)
        return f"must be null or a list of {self.minimum} or more different classes of {names}"


class Text(NamedTuple):
    """Rule: a text that is not empty, as the name of a folder."""

    or_null: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        if value is None:
            return self.or_null
        return isinstance(value, str) and bool(value.strip()) and "\0" not in value

    def __str__(self) -> str:
        return "must be a text that is not empty" + (" or null" if self.or_null else "")


class Group(NamedTuple):
    """Rule: settings by key."""

    def allows(self, value: Any) -> bool:
        """Whether a value keeps the rule."""
        return isinstance(value, DictConfig)

    def __str__(self) -> str:
        return "must be a group of settings"


RULES = {
    "seed": Integer(0, 2**32 - 1),
    "iterations": Integer(1),
    "sample_interval": Integer(1),
    "num_threads": Integer(1, 1024, or_null=True),
    "resume": Text(or_null=True),
    "sweep.resume": Text(or_null=True),
    "data.name": OneOf(["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "SVHN"]),
    "data.root": Text(),
    "data.batch_size": Integer(1, 100_000),
    "data.labeled_split": OneOf(["first", "balanced", "random"]),
    "data.label_seed": Integer(0, 2**32 - 1),
    "data.augmentation": Number(0, 3),
    "data.image_size": ImageSize(),
    "data.channels": OneOf([1, 3]),
    "model.epochs": Integer(1),
    "model.log_interval": Integer(1),
    "model.learning_rate": PositiveNumber(),
    "model.labeled_learning_rate": PositiveNumber(),
    "model.unlabeled_learning_rate": PositiveNumber(),
    "model.generator_learning_rate": PositiveNumber(),
    "model.discriminator": OneOf(["strided", "pooling", "mlp"]),
    "model.generator_channels": Integer(4, 4096),
    "model.cuda_graph": OneOf([False, True]),
    "model.compile": OneOf([None, "inductor", "eager"]),
    "model.joint_update": OneOf([False, True]),
    "model.feature_matching": OneOf([False, True]),
    "model.label_smoothing": Number(0, 1, below=True),
    "model.learning_rate_decay": Number(0, 1),
    "model.beta1": Number(0, 1, below=True),
    "model.beta2": Number(0, 1, below=True),
    "model.averaging_rate": PositiveNumber(or_null=True),
    "model.unlabeled_weight": PositiveNumber(),
    "model.weight": Number(0, 1_000_000),
    "model.consistency_weight": Number(0, 1_000_000),
    "model.target_dropout": OneOf([False, True]),
    "model.distribution_alignment": OneOf([False, True]),
    "model.unlabeled_batches": Integer(1, 1000),
    "model.ramp_up": Number(0, 1),
    "model.threshold": Number(0, 1, below=True),
    "model.epsilon": PositiveNumber(),
    "model.power_iterations": Integer(1, 1000),
    "model.entropy_weight": Number(0, 1_000_000),
    "model.feature_matching_weight": Number(0, 1_000_000),
    "model.pull_away_weight": Number(0, 1_000_000),
    "model.low_density_weight": Number(0, 1_000_000),
    "model.low_density_start": Integer(0),
    "model.density_epochs": Integer(1),
    "trainer.precision": OneOf(["32-true", "bf16-mixed"]),
    "callbacks.samples.num_images": Integer(1, 10_000),
    "callbacks.checkpoint.keep": Integer(1),
}


def check_values(config: DictConfig) -> None:
    """Check all values of one job.

    Raises:
        ConfigError: a value is not allowed, or a mandatory one is missing.
    """
    check_groups(config)
    check_packages(config)
    for group in ("data", "model"):
        for key in OmegaConf.missing_keys(config[group]):
            raise ConfigError(key, "???", "has no default and must be given")
    experiment_settings(config)  # fails where a value cannot be resolved
    # check_model_keys(config)
    for key, rule in (RULES | data_rules(config) | model_rules(config)).items():
        value = OmegaConf.select(config, key, default=ABSENT)
        if value is not ABSENT and not rule.allows(value):
            raise ConfigError(key, value, str(rule))
    if num_training_images(config) is not None:
        num_classes = len(config.data.get("classes") or class_names(config))
        check_balance("data.num_validation", config.data.num_validation, num_classes)
        if config.data.labeled_split != "first":
            check_balance("data.num_labeled", config.data.num_labeled, num_classes)


def check_groups(config: DictConfig) -> None:
    """Check that the groups hold settings, and the loggers and callbacks, too.

    Raises:
        ConfigError: one does not.
    """
    for group in ("data", "model", "trainer", "logger", "callbacks", "sweep"):
        settings = OmegaConf.select(config, group)
        members = {group: settings}
        if group in ("logger", "callbacks") and Group().allows(settings):
            members |= {f"{group}.{name}": settings[name] for name in settings}
        for key, value in members.items():
            if not Group().allows(value):
                raise ConfigError(key, value, str(Group()))
            if key not in ("logger", "callbacks", "sweep") and "_target_" not in value:
                raise ConfigError(f"{key}._target_", None, "must be given")


def check_model_keys(config: DictConfig) -> None:
    """Check that all keys of the model are its own; an experiment may set those of another one.

    A model's own are in the file of conf/model that is named as its module.

    Raises:
        ConfigError: one is not.
    """
    files = {file.stem: file for file in (CONFIG_PATH / "model").glob("*.yaml")}
    *_, module, _ = ("", *config.model._target_.split("."))
    if module not in files:  # the user's own
        return
    own = load_config(files[module]).keys()
    for key in config.model.keys() - own:
        allowed = f"is no key of model={module}; must be one of {', '.join(sorted(own))}"
        raise ConfigError(f"model.{key}", config.model[key], allowed)


def num_training_images(config: DictConfig) -> int | None:
    """The size of the training set; None where it is not known before loading."""
    return TRAINING_IMAGES.get(str(config.data.get("name", config.data._target_)))


def class_names(config: DictConfig) -> Sequence[str]:
    """The classes of one of the `TRAINING_IMAGES`, in the order of its labels."""
    return CLASSES.get(str(config.data.get("name")), DIGITS)


def data_rules(config: DictConfig) -> dict[str, Integer | Classes]:
    """The rules for classes and numbers of images, by the data set and by each other."""
    images = num_training_images(config)
    if images is None:
        return {"data.num_validation": Integer(0), "data.num_labeled": Integer(1, or_null=True)}
    names = class_names(config)
    of_classes = {"data.classes": Classes(names, 2), "data.unlabeled_classes": Classes(names, 1)}
    if config.data.get("classes") is not None:  # how many images they have is known once loaded
        return {"data.num_validation": Integer(0), "data.num_labeled": Integer(1), **of_classes}
    num_validation = Integer(0, images - 1)
    held_out = config.data.num_validation
    free = images - held_out if num_validation.allows(held_out) else images
    return {
        "data.num_validation": num_validation,
        "data.num_labeled": Integer(1, free),
    } | of_classes


def model_rules(config: DictConfig) -> dict[str, Integer | PositiveNumber | Number]:
    """The rules that some models have in place of the general ones."""
    if config.model._target_ == "sgan_lab.algorithms.mean_teacher.MeanTeacher":
        return {"model.averaging_rate": PositiveNumber()}
    if config.model._target_ not in (FEATURE_MATCHING, BAD_GAN):
        return {}
    rules = {
        # Their batch normalization has no variance to divide by in a batch of one.
        "data.batch_size": Integer(2, 100_000),
        "callbacks.samples.num_images": Integer(2, 10_000),
        "model.averaging_rate": PositiveNumber(),
    }
    if config.model._target_ == BAD_GAN:
        rules["model.unlabeled_weight"] = Number(0, 1_000_000)
    return rules


def check_balance(key: str, value: int, num_classes: int) -> None:
    """Check a number of images that is divided among the classes.

    Raises:
        ConfigError: there are more classes than images.
    """
    if 0 < value < num_classes:
        raise ConfigError(
            key, value, f"must be at least the number of classes ({num_classes}) to be balanced"
        )


def check_folder(key: str, folder: str) -> None:
    """Make a run folder, own it, and check that it is empty and can be written to.

    Raises:
        ConfigError: it is not, or cannot.
        InUseError: another process owns it.
    """
    make_writable(key, folder)
    owner.own(Path(folder))
    if any(path.name != owner.FILE for path in Path(folder).iterdir()):
        raise ConfigError(key, folder, "already holds a run; must be a new or empty folder")


def check_loggers(config: DictConfig) -> None:
    """Check that a folder named for a logger or callback, other than the run's, can be written to.

    Raises:
        ConfigError: it cannot.
    """
    for group, place in (("logger", "save_dir"), ("callbacks", "dirpath")):
        for name, settings in config[group].items():
            if place in settings and not OmegaConf.is_interpolation(settings, place):
                key = f"{group}.{name}.{place}"
                if not Text().allows(settings[place]):
                    raise ConfigError(key, settings[place], str(Text()))
                make_writable(key, settings[place])


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


class CheckConfig(Callback):
    """Hydra callback: ends the program with one message where a run's configuration is not allowed.

    Of sweeps, see `sgan_lab.jobs.sweep.Sweep`.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check one run."""
        with exit_on_error((Exception,)):
            check_values(config)
            check_loggers(config)
            if config.resume is None:
                check_folder("hydra.run.dir", config.hydra.run.dir)
            else:
                check_resumed_run(config)


@contextmanager
def exit_on_error(errors: tuple[type[Exception], ...] = EXPLAINED) -> Iterator[None]:
    """End the program with a message; Hydra would turn a callback's error into a warning.

    Args:
        errors: those that do so.
    """
    try:
        yield
    except errors as error:
        raise SystemExit(explain(error)) from error


def explain(error: Exception) -> str:
    """An error as a message for the user, with near matches of a misspelled name."""
    if isinstance(error, InstantiationException):
        if isinstance(error.__cause__, UserError):
            return str(error.__cause__)
        return f"{error}\nSet HYDRA_FULL_ERROR=1 for the traceback."
    if not isinstance(error, EXPLAINED):
        return f"{type(error).__name__}: {error}\nSet HYDRA_FULL_ERROR=1 for the traceback."
    lines = [str(error), did_you_mean(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.insert(1, str(error.__cause__))
        lines.append(did_you_mean(error.__cause__))
    return "\n".join(filter(None, lines))


def did_you_mean(error: Exception) -> str:
    """Near matches of the name that an error is about, or nothing."""
    if isinstance(error, MissingConfigException):
        name, names = (error.missing_cfg_file or "").split("/")[-1], error.options or []
        extra = name.split("_")[0]
        if extra in EXTRAS:
            return f"It needs a plugin: pip install 'sgan-lab[{extra}]'"
    elif isinstance(error, ConfigAttributeError | ConfigKeyError):
        name, names = str(error.key), [str(key) for key in error.parent_node or []]
    else:
        return ""
    matches = difflib.get_close_matches(name, names, cutoff=0.7)
    return f"Did you mean {' or '.join(matches)}?" if matches else ""
