"""What a run leaves of its results: metrics.json, and what its loggers get besides curves."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from sgan_lab import __version__
from sgan_lab.config.settings import experiment_settings
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.evaluation import plots
from sgan_lab.evaluation.evaluate import Evaluation, evaluate
from sgan_lab.evaluation.metrics import measure, scalars, single_metrics
from sgan_lab.training.event_files import let_next_be_last
from sgan_lab.training.history import History

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "torchmetrics")
FIRST_COLUMNS = ("num_labeled", "learning_rate", "seed", "iterations")  # of TensorBoard's HParams


def evaluate_run(
    model: pl.LightningModule, data: SemiSupervisedData, temperature: float = 1.0
) -> dict[str, Evaluation]:
    """Evaluate a trained model on its device: "test", and "validation" where there are images."""
    parts = {"test": data.test, "validation": data.validation}
    return {
        part: evaluate(model, images, data.class_names, temperature)
        for part, images in parts.items()
        if images is not None
    }


def run_metrics(
    config: DictConfig,
    data: SemiSupervisedData,
    evaluations: dict[str, Evaluation],
    trainer: pl.Trainer,
    seconds: float,
    commit: str | None,
) -> dict[str, Any]:
    """The content of metrics.json.

    The seconds are the time of training, of all processes that continued the run. See also
    `evaluate_run` and `git_commit`.
    """
    metrics = {
        f"{part}_{name}": value
        for part, evaluation in evaluations.items()
        for name, value in measure(evaluation).items()
    }
    if config.data.get("folds"):
        metrics["test_confusion"] = evaluations["test"].confusion.tolist()  # which a report pools
    return metrics | {
        "temperature": evaluations["test"].temperature,
        "test_images": len(data.test.labels),
        "num_labeled": len(data.labeled.labels),
        "num_unlabeled": len(data.unlabeled_images),
        "seed": config.seed,
        "iterations": trainer.global_step,
        "seconds": seconds,
        "iterations_per_second": trainer.global_step / seconds,
        "processes": trainer.world_size,
        "num_threads": torch.get_num_threads(),
        "device": str(data.test.labels.device),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version(), "sgan-lab": __version__}
        | {package: version(package) for package in PACKAGES},
        "git_commit": commit,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def run_figures(history: History, in_epochs: bool, test: Evaluation) -> dict[str, Figure]:
    """The figures of a run by file name.

    They are the tutorial's plots, over iterations, or over the epochs of the baseline, and the
    confusion matrix of the test images.
    """
    matrix = {"confusion_matrix": plots.confusion_matrix(test.confusion, test.class_names)}
    loss, accuracy = history["labeled/class_loss"], history["labeled/accuracy"]
    if not in_epochs:
        figure = plots.discriminator_supervised_loss(loss, history.interval_ends)
        return {"discriminator_supervised_loss": figure, **matrix}
    last = [end - 1 for end in history.interval_ends]
    return {
        "loss": plots.baseline_curve(loss[last], "Loss"),
        "accuracy": plots.baseline_curve(accuracy[last], "Accuracy"),
        **matrix,
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


def log_configuration(loggers: Sequence[Logger], config: DictConfig) -> None:
    """Show the configuration: in TensorBoard's Text tab as YAML, elsewhere as hyperparameters."""
    lines = OmegaConf.to_yaml(config).splitlines()
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            code = "\n".join(f"    {line}" for line in lines)  # Markdown takes it as it is
            logger.experiment.add_text("configuration", code)
        else:
            logger.log_hyperparams(experiment_settings(config))


def log_results(
    loggers: Sequence[Logger],
    config: DictConfig,
    data: SemiSupervisedData,
    test: Evaluation,
    iteration: int,
) -> None:
    """Log the metrics on the test images; in TensorBoard, also confusion matrix and HParams.

    The iteration is the last one.
    """
    values = {f"test/{name}": value for name, value in scalars(measure(test)).items()}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            with open_test_events(Path(logger.log_dir), iteration) as writer:
                for name, value in values.items():
                    writer.add_scalar(name, value, iteration)
                figure = plots.confusion_matrix(test.confusion, data.class_names)
                writer.add_figure("test/confusion_matrix", figure, iteration)
                settings = experiment_settings(config)
                settings |= {"data.num_labeled": len(data.labeled.labels), "iterations": iteration}
                chosen = [name for name in values if name.removeprefix("test/") in single_metrics()]
                summaries = hparams(settings, {name: values[name] for name in chosen})
                show_first(summaries[0], [key for key in settings if key.endswith(FIRST_COLUMNS)])
                for summary in summaries:
                    writer.file_writer.add_summary(summary)
        else:
            logger.log_metrics(values, step=iteration)
        logger.finalize("success")


def open_test_events(folder: Path, iteration: int) -> SummaryWriter:
    """A writer of an event file of its own for the test results after an iteration.

    It replaces the file of a process that was killed after its test: each result is there once.
    """
    suffix = f".test-{iteration}"
    for earlier in folder.glob(f"events.*{suffix}"):
        earlier.unlink()
    let_next_be_last(folder)
    return SummaryWriter(str(folder), filename_suffix=suffix)


def show_first(experiment: Summary, names: Sequence[str]) -> None:
    """Have TensorBoard's HParams show some columns; it would show five in alphabetical order."""
    plugin_data = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin_data.content)
    for column in content.experiment.hparam_infos:
        column.differs = column.name in names
    plugin_data.content = content.SerializeToString()
