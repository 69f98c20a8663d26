"""Checks of a configuration's values before anything is loaded or written, and errors in words."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from sgan_lab.config.files import CONFIG_PATH, PACKAGE
from sgan_lab.config.own import own_object, own_settings
from sgan_lab.config.settings import LOADER
from sgan_lab.config.targets import PLACES, TARGET, is_in, nodes
from sgan_lab.data.catalog import DATA_SETS, DataSet
from sgan_lab.errors import ConfigError, UserError

if TYPE_CHECKING:  # pydantic takes its time, and training imports this module only for `explain`
    from sgan_lab.config.schema import Settings

EXTRAS = ("joblib", "submitit", "optuna")  # of this package, with launchers and sweepers so named
LOGGERS = {  # that need a package; the extra of this one has its name
    "pytorch_lightning.loggers.WandbLogger": "wandb",
    "pytorch_lightning.loggers.MLFlowLogger": "mlflow",
}
EXPLAINED = (UserError, HydraException, OmegaConfBaseException, OSError)
MAX_TARGET = 200  # characters
NEAR = 0.75  # likeness of a name that may have been meant


def check_values(config: DictConfig) -> None:
    """Check all values of one job, each by the schema and some by each other.

    Raises:
        ConfigError: a value is not allowed, a mandatory one is missing, or a key is unknown.
    """
    from sgan_lab.config import schema

    late = [key for key in ("hydra", "logger", "callbacks") if key in config]  # resolved in a run
    early = OmegaConf.masked_copy(config, [key for key in config if key not in late])
    values = OmegaConf.to_container(early, resolve=True)
    values |= {key: OmegaConf.to_container(config)[key] for key in late if key != "hydra"}
    check_settings(schema.Root, values, "", values)

    model = settings_of("model", "model", values["model"].get("_target_")) or schema.Model
    is_conv9 = values["model"].get("generator") == "conv9"
    limits = schema.BATCH_NORMALIZED if is_conv9 else model.limits
    for key, kind in (limits | data_limits(values["data"])).items():
        value = OmegaConf.select(config, key, default=schema)
        if value is not schema and not schema.matches(value, kind):
            raise ConfigError(key, value, f"must be {schema.allowed(kind)}")
    check_classes(values["data"])
    for group in schema.CLASSES:
        several = group in ("logger", "callbacks")
        for key in [f"{group}.{name}" for name in values[group]] if several else [group]:
            settings = OmegaConf.select(config, key) if several else values[group]
            if several and isinstance(settings, DictConfig):
                settings = {name: setting_of(settings, name) for name in settings}
            check_group(group, key, settings, values)
    if source := values["data"].get("source"):
        check_group("source", "data.source", source, values)
    for name in values["metrics"]:
        own_object("metrics", name)
    if "." in str(values["model"].get("discriminator")):
        own_object("model.discriminator", values["model"]["discriminator"])
    check_callbacks(values)
    for name, value in values["trainer"].items():
        if other := schema.Trainer.in_place_of.get(name):
            raise ConfigError(f"trainer.{name}", value, f"give {other} instead")
        if value != model.unsupported.get(name, value):
            reason = f"{model.__name__} steps its optimizers by itself, which excludes it"
            raise ConfigError(f"trainer.{name}", value, reason)


def setting_of(settings: DictConfig, name: str) -> Any:
    """A setting of a callback; as it is written where only a run can resolve it."""
    written = OmegaConf.to_container(settings)[name]
    return written if "${hydra:" in str(written) else settings[name]


def check_group(group: str, key: str, settings: Any, values: dict[str, Any]) -> None:
    """Check the settings that a class of a group is made with, part of all `values`.

    Raises:
        ConfigError: they are not allowed.
    """
    if not isinstance(settings, dict):
        raise ConfigError(key, settings, "must be a group of settings")
    kind = settings_of(group, key, settings.get("_target_"))
    if kind is not None:
        own = {name: each for name, each in settings.items() if not re.fullmatch("_.*_", name)}
        check_settings(kind, own, f"{key}.", values)


def settings_of(group: str, key: str, target: object) -> type["Settings"] | None:
    """The schema of the settings of a class; None for one of another library, which checks them.

    Raises:
        ConfigError: there is no such class, or it is not of the kind that the group needs.
    """
    from sgan_lab.config.schema import CLASSES

    is_name = isinstance(target, str) and len(target) <= MAX_TARGET and TARGET.fullmatch(target)
    if not is_name:
        raise ConfigError(f"{key}._target_", target, "must be the dotted name of a class")
    classes = CLASSES.get(group, {})
    if target in classes:
        return classes[target]
    if target.startswith("sgan_lab."):
        module = PACKAGE.joinpath(*target.split(".")[1:-1])
        if not module.with_suffix(".py").is_file():
            names = ", ".join(classes)
            raise ConfigError(f"{key}._target_", target, f"does not exist; there are {names}")
        return None
    package = LOGGERS.get(target)
    if package and find_spec(package) is None:
        raise UserError(f"{key} needs a package: pip install 'sgan-lab[{package}]'")
    return None if is_in(target, PLACES) else own_settings(group, key, target)


def check_callbacks(values: dict[str, Any]) -> None:
    """Raise a ConfigError where a callback watches the validation images, and there are none."""
    for name, settings in values["callbacks"].items():
        watched = str(settings.get("monitor"))
        if watched.startswith("validation/") and not values["data"].get("num_validation"):
            allowed = f"must be > 0, since callbacks.{name} watches {watched}"
            raise ConfigError("data.num_validation", 0, allowed)


def check_settings(
    kind: type["Settings"], settings: dict[str, Any], prefix: str, values: dict[str, Any]
) -> None:
    """Check settings by the schema of their class.

    Args:
        kind: the schema.
        settings: by key.
        prefix: before each key, in messages.
        values: the whole configuration, for near matches of an unknown key.

    Raises:
        ConfigError: the first that is not allowed.
    """
    from pydantic import ValidationError

    from sgan_lab.config.schema import allowed

    try:
        kind.model_validate({key: each for key, each in settings.items() if each != "???"})
    except ValidationError as error:
        (name, *below), of_kind = error.errors(include_url=False)[0]["loc"], kind
        key, value = f"{prefix}{name}", settings.get(name, "???")
        inner = getattr(kind.model_fields.get(name), "annotation", None)
        if below and hasattr(inner, "model_fields"):  # a group in the group, such as sweep
            of_kind, (name, *_) = inner, below
            key, value = f"{key}.{name}", value.get(name, "???")
        if name not in of_kind.model_fields:
            owner = f"of {kind.__name__}" if prefix else "of the configuration"
            hint = did_you_mean(key, values) or f"There are {', '.join(of_kind.model_fields)}."
            raise ConfigError(key, value, f"is no key {owner}. {hint}") from error
        if value == "???":
            raise ConfigError(key, value, "has no default and must be given") from error
        group = key.replace(".", "/")
        if options := sorted(file.stem for file in (CONFIG_PATH / group).glob("*.yaml")):
            raise ConfigError(key, value, f"is a group: {group}={'|'.join(options)}") from error
        field = of_kind.model_fields[name].rebuild_annotation()
        raise ConfigError(key, value, f"must be {allowed(field)}") from error


def data_set(data: dict[str, Any]) -> DataSet | None:
    """What is known of the data set that is to be loaded; None for the user's own."""
    return DATA_SETS.get(str(data.get("name"))) if data.get("_target_") == LOADER else None


