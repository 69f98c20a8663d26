"""The classifier of a checkpoint, as `evaluate`, `predict` and `export` take it away."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sgan_lab.errors import DataError
from sgan_lab.evaluation.checksums import check_checkpoint
from sgan_lab.networks.mlp import MLPDiscriminator
from sgan_lab.networks.pooling import PoolingDiscriminator
from sgan_lab.networks.tutorial import Discriminator

# The first of these prefixes that a checkpoint's weights have is that of its classifier.
PREFIXES = ("averaged_discriminator.module.", "discriminator.")
# Networks by the name of a weight that only they have.
NETWORKS = {
    "layers.0.weight": Discriminator,
    "convolutions.0.weight": PoolingDiscriminator,
    "hidden.1.bias": MLPDiscriminator,
}


class Classifier(NamedTuple):
    """A trained discriminator in inference mode, with what is needed to feed and read it."""

    network: Discriminator | PoolingDiscriminator | MLPDiscriminator
    image_shape: tuple[int, int, int]
    class_names: list[str]


def load_classifier(checkpoint: Path) -> Classifier:
    """The classifier of a checkpoint; only tensors and plain values are read, no code is run.

    Raises:
        DataError: the file cannot be read or is no checkpoint of this program.
    """
    check_checkpoint(checkpoint)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*TorchScript archive")  # the error says it
            content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        image_shape = tuple(content["hyper_parameters"]["image_shape"])
        class_names = list(content["hyper_parameters"]["class_names"])
        weights = content["state_dict"]
        prefix = next(each for each in PREFIXES if any(name.startswith(each) for name in weights))
        weights = {
            name.removeprefix(prefix): weight
            for name, weight in weights.items()
            if name.startswith(prefix)
        }
        network_class = next(NETWORKS[name] for name in NETWORKS if name in weights)
        network = network_class(image_shape, len(class_names))
        network.load_state_dict(weights)
    except Exception as error:  # other files each fail in their own way
        # torch goes on to advise loading without weights_only, which would run the file's code.
        reason = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
        raise DataError(f"{checkpoint} is no readable checkpoint of sgan_lab: {reason}") from error
    return Classifier(network.eval(), image_shape, class_names)
