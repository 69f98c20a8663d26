"""What a run leaves of its results: metrics.json, and the test result in TensorBoard."""

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from sgan_lab.config.settings import flatten
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.evaluation import plots
from sgan_lab.evaluation.evaluate import Evaluation

PACKAGES = ("sgan-lab", "torch", "torchvision", "pytorch-lightning", "hydra-core", "torchmetrics")
FIRST_COLUMNS = ("num_labeled", "learning_rate", "seed")  # of TensorBoard's HParams


def run_metrics(
    config: DictConfig,
    data: SemiSupervisedData,
    evaluation: Evaluation,
    trainer: pl.Trainer,
    start: int,
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
        "iterations": trainer.global_step,
        "seconds": seconds,
        "iterations_per_second": (trainer.global_step - start) / seconds,
        "processes": trainer.world_size,
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
    summaries = hparams(parameters, result)
    show_first(summaries[0], [key for key in parameters if key.endswith(FIRST_COLUMNS)])
    for summary in summaries:
        writer.file_writer.add_summary(summary)
    logger.finalize("success")


def show_first(experiment: Summary, names: Sequence[str]) -> None:
    """Have TensorBoard's HParams show some columns; it would show five in alphabetical order."""
    plugin_data = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin_data.content)
    for column in content.experiment.hparam_infos:
        column.differs = column.name in names
    plugin_data.content = content.SerializeToString()
