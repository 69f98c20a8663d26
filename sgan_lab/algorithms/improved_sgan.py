"""The SGAN with improvements of later papers, each a switch. With all of them off it is `SGAN`."""

from typing import Any

from torch import Tensor, nn

from sgan_lab import losses
from sgan_lab.algorithms.averaging import RunningAverage
from sgan_lab.algorithms.base import accuracy, frozen
from sgan_lab.algorithms.consistency import Consistency
from sgan_lab.algorithms.sgan import SGAN, logged
from sgan_lab.data.batches import SemiSupervisedBatch


class ImprovedSGAN(Consistency, SGAN):
    """The SGAN's steps with other losses, in one update of the discriminator or three.

    Args:
        joint_update: whether the discriminator makes one update, along the sum of the labeled loss
            and the mean of the real and the fake loss, with the unlabeled learning rate.
        feature_matching: whether the generator matches the mean features of the unlabeled images,
            instead of having its images called real (Salimans et al. 2016, section 3.1).
        label_smoothing: s in the target 1 - s of real images (the same, section 3.4).
        consistency_weight: of the Pi-model's loss, by which two views of the unlabeled images
            agree, the target without dropout (Laine and Aila 2017, algorithm 1); the
            real-or-fake loss has weight 1. For its targets and the view that learns see
            `Consistency`.
        unlabeled_batches: unlabeled batches with each labeled one.
        averaging_rate: the classifier is a running average of the discriminator that moves this /
            iterations of the way at each iteration; None for the discriminator itself.
        learning_rate_decay: fraction of training, at its end, in which the learning rates fall
            linearly to zero.
        training: see `Consistency` and `SGAN`.
    """

    def __init__(
        self,
        *,
        joint_update: bool = False,
        feature_matching: bool = False,
        label_smoothing: float = 0.0,
        consistency_weight: float = 0.0,
        unlabeled_batches: int = 1,
        averaging_rate: float | None = None,
        learning_rate_decay: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.unlabeled_batches = unlabeled_batches
        self.learning_rate_decay = learning_rate_decay
        self.views = 2 if consistency_weight else 1
        self.averaged_discriminator = averaging_rate and RunningAverage(
            self.discriminator, rate=averaging_rate / self.hparams.iterations
        )

    @property
    def classifier(self) -> nn.Module:
        """The running average of the discriminator, if there is one."""
        return self.averaged_discriminator or self.discriminator

    def training_step(self, batch: SemiSupervisedBatch, _: int) -> dict[str, Tensor]:
        """One iteration; returns its losses and the accuracy on the labeled batch."""
        num_images = len(batch.labels)
        fake_images = self.inferred_images(self.noise(num_images))
        if self.alignment:
            self.alignment.update_labels(batch.labels)
        steps = self.joint_step if self.hparams.joint_update else self.separate_steps
        of_discriminator = steps(batch, fake_images)
        if self.averaged_discriminator:
            self.averaged_discriminator.update_parameters(self.discriminator)
        noise = self.noise(num_images)
        if self.hparams.feature_matching:
            generator_loss = self.matching_step(noise, batch.unlabeled_images[:num_images])
        else:
            generator_loss = self.generator_step(noise)
        return logged(*of_discriminator, generator_loss)

    def separate_steps(self, batch: SemiSupervisedBatch, fake_images: Tensor) -> tuple[Tensor, ...]:
        """Three updates; returns class loss, accuracy, real loss and fake loss."""
        return (
            *self.labeled_step(batch.labeled_images, batch.labels),
            self.real_step(batch.unlabeled_images, batch.guesses),
            self.fake_step(fake_images),
        )

    def joint_step(self, batch: SemiSupervisedBatch, fake_images: Tensor) -> tuple[Tensor, ...]:
        """One update along the sum of the losses; returns what `separate_steps` returns."""
        self.unlabeled_optimizer.zero_grad()
        logits = self.discriminator(batch.labeled_images)
        class_loss = losses.class_loss(logits, batch.labels)
        self.manual_backward(class_loss)  # each loss by itself: its graph is freed at once
        real_loss, other_terms = self.unlabeled_losses(batch.unlabeled_images, batch.guesses)
        self.manual_backward(0.5 * (real_loss + other_terms))
        fake_loss = losses.fake_loss(self.discriminator(fake_images))
        self.manual_backward(0.5 * fake_loss)
        self.unlabeled_optimizer.step()
        batch_accuracy = accuracy(logits, batch.labels)
        return class_loss.detach(), batch_accuracy, real_loss.detach(), fake_loss.detach()

    def real_step(self, images: Tensor, guesses: Tensor | None = None) -> Tensor:
        """Step 2, with views of the images that agree in their classes."""
        real_loss, other_terms = self.unlabeled_losses(images, guesses)
        self.update(real_loss + other_terms, self.unlabeled_optimizer)
        return real_loss.detach()

    def unlabeled_losses(
        self, images: Tensor, guesses: Tensor | None
    ) -> tuple[Tensor, Tensor | float]:
        """The real-or-fake loss of unlabeled images, and the sum of the other, weighted losses."""
        view, *other_views = images.chunk(self.views)
        logits = self.discriminator(view)
        real_loss = losses.real_loss(logits, self.hparams.label_smoothing)
        others: Tensor | float = 0.0
        if self.propagation:
            others = self.propagation.loss(logits, guesses, self.global_step)
        if not other_views:
            return real_loss, others
        target_logits = self.inferred(self.discriminator, *other_views)
        if self.alignment:
            target_logits = self.alignment(target_logits)
        consistency_loss = losses.consistency_loss(logits, target_logits)
        return real_loss, others + self.hparams.consistency_weight * consistency_loss

    def matching_step(self, noise: Tensor, real_images: Tensor) -> Tensor:
        """Step 4 towards images with the mean features of real ones."""
        with frozen(self.discriminator):
            loss = losses.feature_matching_loss(
                self.discriminator.features(real_images),
                self.discriminator.features(self.generator(noise)),
            )
            self.update(loss, self.generator_optimizer)
        return loss.detach()
