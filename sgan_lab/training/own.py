"""Code of the user's own in a run: what it makes is checked, its errors are one line each."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from types import FrameType

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor

from sgan_lab.algorithms.base import GAN, Algorithm, SemiSupervisedClassifier
from sgan_lab.config.targets import PLACES, code_names, is_in, nodes
from sgan_lab.errors import ConfigError, UserError, reason

STEP = (
    "training_step must return a dict of scalar tensors by the names of their curves, the same "
    "names at each iteration"
)
SEMI_SUPERVISED = (
    "labeled_logits_and_unlabeled_loss must return logits (N, classes) of the labeled images and a "
    "dict of scalar tensors, one of them unlabeled/loss"
)


def is_own(target: str) -> bool:
    """Whether a dotted name is of the user's own code."""
    return not is_in(target, PLACES)


@contextmanager
def own_errors(config: DictConfig, folder: Path) -> Iterator[None]:
    """Turn an error that code of the user's own has raised into one line, which names the place.

    The run.log in the folder of the run gets the traceback.

    Raises:
        UserError: there is such an error, or Lightning has refused its arguments.
    """
    try:
        yield
    except UserError:
        raise
    except MisconfigurationException as error:
        raise UserError(reason(error)) from error
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, InstantiationException) and cause.__cause__:
            cause = cause.__cause__
        message = described(cause, config)
        if message is None:
            raise
        log_file = folder / "run.log"
        with log_file.open("a") as file:
            traceback.print_exception(error, file=file)
        raise UserError(f"{message}. The traceback is in {log_file}.") from error


def described(error: BaseException, config: DictConfig) -> str | None:
    """An error of code of the user's own in words; None where it is no such error."""
    names = {name for _, name in code_names(nodes(OmegaConf.to_container(config))) if is_own(name)}
    packages = {name.split(".")[0] for name in names}
    calls = list(traceback.walk_tb(error.__traceback__))
    what = " ".join(f"{type(error).__name__}: {error}".split())
    for frame, line in reversed(calls):
        if frame.f_globals.get("__name__", "").split(".")[0] in packages:
            file = Path(frame.f_code.co_filename).name
            return f"{function_name(frame)} ({file}, line {line}) raised {what}"
    called = [frame.f_code.co_name for frame, _ in calls]
    if config.model._target_ in names and "training_step" in called:
        made = resolve_name(config.model._target_)
        expected = SEMI_SUPERVISED if issubclass(made, SemiSupervisedClassifier) else STEP
        return f"model._target_={config.model._target_}: {expected} ({what})"
    return None


def function_name(frame: FrameType) -> str:
    """The dotted name of the function that a frame runs."""
    names = [frame.f_globals["__name__"], frame.f_code.co_name]
    if "self" in frame.f_locals:
        names.insert(1, type(frame.f_locals["self"]).__name__)
    return ".".join(names)


@torch.no_grad()
def check_algorithm(
    algorithm: object, target: str, image_shape: tuple[int, ...], num_classes: int
) -> None:
    """Check the shapes that a model of the user's own makes of two images, without random draws.

    Raises:
        ConfigError: its logits or its generated images have another shape.
    """
    if not isinstance(algorithm, Algorithm):
        raise ConfigError("model._target_", target, "must make an Algorithm of sgan_lab")
    images = torch.zeros(2, *image_shape)
    with torch.random.fork_rng():
        algorithm.eval()
        shapes = [("logits", algorithm(images), (2, num_classes))]
        algorithm.train()
        if isinstance(algorithm, GAN):
            generated = algorithm.inferred_images(algorithm.noise(2))
            shapes.append(("generated images", generated, tuple(images.shape)))
    for name, made, expected in shapes:
        shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        if shape != expected:
            allowed = f"its {name} of 2 images must have the shape {expected}, not {shape}"
            raise ConfigError("model._target_", target, allowed)


class CheckStep(Callback):
    """Checks what the training step of a model of the user's own returns, by its class's name."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.names: set[str] = set()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, *_: object
    ) -> None:
        """Raise a ConfigError for what is no dict of scalars, or has other names than before."""
        names = set(outputs) - {"loss"} if isinstance(outputs, dict) else set()
        self.names = self.names or names
        if not names or names != self.names or not all(map(is_scalar, outputs.values())):
            raise ConfigError("model._target_", self.target, STEP)


def is_scalar(value: object) -> bool:
    """Whether a value is a tensor without dimensions."""
    return isinstance(value, Tensor) and value.ndim == 0