def data_limits(data: dict[str, Any]) -> dict[str, Any]:
    """What the size of a data set limits, more narrowly than the schema."""
    from sgan_lab.config.schema import Field, matches

    if type(folds := data.get("folds")) is int and folds > 0:
        limits = {"data.fold": Annotated[int, Field(ge=0, le=folds - 1)]}
        return limits | data_limits(data | {"folds": None})
    if data.get("labeled_split") == "suggested":
        return data_limits(data | {"labeled_split": None}) | {
            "data.labeled_list": NoneType,
            "data.num_labeled": Annotated[int, Field(ge=2)],
            "trainer.devices": Literal[1],  # two runs in one process
        }
    if data.get("labeled_list") is not None:
        return {"data.num_labeled": NoneType}
    known = data_set(data)
    if known is None or data.get("classes") is not None:  # their number is known once loaded
        return {}
    images, held_out = known.training_images, data.get("num_validation")
    num_validation = Annotated[int, Field(ge=0, le=images - 1)]
    free = images - held_out if matches(held_out, num_validation) else images
    return {
        "data.num_validation": num_validation,
        "data.num_labeled": Annotated[int, Field(ge=1, le=free)] | None,
    }


def check_classes(data: dict[str, Any]) -> None:
    """Check the classes chosen of a known data set, and numbers that are divided among them.

    Raises:
        ConfigError: a class does not exist or is given twice, or there are fewer images.
    """
    if (known := data_set(data)) is None:
        return
    for key, minimum in (("classes", 2), ("unlabeled_classes", 1)):
        if (chosen := data.get(key)) is None:
            continue
        names = [str(name) for name in chosen] if isinstance(chosen, list) else []
        if not len(set(names) & set(known.class_names)) == len(names) >= minimum:
            names = ", ".join(known.class_names)
            allowed = f"must be null or a list of {minimum} or more different classes of {names}"
            raise ConfigError(f"data.{key}", chosen, allowed)
    num_classes = len(data.get("classes") or known.class_names)
    split = data.get("labeled_split")
    for key in ("num_validation", "num_labeled"):
        value = data.get(key)
        balanced = key == "num_validation" or split in ("balanced", "random")
        if balanced and type(value) is int and 0 < value < num_classes:
            allowed = f"must be at least the number of classes ({num_classes}) to be balanced"
            raise ConfigError(f"data.{key}", value, allowed)


