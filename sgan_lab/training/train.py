"""One run: build from the configuration, train, test, and leave the results in its folder."""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.model_summary import ModelSummary
from torch import Tensor

from sgan_lab.algorithms.base import Algorithm
from sgan_lab.config.files import load_config
from sgan_lab.config.targets import nodes
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.errors import ConfigError
from sgan_lab.evaluation.checkpoint_files import (
    FOLDER,
    find_checkpoint,
    iteration_of,
    newest_intact,
)
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.evaluation.metrics import METRICS, single_metrics
from sgan_lab.evaluation.suggest import suggest
from sgan_lab.training.bfloat16 import BFloat16, check_bfloat16
from sgan_lab.training.callbacks import Validation
from sgan_lab.training.checkpoints import Checkpoints, check_classes
from sgan_lab.training.cuda_graph import RecordIterations
from sgan_lab.training.failures import Failures
from sgan_lab.training.history import History
from sgan_lab.training.interruption import Interruption
from sgan_lab.training.loggers import finish, make_loggers
from sgan_lab.training.own import CheckStep, check_algorithm, is_own, own_errors
from sgan_lab.training.process import prepare_process
from sgan_lab.training.ranks import environment
from sgan_lab.training.results import (
    evaluate_run,
    git_commit,
    log_configuration,
    log_results,
    run_figures,
    run_metrics,
)

FIRST = "first_half"  # folder of the run that suggests labels, in that of the run they are for

log = logging.getLogger(__name__)


def train(
    folder: Path, on_start: Callable[[Callable[[], int], int], None] = lambda *_: None
) -> dict[str, Any]:
    """Train and test a classifier, and leave everything about it in the run folder.

    Where the folder holds a checkpoint, training continues from the newest that is intact. Of
    several processes (Lightning's DDP) each trains; the first one tests and writes.

    Args:
        folder: of the run; its config.yaml is the configuration, checked and resolved.
        on_start: called before the first iteration, with a function that returns the iteration, and
            the number of iterations.

    Returns:
        The content of metrics.json; in other processes than the first, nothing.

    Raises:
        UserError: data are missing or damaged, or training failed.
    """
    config = load_config(folder / "config.yaml")
    with own_errors(config, folder):
        return train_as(config, folder, on_start)


def train_as(
    config: DictConfig, folder: Path, on_start: Callable[[Callable[[], int], int], None]
) -> dict[str, Any]:
    """Train by a configuration, see `train`."""
    commit = git_commit()  # now, since the checkout may change while the run trains
    prepare_process(config.num_threads)
    seed_all(config.seed)
    data = load_data(config, folder, on_start)
    algorithm = build_algorithm(config, data)
    callbacks = list(instantiate(config.callbacks).values())
    callbacks.sort(key=lambda each: isinstance(each, Checkpoints))  # with the others' last states
    check_watched(callbacks, data.class_names)
    for name in config.metrics:
        if resolve_name(name).__name__ not in METRICS:  # which its module registers
            raise ConfigError("metrics", name, "must be a function with @metric")
    checkpoint = newest_checkpoint(callbacks, config, data.class_names)
    start = iteration_of(checkpoint) if checkpoint else 0
    history = History(None if algorithm.in_epochs else config.log_interval)
    failures = Failures(history, data)
    interruption = Interruption()
    validation = Validation(data)
    trainer = make_trainer(
        config,
        algorithm,
        logger=make_loggers(config, folder, start),
        callbacks=[
            *([CheckStep(config.model._target_)] if is_own(config.model._target_) else []),
            history,
            failures,
            validation,
            *callbacks,
            *([RecordIterations()] if config.cuda_graph else []),
            interruption,
        ],
        default_root_dir=folder,
    )
    if checkpoint is None and not rank_zero_only.rank:
        log_configuration(trainer.loggers, config)
        log.debug("Networks:\n%s", ModelSummary(algorithm, max_depth=3))
    data = data.to(trainer.strategy.root_device)
    algorithm.first_iteration = start
    batches = algorithm.batches(data, config.sample_interval)
    if checkpoint is None:
        algorithm.prepare(data)
    iterations = algorithm.training_limit.get("max_steps") or trainer.max_epochs * len(batches)
    on_start(lambda: trainer.global_step, iterations)
    if trainer.global_rank:  # equal weights in all processes, but draws of their own
        torch.manual_seed(config.seed + (trainer.global_rank << 32))  # seeds are below 2^32

    started = time.perf_counter()
    trainer.fit(algorithm, batches, ckpt_path=checkpoint, weights_only=True)
    interruption.end_if_received()
    if profile := trainer.profiler.summary():
        log.info("%s", profile)
    earlier = [each.seconds_before for each in callbacks if isinstance(each, Checkpoints)]
    seconds = sum(earlier) + time.perf_counter() - started
    if rank_zero_only.rank:
        return {}

    algorithm.to(trainer.strategy.root_device)
    evaluations = evaluate_run(algorithm, data, validation.temperature)
    failures.compare_frequencies(algorithm)
    for name, figure in run_figures(history, algorithm.in_epochs, evaluations["test"]).items():
        figure.savefig(folder / f"{name}.png")
    metrics = run_metrics(config, data, evaluations, trainer, seconds, commit)
    metrics["warnings"] = failures.found
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    log_results(trainer.loggers, config, data, evaluations["test"], trainer.global_step)
    finish(trainer.loggers)
    return metrics


def seed_all(seed: int) -> None:
    """Seed all random number generators."""
    pl.seed_everything(seed, verbose=False)
    # Lightning would seed again by it when it connects processes, all of them alike.
    os.environ.pop("PL_GLOBAL_SEED")


