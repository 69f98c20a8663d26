"""The program: `python -m sgan_lab.run`, configured by the YAML files in `conf/`.

Only light imports here: torch and Lightning are imported once the configuration has been checked.
"""

if __name__ == "__main__":  # before the imports that take their time
    from sgan_lab.signals import end_at_once, handle_signals

    handle_signals(end_at_once)

import hashlib
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sgan_lab.config.checks import EXPLAINED, check_values, exit_on_error, explain
from sgan_lab.config.files import CONFIG_PATH, with_own_files
from sgan_lab.config.own import find_own_modules
from sgan_lab.errors import UserError, reason
from sgan_lab.jobs import owner, sweep, worker
from sgan_lab.jobs.checks import CheckConfig
from sgan_lab.jobs.process import run_in_process
from sgan_lab.jobs.resume import RUN, complete_arguments, to_go_on
from sgan_lab.jobs.status import Status, write_status
from sgan_lab.signals import Interrupted, end_at_once, handle_signals

MAX_NAME = 200  # bytes of a job's folder name; file systems allow 255


def folder_name(overrides: str) -> str:
    """A name for the folder of a job's overrides. Different overrides give different names."""
    name = overrides.replace("%", "%25").replace("/", "%2F") or "defaults"
    if len(name.encode()) <= MAX_NAME:
        return name
    beginning = name.encode()[:MAX_NAME].decode(errors="ignore")
    return f"{beginning}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


OmegaConf.register_new_resolver("folder_name", folder_name)


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="config")
def train(config: DictConfig) -> float | None:
    """Train as configured.

    Returns:
        `sweep.metric` on the validation images, for sweepers that choose by it; None without any.
    """
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        metrics = sweep.run_job(config, folder, hydra_config.job.num)
    else:
        try:
            metrics = run_single(config, folder)
        except Interrupted:
            print(f"Interrupted. {to_go_on(RUN, folder)}", file=sys.stderr)
            raise
    return metrics.get(f"validation_{config.sweep.metric}")


def run_single(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Train one run, in this process where it needs no others; returns the metrics."""
    try:
        OmegaConf.save(config, folder / "config.yaml", resolve=True)
    except Exception as error:
        write_status(folder, Status("failed", explain(error)))
        raise
    if config.trainer.get("devices", 1) != 1:
        # Lightning starts the other processes with the command of the first.
        metrics = run_in_process(folder)
    else:
        metrics = worker.run(folder)
    from sgan_lab.jobs.terminal import print_result

    print_result(metrics, folder)
    return metrics


def check_commands(options: Namespace) -> None:
    """Raise a UserError for more than one thing to do, which Hydra answers with a traceback."""
    commands = ("run", "multirun", "cfg", "info", "shell_completion")
    given = [f"--{name}" for name in commands if getattr(options, name)]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude each other.")


def check_early(options: Namespace) -> None:
    """Check the configuration of one run by a composition of our own.

    `CheckConfig` checks them all, but Hydra composes twice before it calls that. What may be a
    sweep, or has files of the user's own, is left to it.

    Raises:
        UserError: something is not allowed.
        HydraException: it cannot be composed.
    """
    others = (options.help, options.hydra_help, options.multirun, options.cfg, options.info)
    others += (options.shell_completion, options.experimental_rerun)
    if any(others) or options.config_dir or options.config_path or options.config_name:
        return
    overrides = OverridesParser.create().parse_overrides(options.overrides)
    if any(override.is_sweep_override() for override in overrides):
        return
    with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config = hydra.compose("config", options.overrides, return_hydra_config=True)
    if config.hydra.mode in (None, RunMode.RUN):
        check_values(config)


def print_help(options: Namespace) -> None:
    """Print what a command line can be, with the keys of its data set and model."""
    from sgan_lab.config.help import help_text

    with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        searched = [f"hydra.searchpath=[file://{options.config_dir}]"] if options.config_dir else []
        config = hydra.compose("config", [*searched, *options.overrides])
    print(help_text(config, options.config_dir))


def main() -> None:
    """Run Hydra; an error that the user can mend is a message, with exit status 1."""
    handle_signals(end_at_once)
    CheckConfig.has_passed = False
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed by Hydra
    try:
        with exit_on_error(), sweep.launcher_errors():
            find_own_modules()
            sys.argv[1:] = complete_arguments(with_own_files(sys.argv[1:]))
            options = get_args()
            check_commands(options)
            if options.help:
                print_help(options)
                return
            try:
                check_early(options)
                train()
            except EXPLAINED:
                raise
            except Exception as error:  # of a damaged YAML file; YAML and Hydra have their own
                if CheckConfig.has_passed or sweep.Sweep.running:  # it is of the run
                    raise
                what = f"The configuration cannot be composed: {reason(error)}"
                raise UserError(what) from error
    except SystemExit as exit_:
        if full_error and exit_.__cause__:
            raise exit_.__cause__ from None
        raise
    finally:
        complete = sweep.end()
        owner.release_all()
    if not complete:
        sys.exit(1)


if __name__ == "__main__":
    main()
