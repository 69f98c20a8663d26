"""The classifier of a checkpoint, without the module that trained it."""

import math
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor, nn

from sgan_lab.config.targets import TARGET
from sgan_lab.data.arrays import Images, image_bytes
from sgan_lab.data.containers import scale
from sgan_lab.errors import DataError, UserError, reason
from sgan_lab.evaluation.checksums import check_checkpoint
from sgan_lab.networks.registry import DISCRIMINATORS, make_discriminator

# Of the weights of the classifier; a running average comes before the network that is averaged.
PREFIXES = ("averaged_discriminator.module.", "discriminator.")
TEMPERATURE, BACKGROUND = "temperature", "background"  # keys of a checkpoint
BATCH_SIZE = 256  # images at once; changes memory and speed only


class Classifier(NamedTuple):
    """A trained discriminator in inference mode.

    Attributes:
        network: images (N, channels, height, width) in [-1, 1] to logits (N, classes).
        image_shape: (channels, height, width) of an image.
        class_names: a name for each label.
        discriminator: the name of the network, see `networks.registry`.
        temperature: what the logits are divided by for probabilities, see `calibration`.
        background: the color that transparent pixels of image files are put on.
    """

    network: nn.Module
    image_shape: tuple[int, int, int]
    class_names: list[str]
    discriminator: str
    temperature: float = 1.0
    background: str = "white"

    def predict(self, images: Images) -> np.ndarray:
        """The names of the most probable classes, (N,).

        Args:
            images: arrays, tensors, pictures or paths, see `sgan_lab.data.arrays.image_bytes`.

        Raises:
            ValueError: an array or a tensor has another shape or other values.
            DataError: a file is no readable image.
        """
        return np.array(self.class_names)[self.predict_proba(images).argmax(axis=1)]

    def predict_proba(self, images: Images) -> np.ndarray:
        """The calibrated probabilities, (N, classes), in the order of `class_names`.

        For arguments and errors see `predict`.
        """
        logits = self.logits(image_bytes(images, self.image_shape, self.background))
        return self.probabilities(logits).numpy()

    def probabilities(self, logits: Tensor) -> Tensor:
        """The calibrated probabilities of logits (N, classes)."""
        return (logits / self.temperature).softmax(dim=1)

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Images as bytes (N, channels, height, width) to logits (N, classes), in batches."""
        return torch.cat([self.network(scale(batch)) for batch in images.split(BATCH_SIZE)])

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] (N, channels, height, width) to the last hidden layer, (N, size)."""
        batches = images.split(BATCH_SIZE)
        return torch.cat([self.network.features(batch).flatten(1) for batch in batches])


def load_classifier(checkpoint: str | Path, trusted: Collection[str] = ()) -> Classifier:
    """Load the classifier of a checkpoint. Only tensors and plain values are read; no code is run.

    Args:
        checkpoint: the file.
        trusted: packages of the user's whose networks may be called.

    Raises:
        DataError: the file cannot be read, is no checkpoint of this version, or has a network of
            a package that is not trusted.
    """
    check_checkpoint(Path(checkpoint))
    try:
        with warnings.catch_warnings():
            # The error says it.
            warnings.filterwarnings("ignore", message=".*TorchScript archive")
            content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        settings, weights = content["hyper_parameters"], content["state_dict"]
        image_shape, class_names = tuple(settings["image_shape"]), list(settings["class_names"])
        discriminator = settings.get("discriminator")
        package = str(discriminator).split(".")[0]
        if discriminator not in DISCRIMINATORS and package not in trusted:
            if TARGET.fullmatch(str(discriminator)):
                raise DataError(
                    f"{checkpoint} has the network {discriminator}, which is not of sgan_lab. If "
                    f"you trust the code of that package: --trust {package}"
                )
            known = ", ".join(DISCRIMINATORS)
            raise ValueError(f"discriminator={discriminator} is none of {known}")
        prefix = next(each for each in PREFIXES if any(name.startswith(each) for name in weights))
        weights = {
            name.removeprefix(prefix): weight
            for name, weight in weights.items()
            if name.startswith(prefix)
        }
        network = make_discriminator(discriminator, image_shape, len(class_names))
        network.load_state_dict(weights)
        temperature = float(content.get(TEMPERATURE, 1))
        if not 0 < temperature < math.inf:
            raise ValueError(f"{TEMPERATURE}={temperature} is no temperature")
        background = content.get(BACKGROUND, "white")
        ImageColor.getrgb(background)  # raises where it is no color
    except UserError:
        raise
    except Exception as error:  # other files each fail in their own way
        # torch goes on to advise loading without weights_only, which would run the file's code.
        why = reason(error).split(". ")[0]
        what = f"{checkpoint} is no readable checkpoint of this version of sgan_lab"
        raise DataError(f"{what}: {why}") from error
    return Classifier(
        network.eval(), image_shape, class_names, discriminator, temperature, background
    )
