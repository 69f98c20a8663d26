"""The schema of the configuration as JSON schemas, by which an editor completes and checks YAML.

As `sgan-lab schema`: one file for config.yaml, experiments and trials, one for each group. Those of
this version are in `schemas/` of the repository, where `.vscode/settings.json` names them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from sgan_lab.config.schema import CLASSES, Augmentation, Root, Settings, Trainer

DIALECT = "https://json-schema.org/draft/2020-12/schema"
INTERPOLATION = {"type": "string", "pattern": r"\$\{|^\?\?\?$"}  # or ???, no value yet
DEFAULTS = {"defaults": {"type": "array", "description": "what Hydra composes the file of"}}
ANY_CLASS = {"type": "string", "description": "class that is made of the settings"}


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each kind of file, by name: config, data, model, trainer and so on."""
    groups = {name: group_schema(name) for name in CLASSES}
    references = {name: {"$ref": f"{name}.json"} for name in CLASSES}
    root = {**properties(Root), **references, **DEFAULTS, "hydra": {"type": "object"}}
    config = {"type": "object", "properties": root, "additionalProperties": False}
    shared = class_schema([*CLASSES["data"].values(), *CLASSES["model"].values()])
    augmentation = class_schema([Augmentation])
    schemas = {"config": config, **groups, "shared": shared, "augmentation": augmentation}
    return {name: {"$schema": DIALECT, **schema} for name, schema in schemas.items()}


def group_schema(group: str) -> dict[str, Any]:
    """The schema of a group: the keys of the class that `_target_` names, or of any without it."""
    classes = CLASSES[group]
    cases = [
        {"if": {"properties": {"_target_": {"const": name}}, "required": ["_target_"]}}
        | {"then": class_schema([settings])}
        for name, settings in classes.items()
    ]
    settings = {
        "type": "object",
        "properties": {"_target_": ANY_CLASS | {"examples": list(classes)}},
        **({"allOf": cases} if cases else {}),
    }
    if group in ("logger", "callbacks"):  # each by a name
        return {"type": "object", "properties": DEFAULTS, "additionalProperties": settings}
    partial = {"if": {"not": {"required": ["_target_"]}}, "then": class_schema(classes.values())}
    cases.append(partial)
    return settings


def class_schema(classes: Any) -> dict[str, Any]:
    """The schema of settings of any of some classes; none is required, an own file may build on."""
    keys: dict[str, dict[str, Any]] = {}
    for settings in classes:
        for name, schema in properties(settings).items():
            others = keys[name]["anyOf"] if name in keys else []
            keys[name] = schema | {"anyOf": [*others, *schema["anyOf"]]}
    refused = dict.fromkeys(Trainer.in_place_of, False) if Trainer in classes else {}
    return {
        "properties": {"_target_": ANY_CLASS, **DEFAULTS, **keys, **refused},
        "patternProperties": {"^_.*_$": {}},  # of Hydra, such as _recursive_
        "additionalProperties": Trainer in classes,
    }


def properties(settings: type[Settings]) -> dict[str, dict[str, Any]]:
    """The schema of each key; in the place of each value may be an interpolation."""
    schema = settings.model_json_schema()
    found = {}
    for name, key in schema["properties"].items():
        value = {part: each for part, each in key.items() if part not in ("title", "default")}
        description = value.pop("description", "")
        if "$ref" in value:  # a group in a group
            value = schema["$defs"][value["$ref"].rpartition("/")[2]]
            value = {part: each for part, each in value.items() if part != "required"}
        found[name] = {"description": description, "anyOf": [value, INTERPOLATION]}
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  sgan-lab schema schemas/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("schemas"), help="default: schemas/"
    )
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in json_schemas().items():
        (folder / f"{name}.json").write_text(json.dumps(schema) + "\n")
    print(f"Written: {', '.join(f'{folder}/{name}.json' for name in json_schemas())}")
    print(f"An editor checks a file that begins with # yaml-language-server: $schema={folder}/...")
    print("or, for all files (VS Code's YAML extension, settings.json):")
    print(json.dumps(editor_settings(str(folder)), indent=2))


def editor_settings(folder: str) -> dict[str, Any]:
    """The settings of VS Code by which its YAML extension uses the schemas in a folder."""
    files = {f"{folder}/{name}.json": [f"conf/{name}/*.yaml"] for name in json_schemas()}
    files[f"{folder}/augmentation.json"] = ["conf/data/augmentation/*.yaml"]
    names = ("config", "experiment/*", "trial/*")
    files[f"{folder}/config.json"] = [f"conf/{name}.yaml" for name in names]
    return {"yaml.schemas": files}
