"""Continuing a run (`resume=PATH`) or a sweep (`sweep.resume=PATH`) that was cut short."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sgan_lab.config.files import load_config
from sgan_lab.config.settings import experiment_settings
from sgan_lab.errors import ConfigError
from sgan_lab.jobs import owner
from sgan_lab.jobs.status import read_status

RUN, SWEEP = "resume", "sweep.resume"
LENGTH = ("iterations", "model.epochs")  # of training; may grow when a run is resumed


def complete_arguments(arguments: Sequence[str]) -> list[str]:
    """Command line arguments with `resume=PATH` or `sweep.resume=PATH` completed from PATH.

    The folder is that of the earlier run or sweep, and so are its overrides: of a run those that
    are not given anew, of a sweep those of its grid where no other is given.

    Raises:
        ConfigError: PATH is not the folder of a run or sweep.
    """
    for key in (RUN, SWEEP):
        found = [text for text in arguments if text.startswith(f"{key}=")]
        if found and (path := found[-1].partition("=")[2]) not in ("", "null"):
            dropped = ("-m", "--multirun")  # hydra.mode says it, and overrides stand together
            others = [
                text for text in arguments if text not in dropped and not text.startswith(f"{key}=")
            ]
            return completed(key, path, others)
    return list(arguments)


def completed(key: str, path: str, others: Sequence[str]) -> list[str]:
    """The arguments that go on with the run or sweep in `path`, see `complete_arguments`."""
    file = Path(path) / ("multirun.yaml" if key == SWEEP else ".hydra/hydra.yaml")
    try:
        earlier = load_config(file).hydra.overrides
        task, of_hydra = list(earlier.task), list(earlier.hydra)
        if not all(isinstance(text, str) and text[:1] not in ("", "-") for text in task + of_hydra):
            raise ValueError("these are no overrides")  # but options, or nothing at all
    except Exception as error:  # whatever has become of the file
        kind = "sweep" if key == SWEEP else "run"
        raise ConfigError(
            key, path, f"must be the folder of a {kind}: {file} cannot be read"
        ) from error
    if key == SWEEP and not all(text.startswith(("-", "hydra")) for text in others):
        task = []
    folder = "hydra.sweep.dir" if key == SWEEP else "hydra.run.dir"
    given = {text.partition("=")[0] for text in others} | {key, folder, "hydra.mode"}
    kept = [text for text in [*task, *of_hydra] if text.partition("=")[0] not in given]
    mode = "MULTIRUN" if key == SWEEP else "RUN"
    return [*others, *kept, f"hydra.mode={mode}", f"{folder}={path}", f"{key}={path}"]


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
    others = {key: values for key, values in changed.items() if key not in LENGTH}
    if others:
        raise ConfigError(RUN, path, f"was run with {described(others)}; use a new folder")
    if any(now < then for then, now in changed.values()):
        raise ConfigError(RUN, path, f"was run with {described(changed)}; it can only grow")
    if is_complete(folder) and not changed:
        raise ConfigError(RUN, path, f"has finished; give a greater {' or '.join(LENGTH)}")


def check_resumed_sweep(config: DictConfig, jobs: Sequence[DictConfig]) -> None:
    """Own a sweep and check that it can continue: no job is complete with other settings.

    Jobs may still run, for example on a cluster. They are waited for, see `sweep.run_job`.

    Raises:
        ConfigError: it cannot.
        InUseError: another process owns it.
    """
    path = config.sweep.resume
    if not jobs:
        raise ConfigError(
            SWEEP, path, "resumes grids only; this sweeper's own storage resumes its sweeps"
        )
    check_place(SWEEP, path, config.hydra.sweep.dir)
    owner.own(Path(path))
    for job in jobs:
        folder = Path(job.hydra.sweep.dir) / job.hydra.sweep.subdir
        changed = changed_settings(folder, job)
        if is_complete(folder) and changed:
            raise ConfigError(
                SWEEP,
                path,
                f"{folder.name} is complete with {described(changed)}; use a new folder",
            )


def check_place(key: str, path: str, folder: str) -> None:
    """Check that what is resumed is the folder that is written to.

    Raises:
        ConfigError: it is not, since the key was not given on the command line.
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


def complete_run(config: DictConfig, sweep_folder: Path) -> Path | None:
    """A complete run of a sweep with the settings of a job, under whatever name; None without."""
    for file in sorted(sweep_folder.rglob("metrics.json")):
        if is_complete(file.parent) and not changed_settings(file.parent, config):
            return file.parent
    return None


def changed_settings(folder: Path, config: DictConfig) -> dict[str, tuple[Any, Any]]:
    """The settings in which a run folder's config.yaml differs, then and now, by key.

    Raises:
        DataError: it is damaged.
    """
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
