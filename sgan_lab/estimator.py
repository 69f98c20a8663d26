"""The classifiers of this package as a scikit-learn estimator."""

import os
from collections.abc import Sequence
from numbers import Integral

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import ArrayLike
from omegaconf import DictConfig
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_random_state, check_X_y
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sgan_lab.config.checks import check_values
from sgan_lab.data.arrays import array_images
from sgan_lab.data.augmentation import Augmentation
from sgan_lab.data.containers import LabeledImages, SemiSupervisedData
from sgan_lab.errors import ConfigError, UserError
from sgan_lab.evaluation.classifier import Classifier
from sgan_lab.interface import hydra_as_on_the_command_line
from sgan_lab.networks.registry import LEAST_SIDE
from sgan_lab.training.callbacks import ProgressBar
from sgan_lab.training.cuda_graph import RecordIterations
from sgan_lab.training.history import History
from sgan_lab.training.interruption import Interruption
from sgan_lab.training.process import guest, prepare_process
from sgan_lab.training.ranks import set_rank
from sgan_lab.training.train import build_algorithm, make_trainer

SHAPE = "images are of (channels, height, width)"
UNLABELED = -1  # in place of a label, as in `sklearn.semi_supervised`
# What an override may change; all else has a parameter of its own or no effect.
KEYS = ("model.", "trainer", "data.batch_size=", "num_threads=", "cuda_graph=", "compile=")


class SGANClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of images that learns from few labels and many unlabeled images.

    Images are arrays (N, height, width) or (N, height, width, channels) with 1 or 3 channels, or
    (N, features) with `image_shape`; their height and width are at least 4. Pixels are uint8 from
    0 to 255, or floats in [0, 1].

    Args:
        model: as `model=` on the command line, such as "improved_sgan", "sgan", "vat" or
            "supervised".
        iterations: of training; "supervised" has `model.epochs` instead, see `overrides`.
        augmentation: random changes of training images, as `data/augmentation=` on the command
            line: "none", "digits", "photos" or "strong".
        image_shape: (height, width) or (height, width, channels) of the rows of a table; None
            where images are arrays.
        random_state: an integer is the seed of a run.
        overrides: other settings as on the command line, of `model.*`, `trainer`,
            `data.batch_size`, `num_threads`, `cuda_graph` and `compile`, such as
            ["model.discriminator=pooling", "trainer=gpu"].
        verbose: whether to show the progress on a terminal.

    Attributes:
        classes_: the labels, sorted, (classes,).
        classifier_: the trained classifier, see `sgan_lab.evaluation.classifier.Classifier`.
    """

    def __init__(
        self,
        model: str = "improved_sgan",
        *,
        iterations: int = 1000,
        augmentation: str = "digits",
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
        overrides: Sequence[str] = (),
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.iterations = iterations
        self.augmentation = augmentation
        self.image_shape = image_shape
        self.random_state = random_state
        self.overrides = overrides
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike) -> "SGANClassifier":  # noqa: N803
        """Train on images and labels; nothing is written.

        Args:
            X: images, see the class.
            y: a label for each, (N,); -1 for none. Labels that are texts need the dtype object
                where there is a -1. Where every image has a label, the same images are also the
                unlabeled ones.

        Raises:
            ValueError: X or y is not allowed.
            UserError: a parameter is not allowed, or training failed.
            KeyboardInterrupt: Ctrl-C; the estimator is as it was.
        """
        X, y = check_X_y(X, y, allow_nd=True, dtype=None)  # noqa: N806
        images = self._images(X)
        if y.dtype.kind in "US" and str(UNLABELED) in y.astype(str):
            raise ValueError("y has texts and -1: give it the dtype object, with -1 for no label")
        has_label = np.ones(len(y), bool) if y.dtype.kind in "US" else y != UNLABELED
        labels = np.array(y[has_label].tolist())  # of their own type where y is of objects
        check_classification_targets(labels)
        classes, labels = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has {len(classes)} class: at least two are needed")
        labeled = LabeledImages(images[has_label], torch.from_numpy(labels))
        config = self._config()
        data = SemiSupervisedData(
            labeled,
            images if has_label.all() else images[~has_label],
            test=labeled,  # for the shape of an image; it is not evaluated
            validation=None,
            class_names=tuple(map(str, classes)),
            batch_size=config.data.batch_size,
            augmentation=Augmentation(**config.data.augmentation),
        )
        self.classifier_ = self._train(config, data)
        self.classes_ = classes
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """The most probable classes of images, (N,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """The probabilities of the classes, (N, classes), in the order of `classes_`.

        Raises:
            ValueError: images are not allowed, or of another shape than those of `fit`.
        """
        check_is_fitted(self)
        images = self._images(check_array(X, allow_nd=True, dtype=None))
        if images.shape[1:] != self.classifier_.image_shape:
            found, expected = tuple(images.shape[1:]), self.classifier_.image_shape
            raise ValueError(f"{SHAPE} = {found}: must be {expected} as in fit")
        return self.classifier_.logits(images).double().softmax(dim=1).numpy()

    def _images(self, values: np.ndarray) -> Tensor:
        if values.ndim == 2 and self.image_shape is None:
            raise ValueError("images are rows of a table: set image_shape to (height, width)")
        if values.ndim == 2 and values.shape[1] != np.prod(self.image_shape):
            raise ValueError(
                f"X has {values.shape[1]} features, but {type(self).__name__} is expecting "
                f"{np.prod(self.image_shape)} features as input: image_shape={self.image_shape}"
            )
        if values.ndim == 2:
            values = values.reshape(-1, *self.image_shape)
        images = array_images(values)
        channels, *size = images.shape[1:]
        if channels not in (1, 3) or min(size) < LEAST_SIDE:
            allowed = f"1 or 3 channels, and {LEAST_SIDE} pixels or more along each side"
            raise ValueError(f"{SHAPE} = {tuple(images.shape[1:])}: must have {allowed}")
        return images

    def _config(self) -> DictConfig:
        for override in self.overrides:
            if not override.startswith(KEYS):
                raise UserError(f"overrides: {override} must begin with one of {', '.join(KEYS)}")
        if isinstance(self.random_state, Integral):
            seed = self.random_state
        else:
            seed = check_random_state(self.random_state).randint(2**31 - 1)
        overrides = [f"model={self.model}", f"iterations={self.iterations}", "data=digits"]
        overrides += [f"data/augmentation={self.augmentation}", f"seed={seed}", *self.overrides]
        with hydra_as_on_the_command_line():
            config = hydra.compose("config", overrides)
            check_values(config)
        if (devices := config.trainer.get("devices", 1)) != 1:
            raise ConfigError("trainer.devices", devices, "must be 1 for an estimator")
        return config

    def _train(self, config: DictConfig, data: SemiSupervisedData) -> Classifier:
        with guest():
            set_rank(0)
            prepare_process(config.num_threads)
            pl.seed_everything(config.seed, verbose=False)
            os.environ.pop("PL_GLOBAL_SEED")  # see `sgan_lab.training.train`
            algorithm = build_algorithm(config, data)
            interruption = Interruption()
            trainer = make_trainer(
                config,
                algorithm,
                logger=False,
                enable_checkpointing=False,
                callbacks=[
                    History(None),
                    *([ProgressBar()] if self.verbose else []),
                    *([RecordIterations()] if config.cuda_graph else []),
                    interruption,
                ],
            )
            data = data.to(trainer.strategy.root_device)
            batches = algorithm.batches(data, config.sample_interval)
            algorithm.prepare(data)
            trainer.fit(algorithm, batches)
            interruption.end_if_received()
        network, names = algorithm.classifier.cpu().eval(), list(data.class_names)
        return Classifier(network, data.image_shape, names, algorithm.hparams.discriminator)
