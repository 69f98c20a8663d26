"""The command `sgan-lab`: everything the package does, as subcommands.

Only light imports here: a subcommand's module is imported when it is called.
"""

import difflib
import sys
from importlib import import_module

from sgan_lab import __version__
from sgan_lab.signals import end_at_once, handle_signals

# By subcommand: its module, whose `main` reads sys.argv, and its line of help.
COMMANDS = {
    "train": ("sgan_lab.run", "train a classifier, or sweep; takes Hydra's arguments"),
    "report": ("sgan_lab.report.page", "table and figures over the runs of sweeps"),
    "evaluate": (
        "sgan_lab.evaluation.evaluate",
        "errors, confusion matrix, calibration of a checkpoint",
    ),
    "predict": ("sgan_lab.evaluation.predict", "classify image files with a checkpoint, as CSV"),
    "export": (
        "sgan_lab.evaluation.export",
        "a checkpoint's classifier as safetensors, ONNX or TorchScript",
    ),
    "schema": (
        "sgan_lab.config.json_schema",
        "JSON schemas, by which an editor completes and checks YAML files",
    ),
}
HELP = "\n".join(
    [
        "usage: sgan-lab COMMAND ...",
        "",
        *(f"  {name:<10}{line}" for name, (_, line) in COMMANDS.items()),
        "",
        "sgan-lab COMMAND --help says more about each.",
    ]
)


def main() -> None:
    """Command line."""
    handle_signals(end_at_once)
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(HELP)
        return
    if command == "--version":
        print(__version__)
        return
    if command not in COMMANDS:
        matches = difflib.get_close_matches(command, COMMANDS)
        hint = f"Did you mean {' or '.join(matches)}?" if matches else "See sgan-lab --help."
        sys.exit(f"sgan-lab has no command {command}. {hint}")
    sys.argv = [f"sgan-lab {command}", *arguments]  # the name in usage messages
    import_module(COMMANDS[command][0]).main()
