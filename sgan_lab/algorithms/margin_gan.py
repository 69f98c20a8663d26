"""MarginGAN: a classifier that is sure of real images, and of generated ones as little as it can.

Dong and Lin 2019, MarginGAN: Adversarial Training in Semi-Supervised Learning
(github.com/DJjjjhao/MarginGAN).
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from sgan_lab import losses
from sgan_lab.algorithms.base import accuracy, frozen, keras_adam
from sgan_lab.algorithms.sgan import SGAN, logged
from sgan_lab.data.batches import SemiSupervisedBatch
from sgan_lab.networks.registry import make_discriminator


class MarginGAN(SGAN):
    """Three networks, and one step of each an iteration; networks and optimizers are the SGAN's.

    The classifier raises the margin of the most probable class on real images and lowers it on
    generated ones. A critic tells real from generated images. The generator makes images that the
    critic calls real and of which the classifier is sure.

    The authors' program for MNIST differs in its networks, has momentum for the classifier, adds
    1e-6 in logarithms, and first trains the classifier on the labels alone, up to a test accuracy.
    Here, an unlabeled image has no part before its class is probable. Of the generator's losses the
    program logs 0.9 and 0.1 times, but follows the sum, as here.

    Args:
        threshold: in [0, 1); what the probability of a class must exceed to label an unlabeled
            image; 0 in the program.
        training: see `SGAN`; the labeled learning rate is the classifier's, the unlabeled one the
            critic's.

    Attributes:
        critic: a network of the discriminator's kind with one logit, that of "real".
    """

    def __init__(self, *, threshold: float, **training: Any) -> None:
        super().__init__(**training)
        self.critic = make_discriminator(
            self.hparams.discriminator, self.hparams.image_shape, num_classes=1
        )

    def training_step(self, batch: SemiSupervisedBatch, _: int) -> dict[str, Tensor]:
        """One iteration; returns its losses and the accuracy on the labeled batch."""
        images = self.generator(self.noise(len(batch.labels)))
        class_loss, unlabeled_loss, batch_accuracy = self.classifier_step(batch, images.detach())
        real_loss, fake_loss = self.critic_step(batch, images.detach())
        generator_loss = self.generator_step(images)
        values = logged(class_loss, batch_accuracy, real_loss, fake_loss, generator_loss)
        return values | {"unlabeled/loss": unlabeled_loss}

    def classifier_step(
        self, batch: SemiSupervisedBatch, fake_images: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move the classifier; returns its loss on labeled and on other images, and accuracy."""
        images = torch.cat([batch.labeled_images, batch.unlabeled_images, fake_images])
        labeled_logits, logits, fake_logits = self.discriminator(images).chunk(3)
        class_loss = losses.class_loss(labeled_logits, batch.labels)
        pseudo_loss, _ = losses.pseudo_label_loss(logits, logits, self.hparams.threshold)
        unlabeled_loss = pseudo_loss + losses.inverted_class_loss(fake_logits)
        self.update(class_loss + unlabeled_loss, self.labeled_optimizer)
        batch_accuracy = accuracy(labeled_logits, batch.labels)
        return class_loss.detach(), unlabeled_loss.detach(), batch_accuracy

    def critic_step(self, batch: SemiSupervisedBatch, fake_images: Tensor) -> tuple[Tensor, Tensor]:
        """Move the critic; returns its losses on real and on generated images."""
        real_images = torch.cat([batch.labeled_images, batch.unlabeled_images])
        logits = self.critic(torch.cat([real_images, fake_images]))
        real_logits, fake_logits = logits.tensor_split([len(real_images)])
        real_loss, fake_loss = losses.real_loss(real_logits), losses.fake_loss(fake_logits)
        self.update(2 * real_loss + fake_loss, self.unlabeled_optimizer)
        return real_loss.detach(), fake_loss.detach()

    def generator_step(self, images: Tensor) -> Tensor:
        """Move the generator of these images, and only it."""
        with frozen(self.discriminator, self.critic):
            logits = self.discriminator(images)
            margin_loss = losses.class_loss(logits, logits.argmax(dim=1))
            loss = losses.real_loss(self.critic(images)) + margin_loss
            self.update(loss, self.generator_optimizer)
        return loss.detach()

    def configure_optimizers(self) -> list[Optimizer]:
        """Adam with Keras's epsilon, for the classifier, the critic and the generator."""
        return [
            keras_adam(self.discriminator, self.hparams.labeled_learning_rate),
            keras_adam(self.critic, self.hparams.unlabeled_learning_rate),
            keras_adam(self.generator, self.hparams.generator_learning_rate),
        ]
