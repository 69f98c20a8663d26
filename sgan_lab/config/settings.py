"""The settings of a run as a flat table, for reports, resumed sweeps and TensorBoard's HParams."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

# Where a run is stored and how it is shown.
CIRCUMSTANCES = ("logger", "callbacks", "resume", "sweep", "hydra")


def flatten(config: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted key; the group's `_target_` is its last name: {"model": "SGAN"}.

    A key of a group that repeats a top-level key, such as model.iterations, is left out, and so is
    a data.label_seed that is the seed, and the folder of data sets that are the same in every
    folder.
    """
    settings = {}
    for group, value in config.items():
        if not isinstance(value, dict):
            settings[group] = plain(value)
            continue
        for key, of_group in value.items():
            if key == "_target_":
                settings[group] = str(of_group).rsplit(".", 1)[-1]
            elif key == "label_seed" and of_group == config.get("seed"):
                continue
            elif key not in config and not is_place(group, key, value):
                settings[f"{group}.{key}"] = plain(of_group)
    return settings


def plain(value: Any) -> int | float | str | None:
    """A value that a table can hold: lists and the like as text."""
    return value if isinstance(value, int | float | str | None) else str(value)


def is_place(group: str, key: str, settings: dict[str, Any]) -> bool:
    """Whether a setting is the folder of a data set that is the same everywhere."""
    known = str(settings.get("_target_")).endswith(".load.load")
    return (group, key) == ("data", "root") and known


def experiment_settings(config: DictConfig) -> dict[str, Any]:
    """The flat settings that a run's result depends on: all groups but `CIRCUMSTANCES`."""
    keys = [key for key in config if key not in CIRCUMSTANCES]
    chosen = OmegaConf.masked_copy(config, keys)  # the others may not be resolvable yet
    return flatten(OmegaConf.to_container(chosen, resolve=True))
