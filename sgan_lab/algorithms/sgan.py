"""The SGAN of the tutorial: a discriminator that is also the classifier, and its generator.

GANs in Action, chapter 7, after Salimans et al. 2016, Improved Techniques for Training GANs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from sgan_lab import losses
from sgan_lab.algorithms.alignment import DistributionAlignment
from sgan_lab.algorithms.averaging import RunningAverage
from sgan_lab.algorithms.semi_supervised_gan import SemiSupervisedGAN
from sgan_lab.data.batches import SemiSupervisedBatch
from sgan_lab.networks.registry import DISCRIMINATORS
from sgan_lab.networks.tutorial import Generator


class SGAN(SemiSupervisedGAN):
    """Three discriminator steps and one generator step an iteration, each an update of its own.

    Three optimizers hold three sets of moments. The labeled and the unlabeled one both own the
    discriminator's weights.

    Args:
        image_shape: (channels, height, width) of an image.
        class_names: a name for each label; kept in checkpoints for those who use the classifier.
        iterations: length of training.
        sample_interval: iterations between two log lines, checkpoints and grids of images.
        log_interval: iterations between two points of TensorBoard's curves.
        labeled_learning_rate: of the labeled step.
        unlabeled_learning_rate: of the real and the fake step.
        generator_learning_rate: of the generator step.
        discriminator: "strided", the tutorial's network, or "pooling", see `PoolingDiscriminator`.
        generator_channels: of the generator's first feature map, see `Generator`.
        cuda_graph: whether, on one GPU, iterations are recorded once and replayed.
        compile: torch.compile's backend for both networks; None for no compilation.
        joint_update: whether the three discriminator steps make one update together, along
            the sum of the labeled loss and the mean of the real and the fake loss, with the
            unlabeled learning rate.
        feature_matching: whether the generator matches the mean features of the unlabeled images,
            instead of having its images called real (Salimans et al. 2016, section 3.1).
        label_smoothing: s in the real step's target 1 - s (the same, section 3.4).
        consistency_weight: of the Pi-model's loss in the real step, which has two views of the
            images agree, the target without dropout; the loss of the real-or-fake head has 1.
        distribution_alignment: whether that loss's targets shall have the class frequencies of
            the labels, see `DistributionAlignment`.
        unlabeled_batches: unlabeled batches in the real step.
        averaging_rate: the classifier is a running average of the discriminator that moves this /
            iterations of the way at each iteration; None for the discriminator itself.
        learning_rate_decay: fraction of training, at its end, in which the learning rates fall
            linearly to zero.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_names: Sequence[str],
        iterations: int,
        sample_interval: int,
        log_interval: int,
        labeled_learning_rate: float,
        unlabeled_learning_rate: float,
        generator_learning_rate: float,
        discriminator: str = "strided",
        generator_channels: int = 256,
        cuda_graph: bool = False,
        compile: str | None = None,  # noqa: A002
        joint_update: bool = False,
        feature_matching: bool = False,
        label_smoothing: float = 0.0,
        consistency_weight: float = 0.0,
        distribution_alignment: bool = False,
        unlabeled_batches: int = 1,
        averaging_rate: float | None = None,
        learning_rate_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.discriminator = DISCRIMINATORS[discriminator](image_shape, len(class_names))
        self.generator = Generator(image_shape, generator_channels)
        self.learning_rate_decay = learning_rate_decay
        self.unlabeled_batches = unlabeled_batches
        self.views = 2 if consistency_weight else 1
        self.alignment = DistributionAlignment(len(class_names)) if distribution_alignment else None
        self.averaged_discriminator = averaging_rate and RunningAverage(
            self.discriminator, rate=averaging_rate / iterations
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to class logits (N, classes)."""
        classifier = self.averaged_discriminator or self.discriminator
        return classifier(images)

    def training_step(self, batch: SemiSupervisedBatch, _: int) -> dict[str, Tensor]:
        """One iteration; returns its losses and the accuracy on the labeled batch."""
        num_images = len(batch.labels)
        fake_images = self.inferred_images(self.noise(num_images))
        class_loss, accuracy = self.labeled_step(batch.labeled_images, batch.labels)
        real_loss = self.real_step(batch.unlabeled_images)
        fake_loss = self.fake_step(fake_images)
        generator_loss = self.generator_step(
            self.noise(num_images), batch.unlabeled_images[:num_images]
        )
        return {
            "labeled/class_loss": class_loss,
            "labeled/accuracy": accuracy,
            "unlabeled/real_loss": real_loss,
            "unlabeled/fake_loss": fake_loss,
            "unlabeled/discriminator_loss": 0.5 * (real_loss + fake_loss),
            "generator/loss": generator_loss,
        }

    def labeled_step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Move the discriminator towards the right classes."""
        logits = self.discriminator(images)
        loss = losses.class_loss(logits, labels)
        if self.alignment:
            self.alignment.update_labels(labels)
        if self.hparams.joint_update:
            self.unlabeled_optimizer.zero_grad()
            self.manual_backward(loss)
        else:
            self.update(loss, self.labeled_optimizer)
        return loss.detach(), (logits.argmax(dim=1) == labels).float().mean()

    def real_step(self, images: Tensor) -> Tensor:
        """Move the discriminator towards calling unlabeled images, or views of them, real."""
        view, *other_views = images.chunk(self.views)
        logits = self.discriminator(view)
        real_loss = losses.real_loss(logits, self.hparams.label_smoothing)
        loss = real_loss
        for other_view in other_views:
            target_logits = self.inferred(self.discriminator, other_view)
            if self.alignment:
                target_logits = self.alignment(target_logits)
            consistency_loss = losses.consistency_loss(logits, target_logits)
            loss = loss + self.hparams.consistency_weight * consistency_loss
        if self.hparams.joint_update:
            self.manual_backward(0.5 * loss)
        else:
            self.update(loss, self.unlabeled_optimizer)
        return real_loss.detach()

    def fake_step(self, images: Tensor) -> Tensor:
        """Move the discriminator towards calling generated images fake."""
        loss = losses.fake_loss(self.discriminator(images))
        if self.hparams.joint_update:
            self.manual_backward(0.5 * loss)
            self.unlabeled_optimizer.step()
        else:
            self.update(loss, self.unlabeled_optimizer)
        if self.averaged_discriminator:
            self.averaged_discriminator.update_parameters(self.discriminator)
        return loss.detach()

    def generator_step(self, noise: Tensor, real_images: Tensor) -> Tensor:
        """Move the generator, and only it, towards images that the discriminator calls real."""
        with self.frozen_discriminator():
            if self.hparams.feature_matching:
                loss = losses.feature_matching_loss(
                    self.discriminator.features(real_images),
                    self.discriminator.features(self.generator(noise)),
                )
            else:
                loss = losses.real_loss(self.discriminator(self.generator(noise)))
            self.update(loss, self.generator_optimizer)
        return loss.detach()

    def noise(self, num_images: int) -> Tensor:
        """Noise from N(0, I), of shape (num_images, noise size)."""
        return torch.randn(num_images, self.generator.noise_size, device=self.device)

    def configure_optimizers(self) -> list[Optimizer]:
        """Adam with Keras's epsilon, for the labeled, the unlabeled and the generator steps."""
        hparams = self.hparams

        def adam(network: nn.Module, learning_rate: float) -> Optimizer:
            return Adam(network.parameters(), lr=learning_rate, eps=1e-7, fused=True)

        return [
            adam(self.discriminator, hparams.labeled_learning_rate),
            adam(self.discriminator, hparams.unlabeled_learning_rate),
            adam(self.generator, hparams.generator_learning_rate),
        ]

    def on_train_start(self) -> None:
        """Compile the networks, and take the optimizers."""
        if self.hparams.compile:
            self.discriminator.compile(backend=self.hparams.compile)
            self.generator.compile(backend=self.hparams.compile)
        super().on_train_start()
        self.labeled_optimizer, self.unlabeled_optimizer = self.discriminator_optimizers
