"""Continuing a run (`resume=PATH`) or a sweep (`sweep.resume=PATH`) that was cut short.

The folder may come from a stranger. Of its Hydra files only overrides of the program's own keys are
taken over, and of those none that names a class, a file or a resolver that could do harm.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sgan_lab.config.files import load_config, read_config
from sgan_lab.config.settings import experiment_settings, flat_settings
from sgan_lab.config.targets import code_names, is_trusted, nodes
from sgan_lab.errors import ConfigError
from sgan_lab.jobs import owner
from sgan_lab.jobs.status import read_status

RUN, SWEEP = "resume", "sweep.resume"
LENGTH = ("iterations", "model.epochs")  # of training; may grow when a run is resumed
PLACE = "data.root"  # data may have moved
# Overrides of Hydra that are given for each run or sweep, or by the program itself.
OF_EACH = ("hydra.mode", "hydra.run.dir", "hydra.sweep.dir")
EXCLUDED = "hydra.job.config.override_dirname.exclude_keys"
# Keys of callbacks, loggers and the Trainer.
FOLDERS = ("dirpath", "save_dir", "default_root_dir", "tracking_uri", "artifact_location")
HARMLESS = re.compile(r"\$\{([\w.@/\[\]-]+|(now|hydra):[^${}]*)\}")  # interpolations


def complete_arguments(arguments: Sequence[str]) -> list[str]:
    """Command line arguments with `resume=PATH` or `sweep.resume=PATH` completed from PATH.

    The folder is that of the earlier run or sweep, and so are its overrides, but for those whose
    key is given again.

    Raises:
        ConfigError: PATH is not the folder of a run or sweep, or an override there is not trusted.
        DataError: its settings are damaged, or of version 0.1.
    """
    options, _ = get_args_parser().parse_known_args(arguments)
    given = list(options.overrides or [])
    for key in (RUN, SWEEP):
        found = [text for text in given if text.startswith(f"{key}=")]
        if found and (path := path_of(found[-1])) not in ("", "null"):
            others = [text for text in given if text not in found]
            kept = [text for text in arguments if text not in (*given, "-m", "--multirun")]
            kept += ["--multirun"] if key == SWEEP else []
            return [*kept, *completed(key, path, others, options.config_dir)]
    return list(arguments)


def path_of(argument: str) -> str:
    """The path that `resume=PATH` gives: as it is where it exists, else by Hydra's quoting."""
    path = argument.partition("=")[2]
    if not Path(path).exists():
        try:
            value = OverridesParser.create().parse_override(argument).value()
        except HydraException:
            return path
        return value.replace(r"\${", "${") if isinstance(value, str) else path
    return path


def completed(key: str, path: str, given: Sequence[str], config_dir: str | None) -> list[str]:
    """The overrides that go on with the run or sweep in `path`, see `complete_arguments`."""
    is_sweep = key == SWEEP
    kind = "sweep" if is_sweep else "run"
    for file in sorted(Path(path).glob("*/config.yaml" if is_sweep else "config.yaml"))[:1]:
        load_config(file)  # of this version
    file = Path(path) / ("multirun.yaml" if is_sweep else ".hydra/hydra.yaml")
    parser = OverridesParser.create()
    try:
        earlier = OmegaConf.to_container(load_config(file))["hydra"]
        task, of_hydra = (earlier["overrides"][name] for name in ("task", "hydra"))
        sources = earlier.get("runtime", {}).get("config_sources", [])
        dirs = [each["path"] for each in sources if each["provider"] == "command-line"]
        if any(text.startswith("-") for text in task):
            raise ValueError("these are options")
        task, of_hydra = (
            [parser.parse_override(text) for text in each] for each in (task, of_hydra)
        )
    except Exception as error:  # whatever has become of the file
        allowed = f"must be the folder of a {kind}: {file} cannot be read"
        raise ConfigError(key, path, allowed) from error
    parsed = [parser.parse_override(text) for text in given]
    again = {override.get_key_element().lstrip("+~"): override.input_line for override in parsed}
    named = {str(value).split(".")[0] for _, value in code_names(contents(parsed))}

    ignored = (*again, *OF_EACH, EXCLUDED, RUN, SWEEP)
    missing, kept = [f"--config-dir={each}" for each in dirs if not config_dir], []
    for override in [*task, *of_hydra]:
        name = override.get_key_element().lstrip("+~")
        if name in again and name not in OF_EACH:
            kept.append(again.pop(name))
        elif re.split(r"[./@]", name)[0] == "hydra":
            missing += [override.input_line] if name not in ignored else []
        elif name not in ignored:
            check_override(key, path, override, named)
            kept.append(override.input_line)
    if missing:
        text = shlex.join(missing)
        print(f"Not taken over from the earlier {kind}: {text}; give it again.", file=sys.stderr)
    folder = "hydra.sweep.dir" if is_sweep else "hydra.run.dir"
    ours = {"hydra.mode": "MULTIRUN" if is_sweep else "RUN"}
    ours |= dict.fromkeys([folder, key], quoted(path))
    kept += [text for name, text in again.items() if name not in ours]
    return kept + [f"{name}={value}" for name, value in ours.items()]


def quoted(text: str) -> str:
    """A text as the value of an override, as it is."""
    return QuotedString(text.replace("${", r"\${"), Quote.single).with_quotes()


