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
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sgan_lab.config.checks import exit_on_error, explain
from sgan_lab.config.composition import check_compositions
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.errors import UserError
from sgan_lab.jobs import owner, sweep, worker
from sgan_lab.jobs.process import run_in_process
from sgan_lab.jobs.resume import complete_arguments
from sgan_lab.jobs.status import Status, write_status
from sgan_lab.jobs.terminal import print_result
from sgan_lab.signals import Interrupted, end_at_once, handle_signals

MAX_NAME = 200  # characters of a job's folder name; file systems allow 255 bytes


def folder_name(overrides: str) -> str:
    """A job's overrides as the name of one folder, different for different overrides."""
    name = overrides.replace("/", "-") or "defaults"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[:MAX_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


OmegaConf.register_new_resolver("folder_name", folder_name)


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="config")
def train(config: DictConfig) -> float | None:
    """Train as configured.

    Returns:
        Accuracy on the validation images, for sweepers that choose by it; None without any.
    """
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        metrics = sweep.run_job(config, folder, hydra_config.job.num)
    else:
        try:
            OmegaConf.save(config, folder / "config.yaml", resolve=True)
        except Exception as error:
            write_status(folder, Status("failed", explain(error)))
            raise
        try:
            metrics = run_single(config, folder)
        except Interrupted:
            print(f"Interrupted. To go on: resume={folder}", file=sys.stderr)
            raise
        print_result(metrics, folder)
    return metrics.get("validation_accuracy")


def run_single(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Train one run, in this process where it needs no others; returns the metrics."""
    if config.trainer.get("devices", 1) != 1:
        return run_in_process(folder)  # Lightning starts the others with the command of the first
    return worker.run(folder)


def check_commands(options: Namespace) -> None:
    """Check Hydra's options for one that it would answer with a traceback.

    Raises:
        UserError: more than one thing to do.
    """
    commands = ("run", "multirun", "cfg", "info", "shell_completion")
    given = [f"--{name}" for name in commands if getattr(options, name)]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude each other.")


def main() -> None:
    """Run Hydra; an error that the user can mend is a message, with exit status 1."""
    handle_signals(end_at_once)
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed by Hydra
    try:
        with exit_on_error(), sweep.launcher_errors():
            check_compositions()
            sys.argv[1:] = complete_arguments(sys.argv[1:])
            check_commands(get_args())
            train()
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
