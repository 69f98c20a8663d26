"""The settings of a run as a flat table, for the report and for TensorBoard's HParams."""

from typing import Any


def flatten(config: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted key; the group's `_target_` is its last name: {"model": "SGAN"}.

    A key of a group that repeats a top-level key, such as model.iterations, is left out.
    """
    settings = {}
    for group, value in config.items():
        if not isinstance(value, dict):
            settings[group] = value
            continue
        for key, of_group in value.items():
            if key == "_target_":
                settings[group] = str(of_group).rsplit(".", 1)[-1]
            elif key not in config:
                settings[f"{group}.{key}"] = (
                    of_group if isinstance(of_group, int | float | str | None) else str(of_group)
                )
    return settings
