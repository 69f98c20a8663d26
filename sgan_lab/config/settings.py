"""The settings of a run as a flat table, for reports, resumed sweeps and TensorBoard's HParams."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

# Where a run is stored and how it is shown or computed, without an effect on its result.
CIRCUMSTANCES = ("metrics", "logger", "callbacks", "resume", "sweep", "hydra")
CIRCUMSTANCES += ("sample_interval", "log_interval", "cuda_graph")
LOADER = "sgan_lab.data.load.load"  # of data sets that have a name, and are the same in any folder


def flatten(config: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, without `CIRCUMSTANCES`; a group's own is its name.

    The name is the last one of its `_target_`, {"model": "SGAN"}, or that of a data set. A key of a
    group that repeats a top-level key, such as model.iterations, is left out, and so is a
    data.label_seed that is the seed.
    """
    settings = {}
    for group, value in config.items():
        if group in CIRCUMSTANCES:
            continue
        if not isinstance(value, dict):
            settings[group] = plain(value)
            continue
        named = value.get("_target_") == LOADER
        for key, of_group in value.items():
            if key == ("name" if named else "_target_"):
                settings[group] = str(of_group).rsplit(".", 1)[-1]
            elif key == "label_seed" and of_group == config.get("seed"):
                continue
            elif isinstance(of_group, dict):
                for name, each in of_group.items():
                    settings[f"{group}.{key}.{name}"] = plain(each)
            elif key not in config and not (named and key in ("_target_", "root")):
                settings[f"{group}.{key}"] = plain(of_group)
    return settings


def plain(value: Any) -> int | float | str | None:
    """A value that a table can hold: lists and the like as text."""
    return value if isinstance(value, int | float | str | None) else str(value)


def experiment_settings(config: DictConfig) -> dict[str, Any]:
    """The flat settings that a run's result depends on, and what a run cannot change midway."""
    # The circumstances may not be resolvable yet.
    chosen = {key: config[key] for key in config if key not in CIRCUMSTANCES}
    values = {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in chosen.items()
    }
    return flat_settings({"sample_interval": config.get("sample_interval"), **values})


def flat_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The same of a configuration that is resolved, as one that a run has left."""
    return flatten(config) | {"sample_interval": config.get("sample_interval")}
