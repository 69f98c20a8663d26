"""One run: build from the configuration, train, test, and leave the results in its folder."""

import json
import logging
import platform
import subprocess
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import rich
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import TensorBoardLogger
from rich.table import Table
from torch.utils.tensorboard.summary import hparams

from sgan_lab import plots
from sgan_lab.data import SemiSupervisedData
from sgan_lab.evaluate import Evaluation, evaluate
from sgan_lab.history import History
from sgan_lab.settings import flatten

log = logging.getLogger(__name__)

# Lightning sets its level when imported; what it says of devices and steps is for its developers.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
# Lightning's own use of what torch has deprecated; no user can mend it.
warnings.filterwarnings("ignore", message=".*LeafSpec.*")

PACKAGES = ("sgan-lab", "torch", "torchvision", "pytorch-lightning", "hydra-core", "torchmetrics")


def train(config: DictConfig) -> None:
    """Train and test a classifier, and leave everything about it in the run folder.

    Args:
        config: as composed from `conf/`, already checked.

    Raises:
        UserError: data are missing or damaged, or training failed.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    commit = git_commit()  # now, since the checkout may change while the run trains
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    pl.seed_everything(config.seed, verbose=False)

    data: SemiSupervisedData = instantiate(config.data)
    model: pl.LightningModule = instantiate(
        config.model,
        image_shape=data.image_shape,
        class_names=data.class_names,
        _convert_="all",  # plain types in the checkpoint, so that it loads with weights_only
    )
    history = History()
    trainer: pl.Trainer = instantiate(
        config.trainer,
        **model.training_limit,
        logger=list(instantiate(config.logger).values()),
        callbacks=[history, *instantiate(config.callbacks).values()],
        default_root_dir=folder,
    )
    data = data.to(trainer.strategy.root_device)

    started = time.perf_counter()
    trainer.fit(model, model.batches(data))
    seconds = time.perf_counter() - started

    model.to(trainer.strategy.root_device)
    evaluation = evaluate(model, data.test, len(data.class_names))
    for name, figure in model.figures(history).items():
        figure.savefig(folder / f"{name}.png")
    metrics = run_metrics(config, data, evaluation, trainer.global_step, seconds, commit)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            log_test(logger, config, data, evaluation, trainer.global_step)
    print_summary(metrics, folder)


def run_metrics(
    config: DictConfig,
    data: SemiSupervisedData,
    evaluation: Evaluation,
    iterations: int,
    seconds: float,
    commit: str | None,
) -> dict[str, Any]:
    """The content of metrics.json."""
    return {
        "test_accuracy": evaluation.accuracy,
        "test_errors": evaluation.errors,
        "test_images": len(data.test.labels),
        "test_loss": evaluation.loss,
        "class_accuracies": dict(zip(data.class_names, evaluation.class_accuracies, strict=True)),
        "num_labeled": len(data.labeled.labels),
        "num_unlabeled": len(data.unlabeled_images),
        "seed": config.seed,
        "iterations": iterations,
        "seconds": seconds,
        "iterations_per_second": iterations / seconds,
        "num_threads": torch.get_num_threads(),
        "device": str(data.test.labels.device),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "git_commit": commit,
    }


def git_commit() -> str | None:
    """Commit of the checkout that this package runs from; None where it is no checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def log_test(
    logger: TensorBoardLogger,
    config: DictConfig,
    data: SemiSupervisedData,
    evaluation: Evaluation,
    iteration: int,
) -> None:
    """Write the test result, its confusion matrix and the HParams to TensorBoard."""
    result = {"test/accuracy": evaluation.accuracy, "test/loss": evaluation.loss}
    writer = logger.experiment
    for name, value in result.items():
        writer.add_scalar(name, value, iteration)
    figure = plots.confusion_matrix(evaluation.confusion, data.class_names)
    writer.add_figure("test/confusion_matrix", figure, iteration)
    settings = flatten(OmegaConf.to_container(config, resolve=True))
    parameters = {
        "seed": config.seed,
        "num_labeled": len(data.labeled.labels),
        "iterations": iteration,
        **{key: value for key, value in settings.items() if key.startswith("model")},
    }
    for summary in hparams(parameters, result):
        writer.file_writer.add_summary(summary)
    logger.finalize("success")


def print_summary(metrics: dict[str, Any], folder: Path) -> None:
    """The closing table."""
    table = Table(title="Result", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a folder is to be copied, so never cut
    table.add_row(
        "test accuracy",
        f"{metrics['test_accuracy']:.2%} ({metrics['test_errors']} errors "
        f"of {metrics['test_images']:,})",
    )
    table.add_row("test loss", f"{metrics['test_loss']:.4f}")
    table.add_row("labeled images", f"{metrics['num_labeled']:,}")
    table.add_row("iterations", f"{metrics['iterations']:,}")
    table.add_row(
        "time", f"{metrics['seconds']:.0f} s, {metrics['iterations_per_second']:.1f} it/s"
    )
    table.add_row("folder", str(folder))
    rich.print(table)
