"""What all algorithms share: what a run asks of them, and how their networks are updated.

A new algorithm is a subclass of `Algorithm`, of `GAN` if it has a generator, or of
`SemiSupervisedClassifier` if it makes one update an iteration along a labeled and an unlabeled
loss.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from sgan_lab import losses
from sgan_lab.algorithms.schedules import linear_decay, ramp_up
from sgan_lab.data.batches import SemiSupervisedBatch, SemiSupervisedBatches
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.errors import ConfigError
from sgan_lab.networks.registry import make_discriminator

KERAS_EPSILON = 1e-7  # of Adam


class Algorithm(LightningModule):
    """A classifier in training; `forward` maps images to class logits.

    Args:
        image_shape: (channels, height, width) of an image.
        class_names: a name for each label; kept in checkpoints for those who use the classifier.
        discriminator: name of the network that classifies, see `networks.registry`.

    Attributes:
        discriminator: a network from images (N, channels, height, width) in [-1, 1] to class
            logits (N, classes).
        in_epochs: whether training is measured in passes over the labeled images, and each value
            that `training_step` returns is a mean over the pass; otherwise it is measured in
            `hparams.iterations`.
        learning_rate_decay: fraction of training, at its end, in which the learning rates fall
            linearly to zero.
        unlabeled_batches: unlabeled batches with each labeled one.
        views: of the unlabeled images in a batch, see `SemiSupervisedBatch`.
        strong_augmentation: attributes of an `Augmentation` by which the first view is changed, in
            place of those of the data; None or empty for no others.
        first_iteration: the one that training begins or goes on with, counted from 0.
        logit_adjustment: times the log-frequencies of classes among the labels, which are added to
            the logits in the class loss (Menon et al. 2021, Long-tail Learning via Logit
            Adjustment, equation 10).
        weights: file of weights that the discriminator begins with; None for random ones.
    """

    in_epochs: bool = False
    learning_rate_decay: float = 0.0
    unlabeled_batches: int = 1
    views: int = 1
    strong_augmentation: Mapping[str, float] | None = None
    first_iteration: int = 0
    logit_adjustment: float = 0.0
    weights: str | None = None

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_names: Sequence[str],
        discriminator: str = "strided",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # the arguments of subclasses, too
        self.discriminator = make_discriminator(discriminator, image_shape, len(class_names))

    @property
    def classifier(self) -> nn.Module:
        """The network that is tested and exported."""
        return self.discriminator

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to class logits (N, classes)."""
        return self.classifier(images)

    def inferred(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Output of a network in inference mode, without gradients; it stays in training mode."""
        network.eval()
        with torch.no_grad():
            outputs = network(inputs)
        network.train()
        return outputs

    @property
    def training_limit(self) -> dict[str, int]:
        """When Lightning's trainer stops, as its arguments."""
        return {"max_epochs": -1, "max_steps": self.hparams.iterations}

    def batches(self, data: SemiSupervisedData, sample_interval: int) -> Iterable[Any]:
        """The batches of one Lightning epoch, which is a sample interval."""
        self.learn_frequencies(data)
        batches = SemiSupervisedBatches(data, sample_interval, self.unlabeled_batches, self.views)
        if self.strong_augmentation:
            batches.first_view = replace(data.augmentation, **self.strong_augmentation)
        return batches

    def learn_frequencies(self, data: SemiSupervisedData) -> None:
        """Take over how frequent classes are among the labels, where batches do not tell."""
        least = 1 / len(data.labeled.labels)  # of a class without labels
        offsets = self.logit_adjustment * data.label_frequencies.clamp(min=least).log()
        self.logit_offsets = offsets if self.logit_adjustment else None

    def class_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of logits (N, classes) with labels (N,), adjusted."""
        if self.logit_adjustment:
            logits = logits + self.logit_offsets
        return losses.class_loss(logits, labels)

    def prepare(self, data: SemiSupervisedData) -> None:
        """What precedes the first iteration; not called where a checkpoint holds its result.

        Raises:
            ConfigError: weights are given, and the discriminator cannot take them.
        """
        if self.weights is None:
            return
        if not hasattr(self.discriminator, "load"):
            raise ConfigError("model.weights", self.weights, "needs model.discriminator=resnet18")
        self.discriminator.load(Path(self.weights).expanduser())
        if self.classifier is not self.discriminator:  # a running average of it
            self.classifier.module.load_state_dict(self.discriminator.state_dict())

    def on_train_batch_start(self, *_: object) -> None:
        """Set the learning rates of an iteration."""
        if not self.learning_rate_decay:
            return
        factor = linear_decay(self.global_step, self.hparams.iterations, self.learning_rate_decay)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                learning_rate = factor * optimizer.defaults["lr"]
                if isinstance(group["lr"], Tensor):  # a recorded step reads it
                    group["lr"].fill_(learning_rate)
                else:
                    group["lr"] = learning_rate

    def update(self, loss: Tensor, optimizer: Optimizer | LightningOptimizer) -> None:
        """One step of an optimizer along the gradient of a loss, in manual optimization."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        torch.clear_autocast_cache()  # the weights in bfloat16, which are those before the step

    def step_kind(self) -> Hashable:
        """What the coming training step depends on besides its batch and the tensors of the module.

        A CUDA graph is recorded for each value, see `training.cuda_graph`. Here it is nothing else.
        """
        return None


class GAN(Algorithm):
    """A generator and a discriminator, updated in steps of their own.

    Attributes:
        generator: a network from noise to images in [-1, 1].
    """

    automatic_optimization = False
    generator: nn.Module

    def noise(self, num_images: int) -> Tensor:
        """Input of the generator, of shape (num_images, noise size)."""
        raise NotImplementedError

    def inferred_images(self, noise: Tensor) -> Tensor:
        """Images of the generator in inference mode: running averages, unchanged."""
        return self.inferred(self.generator, noise)

    def on_train_start(self) -> None:
        """Take the optimizers.

        Lightning's `global_step` counts the steps of the optimizers that it has wrapped. With only
        the generator's wrapped it is the number of iterations, and so is every step that loggers,
        checkpoints and `max_steps` derive from it.
        """
        *self.discriminator_optimizers, _ = self.optimizers(use_pl_optimizer=False)
        self.generator_optimizer = self.optimizers()[-1]


class SemiSupervisedClassifier(Algorithm):
    """One update an iteration, along class loss + weight * unlabeled loss, without a generator.

    Oliver et al. 2018, Realistic Evaluation of Deep Semi-Supervised Learning Algorithms, compares
    such algorithms by one protocol (github.com/brain-research/realistic-ssl-evaluation).

    Args:
        iterations: length of training.
        learning_rate: of Adam.
        learning_rate_decay: fraction of training, at its end, in which the learning rate falls
            linearly to zero.
        weight: of the unlabeled loss, after the ramp-up.
        ramp_up: fraction of training, at its start, in which the weight rises.
        unlabeled_batches: unlabeled batches with each labeled one.
        logit_adjustment: see `Algorithm`.
        weights: see `Algorithm`.
        network: see `Algorithm`.
    """

    automatic_optimization = False

    def __init__(
        self,
        *,
        iterations: int,
        learning_rate: float,
        learning_rate_decay: float,
        weight: float,
        ramp_up: float,
        unlabeled_batches: int = 1,
        logit_adjustment: float = 0.0,
        weights: str | None = None,
        **network: Any,
    ) -> None:
        super().__init__(**network)
        self.logit_adjustment = logit_adjustment
        self.weights = weights
        self.learning_rate_decay = learning_rate_decay
        self.unlabeled_batches = unlabeled_batches
        # A tensor, since a recorded step reads it.
        self.register_buffer("ramped_weight", torch.tensor(0.0), persistent=False)

    def on_train_batch_start(self, *_: object) -> None:
        """Set the learning rate and the weight of the unlabeled loss of an iteration."""
        super().on_train_batch_start()
        factor = ramp_up(self.global_step, self.hparams.iterations, self.hparams.ramp_up)
        self.ramped_weight.fill_(factor * self.hparams.weight)

    def labeled_logits_and_unlabeled_loss(
        self, batch: SemiSupervisedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What makes the algorithm.

        Returns:
            Logits (N, classes) of the labeled images, and scalars to log; "unlabeled/loss" is
            minimized with its weight, and "unlabeled/propagation_loss", if there is one, as it is.
        """
        raise NotImplementedError

    def training_step(self, batch: SemiSupervisedBatch, _: int) -> dict[str, Tensor]:
        """One iteration; returns its losses and the accuracy on the labeled batch."""
        logits, values = self.labeled_logits_and_unlabeled_loss(batch)
        class_loss = self.class_loss(logits, batch.labels)
        loss = class_loss + self.ramped_weight * values["unlabeled/loss"]
        loss = loss + values.get("unlabeled/propagation_loss", 0.0)
        self.update(loss, self.optimizers())
        return {
            "labeled/class_loss": class_loss.detach(),
            "labeled/accuracy": accuracy(logits, batch.labels),
            **{name: value.detach() for name, value in values.items()},
        }

    def logits_of(self, labeled_images: Tensor, unlabeled_images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of a batch of each, in one pass."""
        images = torch.cat([labeled_images, unlabeled_images])
        return self.discriminator(images).tensor_split([len(labeled_images)])

    def configure_optimizers(self) -> Optimizer:
        """Adam with Keras's epsilon."""
        return keras_adam(self.discriminator, self.hparams.learning_rate)


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """No gradients for the weights of networks within."""
    trained = [each for network in networks for each in network.parameters() if each.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Fraction of the logits (N, classes) whose largest is that of its label (N,)."""
    return (logits.argmax(dim=1) == labels).float().mean()


def keras_adam(network: nn.Module, learning_rate: float) -> Optimizer:
    """Adam for a network's weights, with Keras's epsilon."""
    return Adam(network.parameters(), lr=learning_rate, eps=KERAS_EPSILON, fused=True)
