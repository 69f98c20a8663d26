"""What `python -m sgan_lab.run --help` prints: usage, groups, and the meaning of each key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sgan_lab.config.files import CONFIG_PATH

USAGE = """\
usage: python -m sgan_lab.run [GROUP=OPTION ...] [KEY=VALUE ...] [-m]

Train a classifier from few labels and many unlabeled images.

examples:
  python -m sgan_lab.run experiment=tutorial_sgan
  python -m sgan_lab.run -m model=sgan,supervised data.num_labeled=50,100,1000
  python -m sgan_lab.run resume=outputs/2026-11-27/12-00-00-000000 iterations=16000

options:
  -m, --multirun     run every combination of the values that are separated by commas
  --cfg job          print the configuration of a command line
  --config-dir DIR   look for YAML files in a folder of your own, too
  --hydra-help       the other options, which are Hydra's
"""
HIDDEN = ("hydra", "shared")  # folders of conf/ that hold parts of other options


def help_text(config: DictConfig, config_dir: str | None) -> str:
    """The help for a command line, with the groups of the user's own folder, too.

    The keys are those of the data set and the model of the configuration that it composes.
    """
    lines = [USAGE, "groups and their options:"]
    roots = [CONFIG_PATH, *([Path(config_dir)] if config_dir else [])]
    folders = [path.relative_to(root) for root in roots for path in root.glob("**/")]
    groups = {path.as_posix() for path in folders if path.parts and path.parts[0] not in HIDDEN}
    for group in sorted(groups):
        options = {file.stem for root in roots for file in root.glob(f"{group}/*.yaml")}
        lines.append(f"  {group:<19}{', '.join(sorted(options))}")
    lines += ["", "keys, with their values and meanings:"]
    lines += [f"  {f'{key}={value}':<44}{meaning}" for key, value, meaning in keys(config)]
    lines += ["", "For the keys of another model or data set: model=vat data=image_folder --help"]
    return "\n".join(lines)


def keys(config: DictConfig) -> Iterator[tuple[str, Any, str]]:
    """Each key of a configuration that the schema knows, with its value and its meaning."""
    from sgan_lab.config.schema import CLASSES, Augmentation, Root, Sweep

    places = {"": (config, Root), "sweep.": (config.sweep, Sweep)}
    for group in ("data", "model"):
        settings = CLASSES[group].get(str(config[group].get("_target_")))
        if settings:
            places[f"{group}."] = (config[group], settings)
    if "augmentation" in config.data:
        places["data.augmentation."] = (config.data.augmentation, Augmentation)
    for prefix, (settings, schema) in places.items():
        values = OmegaConf.to_container(settings)
        for name, field in schema.model_fields.items():
            if name in values and not isinstance(values[name], dict):
                value = values[name]
                text = str(value).lower() if isinstance(value, bool) else value
                yield f"{prefix}{name}", "null" if value is None else text, field.description