def contents(overrides: Sequence[Override]) -> Iterator[tuple[str, Any]]:
    """All values of overrides, at any depth, with their dotted keys; of a sweep, each one's."""
    for override in overrides:
        value = override.value()
        for each in value.list if isinstance(value, ChoiceSweep) else [value]:
            text = each.text if isinstance(each, QuotedString) else each
            yield from nodes({override.key_or_group: Override._convert_value(text)})


def check_override(key: str, path: str, override: Override, named: set[str]) -> None:
    """Raise a ConfigError for an override in a run folder that a stranger must not have written.

    The folder was given as `key=path`; `named` are packages that the user names again as part of a
    `_target_`.
    """
    is_group = "." not in override.key_or_group or "/" in override.key_or_group
    reason = None
    if override.package is not None or ".." in override.key_or_group:
        reason = "would put a group elsewhere"
    if not all(is_trusted(value, named) for _, value in code_names(contents([override]))):
        reason = "names a class of another package"
    for name, value in contents([override]):
        last, text = name.rpartition(".")[2], str(value)
        if last in FOLDERS:
            reason = "names another folder to write to"
        elif is_group and (text.startswith("/") or ".." in text.split("/")):
            reason = "names a file outside the configuration"
        elif "${" in HARMLESS.sub("", text) and not isinstance(value, dict | list):
            reason = "has an interpolation that could read or make anything"
    if reason:
        raise ConfigError(
            key, path, f"{override.input_line} in it {reason}; give it again to allow it"
        )


def to_go_on(key: str, folder: Path) -> str:
    """A line that says how to go on with a run or sweep, by the same launcher, for a shell."""
    given, _ = get_args_parser().parse_known_args()
    options = [f"--config-dir={given.config_dir}"] if given.config_dir else []
    launcher = ("hydra/launcher", "hydra.launcher")
    options += [text for text in given.overrides if text.lstrip("+").startswith(launcher)]
    return f"To go on: {shlex.join([*options, f'{key}={folder}'])}"


def check_resumed_run(config: DictConfig) -> None:
    """Own a run and check that it can continue: nothing but its length has changed.

    Raises:
        ConfigError: it cannot.
        InUseError: another process owns it.
    """
    path, folder = config.resume, Path(config.resume)
    check_place(RUN, path, config.hydra.run.dir)
    owner.own(folder)
    changed = changed_settings(folder, config)
    others = {key: values for key, values in changed.items() if key not in (*LENGTH, PLACE)}
    if others:
        raise ConfigError(RUN, path, f"was run with {described(others)}; use a new folder")
    grown = {key: values for key, values in changed.items() if key in LENGTH}
    if any(now < then for then, now in grown.values()):
        raise ConfigError(RUN, path, f"was run with {described(grown)}; it can only grow")
    if is_complete(folder) and not grown:
        raise ConfigError(RUN, path, f"has finished; give a greater {' or '.join(LENGTH)}")


def check_resumed_sweep(config: DictConfig, jobs: Iterable[DictConfig]) -> None:
    """Own a sweep and check that none of its jobs to run is complete with other settings.

    Jobs may still run, for example on a cluster. They are waited for, see `sweep.run_job`.

    Raises:
        ConfigError: one is.
        InUseError: another process owns it.
    """
    path = config.sweep.resume
    check_place(SWEEP, path, config.hydra.sweep.dir)
    owner.own(Path(path))
    for job in jobs:
        folder = Path(job.hydra.sweep.dir) / job.hydra.sweep.subdir
        changed = changed_settings(folder, job)
        if is_complete(folder) and changed:
            differs = f"{folder.name} is complete with {described(changed)}; use a new folder"
            raise ConfigError(SWEEP, path, differs)


def check_place(key: str, path: str, folder: str) -> None:
    """Raise a ConfigError where what is resumed is not the folder that is written to.

    The key was not given on the command line.
    """
    if Path(path).absolute() != Path(folder).absolute():
        raise ConfigError(key, path, "must be given on the command line")


def is_complete(folder: Path) -> bool:
    """Whether a run has finished and left its result and what it is the result of, undamaged."""
    try:
        has_result = isinstance(json.loads((folder / "metrics.json").read_text()), dict)
    except (OSError, ValueError, RecursionError):
        return False
    has_settings = (folder / "config.yaml").is_file()
    return has_result and has_settings and read_status(folder).state == "finished"


def complete_settings(sweep_folder: Path) -> set[frozenset[tuple[str, Any]]]:
    """The settings of each complete run of a sweep, under whatever name, see `flat_settings`."""
    folders = [file.parent for file in sorted(sweep_folder.rglob("metrics.json"))]
    runs = [read_config(folder / "config.yaml") for folder in folders if is_complete(folder)]
    return {frozenset(flat_settings(each).items()) for each in runs}


def changed_settings(folder: Path, config: DictConfig) -> dict[str, tuple[Any, Any]]:
    """The settings in which a run folder's config.yaml differs, then and now, by key."""
    file = folder / "config.yaml"
    if not file.is_file():
        return {}
    then, now = (experiment_settings(each) for each in (load_config(file), config))
    return {
        key: (then.get(key), now.get(key))
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
    }


def described(changed: dict[str, tuple[Any, Any]]) -> str:
    """Changed settings as text: "key=then instead of now"."""
    return ", ".join(f"{key}={then} instead of {now}" for key, (then, now) in changed.items())
