"""The SGAN of the tutorial: a discriminator that is also the classifier, and its generator.

GANs in Action, chapter 7, after Salimans et al. 2016, Improved Techniques for Training GANs.
"""

from collections.abc import Sequence
from pkgutil import resolve_name

import torch
from torch import Tensor
from torch.optim import Optimizer

from sgan_lab import losses
from sgan_lab.algorithms.base import GAN, accuracy, frozen, keras_adam
from sgan_lab.data.batches import SemiSupervisedBatch
from sgan_lab.networks.registry import SGAN_GENERATORS


class SGAN(GAN):
    """Three discriminator steps and one generator step an iteration, each an update of its own.

    Three optimizers hold three sets of moments. The labeled and the unlabeled one both own the
    discriminator's weights.

    Args:
        image_shape: (channels, height, width) of an image.
        class_names: a name for each label; kept in checkpoints for those who use the classifier.
        iterations: length of training.
        labeled_learning_rate: of the labeled step.
        unlabeled_learning_rate: of the real and the fake step.
        generator_learning_rate: of the generator step.
        discriminator: name of the discriminator, see `networks.registry`; "strided" is the
            tutorial's.
        generator_channels: of the generator's first feature map; 256 are the tutorial's.
        generator: name of the generator, see `networks.registry.SGAN_GENERATORS`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_names: Sequence[str],
        iterations: int,
        labeled_learning_rate: float,
        unlabeled_learning_rate: float,
        generator_learning_rate: float,
        discriminator: str = "strided",
        generator_channels: int = 256,
        generator: str = "tutorial",
    ) -> None:
        super().__init__(image_shape, class_names, discriminator)
        make_generator = resolve_name(SGAN_GENERATORS[generator])
        self.generator = make_generator(image_shape, first_channels=generator_channels)

    def training_step(self, batch: SemiSupervisedBatch, _: int) -> dict[str, Tensor]:
        """One iteration; returns its losses and the accuracy on the labeled batch."""
        num_images = len(batch.labels)
        fake_images = self.inferred_images(self.noise(num_images))
        class_loss, batch_accuracy = self.labeled_step(batch.labeled_images, batch.labels)
        real_loss = self.real_step(batch.unlabeled_images)
        fake_loss = self.fake_step(fake_images)
        generator_loss = self.generator_step(self.noise(num_images))
        return logged(class_loss, batch_accuracy, real_loss, fake_loss, generator_loss)

    def labeled_step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Step 1: move the discriminator towards the right classes."""
        logits = self.discriminator(images)
        loss = losses.class_loss(logits, labels)
        self.update(loss, self.labeled_optimizer)
        return loss.detach(), accuracy(logits, labels)

    def real_step(self, images: Tensor) -> Tensor:
        """Step 2: move the discriminator towards calling unlabeled images real."""
        loss = losses.real_loss(self.discriminator(images))
        self.update(loss, self.unlabeled_optimizer)
        return loss.detach()

    def fake_step(self, images: Tensor) -> Tensor:
        """Step 3: move the discriminator towards calling generated images fake."""
        loss = losses.fake_loss(self.discriminator(images))
        self.update(loss, self.unlabeled_optimizer)
        return loss.detach()

    def generator_step(self, noise: Tensor) -> Tensor:
        """Step 4: move the generator, and only it, towards images that are called real."""
        with frozen(self.discriminator):
            loss = losses.real_loss(self.discriminator(self.generator(noise)))
            self.update(loss, self.generator_optimizer)
        return loss.detach()

    def noise(self, num_images: int) -> Tensor:
        """Noise from N(0, I), of shape (num_images, noise size)."""
        return torch.randn(num_images, self.generator.noise_size, device=self.device)

    def configure_optimizers(self) -> list[Optimizer]:
        """Adam with Keras's epsilon, for the labeled, the unlabeled and the generator steps."""
        return [
            keras_adam(self.discriminator, self.hparams.labeled_learning_rate),
            keras_adam(self.discriminator, self.hparams.unlabeled_learning_rate),
            keras_adam(self.generator, self.hparams.generator_learning_rate),
        ]

    def on_train_start(self) -> None:
        """Take the optimizers."""
        super().on_train_start()
        self.labeled_optimizer, self.unlabeled_optimizer = self.discriminator_optimizers


def logged(
    class_loss: Tensor,
    batch_accuracy: Tensor,
    real_loss: Tensor,
    fake_loss: Tensor,
    generator_loss: Tensor,
) -> dict[str, Tensor]:
    """The values of an iteration by the names of their curves."""
    return {
        "labeled/class_loss": class_loss,
        "labeled/accuracy": batch_accuracy,
        "unlabeled/real_loss": real_loss,
        "unlabeled/fake_loss": fake_loss,
        "unlabeled/discriminator_loss": 0.5 * (real_loss + fake_loss),
        "generator/loss": generator_loss,
    }