@contextmanager
def exit_on_error(errors: tuple[type[Exception], ...] = EXPLAINED) -> Iterator[None]:
    """End the program with a message; Hydra would turn a callback's error into a warning."""
    try:
        yield
    except errors as error:
        raise SystemExit(explain(error)) from error


def explain(error: Exception) -> str:
    """An error as a message for the user, with near matches of a misspelled name."""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, UserError):
        return str(error.__cause__)
    if isinstance(error, InstantiationException) or not isinstance(error, EXPLAINED):
        name = "" if isinstance(error, EXPLAINED) else f"{type(error).__name__}: "
        return f"{name}{error}\nSet HYDRA_FULL_ERROR=1 for the traceback."
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    if isinstance(error, MissingConfigException) and error.options:
        return missing_option(error)
    cause = error.__cause__
    lines = str(error).splitlines()
    added = lines[-1].partition("To append to your config use +")[2] if lines else ""
    if added and isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return unknown_key(added, cause.parent_node)
    # Not Hydra's advice to add what is unknown.
    lines = [line for line in lines if not line.startswith("To append to")]
    if isinstance(cause, OmegaConfBaseException):
        lines.append(str(cause))
    return "\n".join(filter(None, lines))


def unknown_key(override: str, node: Any) -> str:
    """The message for a key that is not in the configuration, looked for in one of its nodes."""
    from sgan_lab.config.schema import CLASSES, Trainer

    key = override.partition("=")[0]
    group, _, name = key.rpartition(".")
    message = f"{override}: is no key of the configuration."
    if group == "trainer" and name in Trainer.in_place_of:
        return f"{message} Give {Trainer.in_place_of[name]} instead."
    hint = did_you_mean(key, node._get_root() if node is not None else {})
    if not hint and group.split(".")[0] in CLASSES:
        hint = f"If its class has it, add it: +{override}"
    return f"{message} {hint}".strip()


def missing_option(error: MissingConfigException) -> str:
    """The message for an option that a group does not have."""
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    extra = option.split("_")[0]
    if group.startswith("hydra/") and extra in EXTRAS:
        return f"{group}={option} needs a plugin: pip install 'sgan-lab[{extra}]'"
    near = get_close_matches(option, error.options, cutoff=NEAR)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"{group}={option}: must be one of {', '.join(error.options)}.{hint}"


def did_you_mean(key: str, config: Any) -> str:
    """A question for the keys that may have been meant: near matches of its last part, anywhere."""
    if OmegaConf.is_config(config):
        config = OmegaConf.to_container(config)
    known = [name for name, _ in nodes(config) if name != key and not name.startswith("hydra.")]
    parent, _, name = key.rpartition(".")
    beside = [each for each in known if each.rpartition(".")[0] == parent]
    found = close_keys(name, beside) or close_keys(name, known)
    return f"Did you mean {' or '.join(found)}?" if found else ""


def close_keys(name: str, keys: Sequence[str]) -> list[str]:
    """The keys whose last part is near a name, or has it for its initials, such as lr."""
    last_parts = {key: key.rpartition(".")[2] for key in keys}
    close = get_close_matches(name, set(last_parts.values()), cutoff=NEAR)
    close += [
        part
        for part in last_parts.values()
        if len(name) > 1 and "".join(word[:1] for word in part.split("_")).endswith(name)
    ]
    return [key for key, part in last_parts.items() if part in close]