def load_data(
    config: DictConfig, folder: Path, on_start: Callable[[Callable[[], int], int], None]
) -> SemiSupervisedData:
    """The data of a configuration; where labels are suggested, by a first run with half of them.

    That run is in the folder `FIRST` of the run folder. It is not run again where it has finished.

    Args:
        config: of the run.
        folder: of the run.
        on_start: see `train`.
    """
    if config.data.get("labeled_split") != "suggested":
        return instantiate(config.data)

    def choose(images: Tensor, count: int) -> list[int]:
        first = first_config(config, folder, count)
        if not (folder / FIRST / "metrics.json").is_file():
            log.info("A first classifier is trained on %d labels.", first.data.num_labeled)
            (folder / FIRST).mkdir(exist_ok=True)
            OmegaConf.save(first, folder / FIRST / "config.yaml")
            train_as(first, folder / FIRST, on_start)
            seed_all(config.seed)  # as where it is not run
        log.info("Choosing %d of %d images to label, too.", count, len(images))
        classifier = load_classifier(find_checkpoint(folder / FIRST), trusted_networks(config))
        found = suggest(classifier, images, count, seed=config.data.label_seed)
        return [each.index for each in found]

    # Not by Hydra's call, which would wrap each error of the first run.
    return instantiate(config.data, _partial_=True)(suggest=choose)


def first_config(config: DictConfig, folder: Path, count: int) -> DictConfig:
    """The configuration of the run that suggests labels.

    Args:
        config: of the run that they are for.
        folder: of that run.
        count: labels that it suggests.

    Raises:
        ConfigError: it would leave no checkpoint in its folder.
    """
    first = config.copy()
    first.data.labeled_split = "random"
    first.data.num_labeled -= count
    for key, value in nodes(OmegaConf.to_container(config)):
        is_place = key.startswith(("logger.", "callbacks.")) and isinstance(value, str)
        if is_place and Path(value).is_relative_to(folder):
            place = folder / FIRST / Path(value).relative_to(folder)
            OmegaConf.update(first, key, str(place))
    places = [each.get("dirpath") for each in first.callbacks.values()]
    if str(folder / FIRST / FOLDER) not in places:
        allowed = "must have checkpoint, in the run folder, for data.labeled_split=suggested"
        raise ConfigError("callbacks", list(first.callbacks), allowed)
    return first


def build_algorithm(config: DictConfig, data: SemiSupervisedData) -> Algorithm:
    """The algorithm of a configuration, for the images and classes of a data set."""
    algorithm: Algorithm = instantiate(
        config.model,
        image_shape=data.image_shape,
        class_names=data.class_names,
        _convert_="all",  # plain types in the checkpoint, so that it loads with weights_only
    )
    if is_own(config.model._target_):
        shape, num_classes = data.image_shape, len(data.class_names)
        check_algorithm(algorithm, config.model._target_, shape, num_classes)
    if config.compile:
        for network in (algorithm.discriminator, getattr(algorithm, "generator", None)):
            if network is not None:
                network.compile(backend=config.compile)
    return algorithm


def make_trainer(config: DictConfig, algorithm: Algorithm, **arguments: Any) -> pl.Trainer:
    """Lightning's trainer for an algorithm.

    Args:
        config: of the run.
        algorithm: that it trains.
        arguments: of the trainer, besides those in the configuration.

    Raises:
        ConfigError: trainer.precision=bf16 is not for this algorithm or this processor.
    """
    arguments |= environment(config.trainer)
    is_bfloat16 = config.trainer.get("precision") == BFloat16.precision
    if is_bfloat16:  # which Lightning takes for bf16-mixed
        plugins = arguments.get("plugins", config.trainer.get("plugins", []))
        arguments |= {"precision": None, "plugins": [*plugins, BFloat16()]}
    trainer: pl.Trainer = instantiate(config.trainer, **algorithm.training_limit, **arguments)
    if is_bfloat16:
        check_bfloat16(algorithm, trainer.strategy.root_device)
    return trainer


def check_watched(callbacks: Sequence[pl.Callback], class_names: Sequence[str]) -> None:
    """Check that the metrics which callbacks watch on the validation images exist.

    Raises:
        ConfigError: one does not.
    """
    known = [*single_metrics(), *(f"class_accuracy/{name}" for name in class_names)]
    for callback in callbacks:
        part, _, name = str(getattr(callback, "monitor", "")).partition("/")
        if part == "validation" and name not in known:
            names = ", ".join(f"validation/{each}" for each in single_metrics())
            raise ConfigError("monitor", f"{part}/{name}", f"must be one of {names}")


def newest_checkpoint(
    callbacks: Sequence[pl.Callback], config: DictConfig, class_names: Sequence[str]
) -> Path | None:
    """The checkpoint to continue from, if there is one.

    Raises:
        DataError: it agrees with its checksum, but is no checkpoint of this program, or one of
            other classes than those of the data.
    """
    folder = next((each.folder for each in callbacks if isinstance(each, Checkpoints)), None)
    checkpoint = newest_intact(folder) if folder else None
    if checkpoint:  # anybody may have written the file and its checksum
        trained = load_classifier(checkpoint, trusted_networks(config)).class_names
        check_classes(checkpoint, trained, class_names)
    return checkpoint


def trusted_networks(config: DictConfig) -> list[str]:
    """The package of the network that the user has named."""
    return [str(config.model.get("discriminator")).split(".")[0]]
