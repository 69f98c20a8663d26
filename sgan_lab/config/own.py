"""Classes and functions of the user's own: what their signatures say of their keys.

A module of the user's is imported only where the configuration names something in it, and brings
whatever it imports, usually torch.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from sgan_lab.errors import ConfigError

if TYPE_CHECKING:  # pydantic takes its time
    from sgan_lab.config.schema import Settings

# What a class of a group must be a subclass of; the names are those of the classes themselves.
BASES = {
    "model": "sgan_lab.algorithms.base.Algorithm",
    "callbacks": "pytorch_lightning.callbacks.callback.Callback",
    "logger": "pytorch_lightning.loggers.logger.Logger",
}
FROM_DATA = ("image_shape", "class_names")  # arguments of a model that are no keys
TRUST = {  # the option of commands that read checkpoints
    "action": "append",
    "default": [],
    "metavar": "PACKAGE",
    "help": "import this package of yours, whose code the run or checkpoint names",
}
PLAIN = (bool, int, float, str, NoneType)


def find_own_modules() -> None:
    """Have Python look for modules in the current folder, too, after all other places.

    `python -m sgan_lab.run` looks there by itself, the script `sgan-lab` does not.
    """
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)


def trusted(packages: Sequence[str]) -> list[str]:
    """Import packages that the user has named with `--trust`; for errors see `own_object`."""
    if packages:
        find_own_modules()
    for package in packages:
        own_object("--trust", package)
    return list(packages)


def own_object(key: str, name: str) -> Any:
    """Import a class or function by its dotted name, which a key gives.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return resolve_name(name)
    except Exception as error:  # an import can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(key, name, f"cannot be imported: {reason}") from error


def own_settings(group: str, key: str, target: str) -> type["Settings"]:
    """The schema of the keys of a class or function of the user's own, from its signature.

    A key has the type of its annotation where that is a plain one. A key that a base class of this
    package has, too, has its range and meaning.

    Raises:
        ConfigError: it cannot be imported, or is not what the group needs.
    """
    from pydantic import create_model

    from sgan_lab.config.schema import CLASSES, FAMILIES, Field, Model, Settings

    made = own_object(f"{key}._target_", target)
    bases = [f"{each.__module__}.{each.__qualname__}" for each in getattr(made, "__mro__", ())]
    if group in BASES and BASES[group] not in bases:
        raise ConfigError(f"{key}._target_", target, f"must be a subclass of {BASES[group]}")
    if not callable(made):
        raise ConfigError(f"{key}._target_", target, "must be a class or a function")
    found, takes_others = arguments(made)
    if group == "model":
        for name in FROM_DATA:
            if found.pop(name, None) is None and not takes_others:
                raise ConfigError(f"{key}._target_", target, f"must take the argument {name}")
    known = CLASSES.get(group, {}) | (FAMILIES if group == "model" else {})
    default = Model if group == "model" else Settings
    base = next((known[name] for name in bases if name in known), default)
    fields: dict[str, Any] = {}
    for name, (kind, value) in found.items():
        described = base.model_fields.get(name)
        kind = described.rebuild_annotation() if described else kind
        meaning = described.description if described else f"see {target}"
        fields[name] = (kind, Field(value, description=meaning))
    parent = Model if issubclass(base, Model) else Settings
    settings = create_model(target.rpartition(".")[2], __base__=parent, **fields)
    if takes_others:
        settings.model_config["extra"] = "allow"
        settings.model_rebuild(force=True)
    if issubclass(base, Model):
        settings.limits, settings.unsupported = base.limits, base.unsupported
    return settings


def arguments(made: Callable[..., Any]) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """The arguments of a class or function, with those that a class hands on to its bases.

    Returns:
        Annotation and default by name, `...` for no default and Any for an annotation that is not
        plain; and whether it takes others, too.
    """
    found: dict[str, tuple[Any, Any]] = {}
    takes_others = False
    is_class = isinstance(made, type)
    for each in made.__mro__ if is_class else (made,):
        call = vars(each).get("__init__") if is_class else each
        if each is object or call is None:
            continue
        parameters = list(inspect.signature(call).parameters.values())[is_class:]
        try:
            hints = inspect.get_annotations(call, eval_str=True)
        except Exception:  # names that exist for type checkers only
            hints = {}
        for one in parameters:
            if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD) and one.name not in found:
                kind = hints.get(one.name, Any)
                value = ... if one.default is one.empty else one.default
                found[one.name] = (kind if is_plain(kind) else Any, value)
        takes_others = any(one.kind is one.VAR_KEYWORD for one in parameters)
        if not takes_others:
            break
    return found, takes_others


def is_plain(kind: Any) -> bool:
    """Whether an annotation is of values as YAML has them, so that they can be checked."""
    origin = get_origin(kind)
    if origin is Annotated:
        return is_plain(get_args(kind)[0])
    if origin in (Union, UnionType, list):
        return all(map(is_plain, get_args(kind)))
    return origin is Literal or kind in PLAIN
