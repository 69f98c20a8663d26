"""The command `sgan-lab`: everything the package does, as subcommands.

Only light imports here: a subcommand's module is imported when it is called.
"""

import difflib
import signal
import sys
from importlib import import_module

from sgan_lab import __version__
from sgan_lab.errors import UserError
from sgan_lab.signals import end_at_once, handle_signals
from sgan_lab.terminal import printable

# By subcommand: its module, whose `main` reads sys.argv, and its line of help.
COMMANDS = {
    "train": ("sgan_lab.run", "train a classifier, or sweep; takes Hydra's arguments"),
    "report": ("sgan_lab.report.page", "table and figures over the runs of sweeps"),
    "evaluate": (
        "sgan_lab.evaluation.evaluate",
        "errors, confusion matrix, calibration of a checkpoint",
    ),
    "predict": ("sgan_lab.evaluation.predict", "classify image files with a checkpoint, as CSV"),
    "suggest": (
        "sgan_lab.evaluation.suggest",
        "the pictures whose labels would help most, as CSV and contact sheet",
    ),
    "generate": (
        "sgan_lab.evaluation.generate",
        "images of a checkpoint's generator, and their distance from the training images",
    ),
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
        "sgan-lab --version prints the version.",
        'eval "$(sgan-lab --completion)" completes command lines in bash.',
    ]
)
# Of what follows `train`, Hydra knows. Bash takes the text after the last "=" for a word.
COMPLETION = """\
_sgan_lab() {
    local line=${COMP_LINE:0:COMP_POINT} words
    local word=${line##* }
    if ((COMP_CWORD == 1)); then
        words="COMMANDS --help --version"
    elif [[ ${COMP_WORDS[1]} == train ]]; then
        line="train ${line#*train }"
        words=$(COMP_LINE=$line "${COMP_WORDS[0]}" train -sc query=bash 2>/dev/null)
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
}
complete -o default -F _sgan_lab sgan-lab
""".replace("COMMANDS", " ".join(COMMANDS))


def main() -> None:
    """Command line."""
    handle_signals(end_at_once)
    command, *arguments = sys.argv[1:] or ["--help"]
    if command != "train":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends a command without a word
    if command in ("-h", "--help"):
        print(HELP)
        return
    if command == "--completion":
        print(COMPLETION, end="")
        return
    if command == "--version":
        print(__version__)
        return
    if command not in COMMANDS:
        matches = difflib.get_close_matches(command, COMMANDS)
        hint = f"Did you mean {' or '.join(matches)}?" if matches else "See sgan-lab --help."
        sys.exit(f"sgan-lab has no command {command}. {hint}")
    sys.argv = [f"sgan-lab {command}", *arguments]  # the name in usage messages
    try:
        import_module(COMMANDS[command][0]).main()
    except (UserError, OSError) as error:
        sys.exit(printable(str(error)))
