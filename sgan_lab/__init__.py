"""Learn a classifier from a handful of labels with a GAN.

What a notebook or a program imports is described in docs/python.md.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgan_lab.estimator import SGANClassifier
    from sgan_lab.evaluation.classifier import load_classifier
    from sgan_lab.interface import Run, load, train

__version__ = "0.2.0"
__all__ = ["Run", "SGANClassifier", "__version__", "load", "load_classifier", "train"]

# Here, since Lightning imports matplotlib before any module that draws. It warns where its cache
# has no place to stay, as in a read-only home.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

# Imported when they are asked for, since torch takes seconds.
PLACES = {
    "Run": "sgan_lab.interface",
    "SGANClassifier": "sgan_lab.estimator",
    "load": "sgan_lab.interface",
    "load_classifier": "sgan_lab.evaluation.classifier",
    "train": "sgan_lab.interface",
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
