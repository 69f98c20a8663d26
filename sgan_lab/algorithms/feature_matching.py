"""Feature matching: a GAN whose generator matches the discriminator's features of real images.

Salimans et al. 2016, Improved Techniques for Training GANs, sections 3.1 and 5, with what only the
authors' train_mnist_feature_matching.py tells (github.com/openai/improved-gan).
"""

from collections.abc import Sequence
from pkgutil import resolve_name

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Adam, Optimizer

from sgan_lab import losses
from sgan_lab.algorithms.averaging import RunningAverage
from sgan_lab.algorithms.base import GAN, accuracy, frozen
from sgan_lab.data.batches import SemiSupervisedBatch
from sgan_lab.data.containers import SemiSupervisedData, scale
from sgan_lab.networks.registry import GENERATORS

INITIALIZATION_IMAGES = 500

# The authors' Adam divides by sqrt(v + 1e-8), torch's by sqrt(v) + epsilon. With this epsilon both
# agree where v is far from 1e-8, and differ by a factor of sqrt(2) at most.
ADAM_EPSILON = 1e-4


class FeatureMatching(GAN):
    """One discriminator step and one generator step an iteration.

    The classifier is the running average of the discriminator. Other than in the authors' program,
    batches are drawn with replacement, unlabeled images do not include the labeled ones, and the
    running average is free of its start (as Adam's moments are), not one that begins at zero; after
    the authors' 180,000 iterations that is the same.

    Args:
        image_shape: (channels, height, width) of an image.
        class_names: a name for each label; kept in checkpoints for those who use the classifier.
        iterations: length of training, over which the learning rate falls.
        learning_rate: of both networks, for the first two thirds; then it falls linearly to zero.
        beta1: decay of Adam's first moment.
        beta2: decay of its second moment.
        unlabeled_weight: of the loss on unlabeled and generated images; labeled ones have 1.
        averaging_rate: the running average moves this / iterations of the way to the
            discriminator's weights at each iteration.
        discriminator: name of the discriminator, one of `networks.registry.GENERATORS`: "mlp" is
            the paper's for MNIST, "conv9" for CIFAR-10. Its generator belongs to it. The dotted
            name of a class of the user's own has the generator of "mlp".
    """

    learning_rate_decay = 1 / 3
    train_gain = False  # of the generator's batch normalization
    unlabeled_batches = 2  # one for each network

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        class_names: Sequence[str],
        iterations: int,
        learning_rate: float,
        beta1: float,
        unlabeled_weight: float,
        averaging_rate: float,
        beta2: float = 0.999,
        discriminator: str = "mlp",
    ) -> None:
        super().__init__(image_shape, class_names, discriminator)
        self.generator = resolve_name(GENERATORS.get(discriminator, GENERATORS["mlp"]))(
            image_shape, self.train_gain
        )
        self.averaged_discriminator = RunningAverage(
            self.discriminator, rate=averaging_rate / iterations
        )

    @property
    def classifier(self) -> nn.Module:
        """The running average of the discriminator."""
        return self.averaged_discriminator

    def training_step(self, batch: SemiSupervisedBatch, _: int) -> dict[str, Tensor]:
        """One iteration; returns its losses and the accuracy on the labeled batch.

        The unlabeled images are two batches, the first one for the discriminator.
        """
        unlabeled_images, images_to_match = batch.unlabeled_images.chunk(2)
        return {
            **self.discriminator_step(batch.labeled_images, batch.labels, unlabeled_images),
            **self.generator_step(images_to_match),
        }

    def discriminator_step(
        self, labeled_images: Tensor, labels: Tensor, unlabeled_images: Tensor
    ) -> dict[str, Tensor]:
        """Move the discriminator towards the right classes and telling real from generated images.

        All batches have one size.
        """
        fake_images = self.inferred_images(self.noise(len(unlabeled_images)))
        logits = self.discriminator(torch.cat([labeled_images, unlabeled_images, fake_images]))
        loss, values = self.discriminator_loss(*logits.chunk(3), labels)
        self.update(loss, self.discriminator_optimizer)
        self.averaged_discriminator.update_parameters(self.discriminator)
        return values

    def discriminator_loss(
        self, labeled_logits: Tensor, unlabeled_logits: Tensor, fake_logits: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the discriminator minimizes, and its parts to be logged."""
        class_loss = losses.class_loss(labeled_logits, labels)
        real_loss = losses.real_loss(unlabeled_logits)
        fake_loss = losses.fake_loss(fake_logits)
        unlabeled_loss = 0.5 * (real_loss + fake_loss)
        loss = class_loss + self.hparams.unlabeled_weight * unlabeled_loss
        return loss, {
            "labeled/class_loss": class_loss.detach(),
            "labeled/accuracy": accuracy(labeled_logits, labels),
            "unlabeled/real_loss": real_loss.detach(),
            "unlabeled/fake_loss": fake_loss.detach(),
            "unlabeled/discriminator_loss": unlabeled_loss.detach(),
        }

    def generator_step(self, real_images: Tensor) -> dict[str, Tensor]:
        """Move the generator towards images with the features of real ones in the mean."""
        # The discriminator's normalized weights are computed once for both kinds of images.
        with frozen(self.discriminator), parametrize.cached():
            real_features = self.discriminator.features(real_images)
            fake_images = self.generator(self.noise(len(real_images)))
            fake_features = self.discriminator.features(fake_images)
            loss, values = self.generator_loss(real_features, fake_features)
            self.update(loss, self.generator_optimizer)
        return values

    def generator_loss(
        self, real_features: Tensor, fake_features: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator minimizes, and its parts to be logged."""
        loss = losses.feature_matching_loss(real_features, fake_features)
        return loss, {"generator/loss": loss.detach()}

    def noise(self, num_images: int) -> Tensor:
        """Noise from U(0, 1), of shape (num_images, noise size)."""
        return torch.rand(num_images, self.generator.noise_size, device=self.device)

    def configure_optimizers(self) -> list[Optimizer]:
        """Adam for the discriminator and the generator."""
        return [
            Adam(
                network.parameters(),
                lr=self.hparams.learning_rate,
                betas=(self.hparams.beta1, self.hparams.beta2),
                eps=ADAM_EPSILON,
                fused=True,
            )
            for network in (self.discriminator, self.generator)
        ]

    def on_train_start(self) -> None:
        """Take the optimizers."""
        super().on_train_start()
        (self.discriminator_optimizer,) = self.discriminator_optimizers

    def prepare(self, data: SemiSupervisedData) -> None:
        """Initialize the discriminator on unlabeled images, where it can be, as the paper's is."""
        if not hasattr(self.discriminator, "initialize"):
            return
        images = data.unlabeled_images
        drawn = torch.randint(len(images), (INITIALIZATION_IMAGES,), device=images.device)
        self.discriminator.initialize(scale(images[drawn]).to(self.device))
