"""Training from Python: what a notebook does with `sgan_lab.train` and `sgan_lab.load`.

Only light imports here, as in `sgan_lab.run`: a mistake is answered before torch is imported.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from sgan_lab.config.checks import EXPLAINED, explain
from sgan_lab.config.files import CONFIG_PATH, load_config, with_own_files
from sgan_lab.config.own import find_own_modules, trusted
from sgan_lab.errors import ConfigError, DataError, UserError
from sgan_lab.jobs import owner
from sgan_lab.jobs.checks import check_run
from sgan_lab.jobs.resume import complete_arguments, quoted
from sgan_lab.jobs.status import read_status
from sgan_lab.run import run_single
from sgan_lab.signals import Interrupted

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from sgan_lab.evaluation.classifier import Classifier


@dataclass(frozen=True)
class Run:
    """What a run has left in its folder, read when it is asked for.

    Attributes:
        folder: of the run.
        trust: packages of the user's whose networks the classifier may be of.
    """

    folder: Path
    trust: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """One of "finished", "interrupted", "failed", "running", "killed" and "unknown"."""
        return read_status(self.folder).state

    @cached_property
    def config(self) -> DictConfig:
        """The configuration, resolved.

        Raises:
            DataError: it is damaged.
        """
        return load_config(self.folder / "config.yaml")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json.

        Raises:
            DataError: the run has not finished, or the file is damaged.
        """
        path = self.folder / "metrics.json"
        try:
            metrics = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise DataError(f"{self.folder} has no metrics: the run is {self.state}.") from error
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if not isinstance(metrics, dict):
            raise DataError(f"{path} cannot be read: it holds no metrics by name")
        return metrics

    @cached_property
    def history(self) -> "pd.DataFrame":
        """The curves that TensorBoard shows: a row an iteration, a column a scalar.

        A scalar has gaps where it was not logged; one with a single point has no column.
        """
        from sgan_lab.report.events import read_events

        points = read_events(self.folder).points
        names = points.scalar.unique()
        return points.pivot(index="iteration", columns="scalar", values="value")[names]

    @property
    def generated_images(self) -> "Image | None":
        """The last grid of generated images; None where the model has no generator.

        Raises:
            DataError: the file is damaged.
        """
        from PIL import Image

        path = self.folder / "generated_images.png"
        try:
            with Image.open(path, formats=["PNG"]) as image:
                image.load()
                return image
        except FileNotFoundError:
            return None
        except Exception as error:  # each damage fails in its own way
            raise DataError(f"{path} cannot be read: {error}") from error

    @property
    def figures(self) -> dict[str, Path]:
        """The pictures in the folder, by name."""
        return {path.stem: path for path in sorted(self.folder.glob("*.png"))}

    @cached_property
    def classifier(self) -> "Classifier":
        """The classifier of the newest checkpoint.

        Raises:
            DataError: there is none, or it is damaged.
        """
        from sgan_lab.evaluation.checkpoint_files import find_checkpoint
        from sgan_lab.evaluation.classifier import load_classifier

        return load_classifier(find_checkpoint(self.folder), trusted(self.trust))


def load(folder: str | Path, trust: Sequence[str] = ()) -> Run:
    """The run in a folder, in whatever state it is. Nothing in the folder is executed.

    Args:
        folder: of the run.
        trust: packages of yours whose networks the run's classifier may be of.

    Raises:
        DataError: the folder holds no run, or a damaged one.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise DataError(f"{folder} holds no run: there is no config.yaml.")
    run = Run(folder, tuple(trust))
    run.config  # noqa: B018  # raises where it is damaged
    return run


def train(
    *overrides: str, folder: str | Path | None = None, config_dir: str | Path | None = None
) -> Run:
    """Train a run as `python -m sgan_lab.run` does, in this process.

    Args:
        overrides: as on the command line: `sgan_lab.train("data=digits", "iterations=500")`, or
            "resume=FOLDER" to go on with an earlier run.
        folder: of the run; None for `outputs/<date>/<time>/`.
        config_dir: folder with YAML files of your own, as `--config-dir` on the command line.

    Returns:
        The finished run.

    Raises:
        UserError: a setting is not allowed, data are missing or damaged, or training failed. The
            message is that of the command line.
        KeyboardInterrupt: Ctrl-C, or a notebook's interrupt; a checkpoint has been saved, and
            "resume=FOLDER" goes on from it.
    """
    for override in overrides:
        if override.startswith("-"):
            raise UserError(f"{override}: must be key=value; options are for the command line.")
    arguments = list(overrides)
    if folder is not None:
        arguments.append(f"hydra.run.dir={quoted(str(folder))}")
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise UserError(f"config_dir={config_dir}: is no folder.")
        arguments.append(f"--config-dir={config_dir}")
    with hydra_as_on_the_command_line():
        find_own_modules()
        arguments = complete_arguments(with_own_files(arguments))
        options = get_args_parser().parse_args(arguments)
        arguments = list(options.overrides)
        if options.config_dir:
            path = Path(options.config_dir).absolute()
            arguments.append(f"hydra.searchpath=[{quoted(f'file://{path}')}]")
        config = hydra.compose("config", arguments, return_hydra_config=True)
        if config.hydra.mode == RunMode.MULTIRUN:
            reason = "is a sweep; python -m sgan_lab.run trains sweeps, sgan_lab.train single runs"
            raise ConfigError("hydra.mode", "MULTIRUN", reason)
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
        try:
            check_run(config)
            job = run_job(run_here, config, "hydra.run.dir", None, context, configure_logging=False)
        finally:
            owner.release(Path(config.hydra.run.dir))
        job.return_value  # noqa: B018  # raises what the run has raised
    own = [str(config.model.get("discriminator"))]
    trust = tuple(name.split(".")[0] for name in own if "." in name)
    return Run(Path(job.hydra_cfg.hydra.runtime.output_dir), trust)


def run_here(config: DictConfig) -> None:
    """Train in this process, and leave its settings as they were."""
    from sgan_lab.training.process import guest  # torch takes seconds to import

    folder = Path(HydraConfig.get().runtime.output_dir)
    with guest():
        try:
            run_single(config, folder)
        except Interrupted:
            print(f'Interrupted. To go on: sgan_lab.train("resume={folder}")', file=sys.stderr)
            raise


@contextmanager
def hydra_as_on_the_command_line() -> Iterator[None]:
    """Hydra with the configurations of this package; that of the program around it is put back.

    Raises:
        UserError: in place of any error that the command line explains.
    """
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3", job_name="run"):
            yield
    except UserError:
        raise
    except EXPLAINED as error:
        raise UserError(explain(error)) from error
    finally:
        GlobalHydra.instance().hydra = outer
