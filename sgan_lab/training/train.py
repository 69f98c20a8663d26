"""One run: build from the configuration, train, test, and leave the results in its folder."""

if __name__ == "__main__":  # before the imports that take their time
    from sgan_lab.signals import end_at_once, handle_signals

    handle_signals(end_at_once)

import ctypes
import json
import logging
import os
import sys
import threading
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from sgan_lab.algorithms.semi_supervised_gan import SemiSupervisedGAN
from sgan_lab.config.checks import EXPLAINED, explain
from sgan_lab.config.files import load_config
from sgan_lab.config.targets import check_resolved
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.evaluation.evaluate import evaluate
from sgan_lab.jobs.process import end_with_parent
from sgan_lab.jobs.status import StatusFile
from sgan_lab.terminal import log_to
from sgan_lab.training.callbacks import Validation
from sgan_lab.training.checkpoints import Checkpoints, Interruption, iteration_of, newest_intact
from sgan_lab.training.history import History
from sgan_lab.training.results import git_commit, log_test, run_metrics

log = logging.getLogger(__name__)

# Lightning sets its level when imported; what it says of devices and steps is for its developers.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
# Lightning's own use of what torch has deprecated; no user can mend it.
warnings.filterwarnings("ignore", message=".*LeafSpec.*")
# A run goes on within an epoch bit for bit: what is left of it is in the checkpoint.
warnings.filterwarnings("ignore", message=".*ended before the epoch ended.*")


def report_thread_error(error: threading.ExceptHookArgs) -> None:
    """Leave out the OSErrors of TensorBoard's writer, which are raised again by the next value."""
    if not issubclass(error.exc_type, OSError):
        threading.__excepthook__(error)


threading.excepthook = report_thread_error


def keep_freed_memory() -> None:
    """Have glibc keep what an iteration frees for the next one; without glibc, nothing.

    It would return the memory to the system, and get it back cleared, page by page: a sixth of the
    time where batches are large.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):
        return
    mallopt(m_mmap_threshold, 2**25)  # bytes; the largest that glibc takes
    mallopt(m_trim_threshold, 2**30)


def train(folder: Path) -> dict[str, Any]:
    """Train and test a classifier, and leave everything about it in the run folder.

    Where the folder holds a checkpoint, training goes on from the newest that is intact. Of several
    processes (Lightning's DDP) each trains; the first one tests and writes.

    Args:
        folder: of the run; its config.yaml is the configuration, checked and resolved.

    Returns:
        The content of metrics.json; in other processes than the first, nothing.

    Raises:
        UserError: data are missing or damaged, or training failed.
    """
    keep_freed_memory()
    is_first = rank_zero_only.rank == 0
    with StatusFile(folder, explain) if is_first else nullcontext() as status:
        config = load_config(folder / "config.yaml")
        check_resolved(config)
        commit = git_commit()  # now, since the checkout may change while the run trains
        if config.num_threads is not None:
            torch.set_num_threads(config.num_threads)
        torch.backends.cudnn.deterministic = True  # equal seeds, equal results
        pl.seed_everything(config.seed, verbose=False)
        # Lightning would seed again by it when it connects processes, all of them alike.
        os.environ.pop("PL_GLOBAL_SEED")

        data: SemiSupervisedData = instantiate(config.data)
        model: pl.LightningModule = instantiate(
            config.model,
            image_shape=data.image_shape,
            class_names=data.class_names,
            _convert_="all",  # plain types in the checkpoint, so that it loads with weights_only
        )
        history, interruption = History(), Interruption()
        callbacks = list(instantiate(config.callbacks).values())
        checkpoint = next(
            (newest_intact(each.folder) for each in callbacks if isinstance(each, Checkpoints)),
            None,
        )
        if checkpoint:
            load_classifier(checkpoint)  # a file of anybody's with its checksum beside it
        start = iteration_of(checkpoint) if checkpoint else 0
        trainer: pl.Trainer = instantiate(
            config.trainer,
            **model.training_limit,
            logger=loggers(config, start),
            callbacks=[history, *callbacks, interruption],
            default_root_dir=folder,
        )
        data = data.to(trainer.strategy.root_device)
        if data.validation is not None:
            trainer.callbacks.insert(1, Validation(data.validation, len(data.class_names)))
        batches = model.batches(data)
        if checkpoint is None and isinstance(model, SemiSupervisedGAN):
            model.pretrain(data)
        if is_first:
            iterations = model.training_limit.get("max_steps") or trainer.max_epochs * len(batches)
            status.progress = lambda: (trainer.global_step, iterations)
        if trainer.global_rank:  # equal weights in all processes, but draws of their own
            torch.manual_seed(config.seed + (trainer.global_rank << 32))  # seeds are below 2^32

        started = time.perf_counter()
        trainer.fit(model, batches, ckpt_path=checkpoint, weights_only=True)
        interruption.end_if_received()
        seconds = time.perf_counter() - started
        if not is_first:
            return {}

        model.to(trainer.strategy.root_device)
        evaluation = evaluate(model, data.test, len(data.class_names))
        for name, figure in model.figures(history).items():
            figure.savefig(folder / f"{name}.png")
        metrics = run_metrics(config, data, evaluation, trainer, start, seconds, commit)
        if data.validation is not None:
            validation = evaluate(model, data.validation, len(data.class_names))
            metrics["validation_accuracy"] = validation.accuracy
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                log_test(logger, config, data, evaluation, trainer.global_step)
    return metrics


def loggers(config: DictConfig, start: int) -> list[Logger]:
    """The loggers; those of TensorBoard drop what an earlier process logged after `start`."""
    chosen = []
    for logger in config.logger.values():
        is_tensorboard = logger._target_.endswith(".TensorBoardLogger")
        chosen.append(instantiate(logger, **({"purge_step": start + 1} if is_tensorboard else {})))
    return chosen


def main() -> None:
    """`python -m sgan_lab.training.train FOLDER PREFIX`, as `sgan_lab.jobs.process` starts it."""
    folder, prefix = Path(sys.argv[1]), sys.argv[2]
    end_with_parent()
    if rank_zero_only.rank == 0:
        log_to(folder, prefix)
    try:
        train(folder)
    except Exception as error:
        log.error("%s", explain(error), exc_info=not isinstance(error, EXPLAINED))
        sys.exit(1)


if __name__ == "__main__":
    main()
