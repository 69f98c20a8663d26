"""Bad GAN: a generator of images where real ones are rare, so that class boundaries run there.

Dai et al. 2017, Good Semi-supervised Learning That Requires a Bad GAN, section 5, with what only
the authors' mnist_trainer.py tells (github.com/kimiyoung/ssl_bad_gan).
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from sgan_lab import losses
from sgan_lab.algorithms.feature_matching import FeatureMatching
from sgan_lab.data.containers import SemiSupervisedData
from sgan_lab.networks import made

# All of the program alone.
GENERATOR_BETA1 = 0.0
LOW_DENSITY_IMAGES = 30  # generated for the low-density term
LOW_DENSITY_INTERVAL = 10  # iterations; the program draws which tenth of them has the term
EPSILON_QUANTILE = 0.1  # of real images; the program's are the test set, here they are unlabeled
EPSILON_IMAGES = 10_000  # at most


class BadGAN(FeatureMatching):
    """Feature matching with further terms in the losses of both networks.

    The discriminator's are those of classes, of true and fake (equation 1; one half each in the
    program), and of conditional entropy (section 5.4). The generator's (section 5.3) are feature
    matching, the pull-away term for a high entropy (section 5.1), and low density (section 5.2).
    Section 5.1's other way to a high entropy, variational inference, is not built.

    The paper's density model is a PixelCNN++ that was trained before; here it is a MADE, which
    `prepare` trains on the unlabeled images, in minutes on one core. It is less sharp: what is
    dense for it need not be for a PixelCNN++. The networks, their initialization and the running
    average that is the classifier are those of `FeatureMatching`; but the generator's gains are
    trained, as in the program. The program has no average.

    Args:
        generator_learning_rate: of the generator, for the first two thirds; then it falls linearly
            to zero. The other learning rate and `beta1` are of the discriminator; `beta2` is of
            both networks.
        entropy_weight: of the conditional entropy of unlabeled images.
        feature_matching_weight: of feature matching.
        pull_away_weight: of the pull-away term.
        low_density_weight: of the low-density term; without one, there is no density model.
        low_density_start: iterations before the low-density term.
        density_epochs: passes over the unlabeled images that train the density model.
        training: see `FeatureMatching`.

    Attributes:
        density: the density model; its weights are fixed. Only with a low-density term.
        log_epsilon: log-density above which images are too probable, in nats, likewise.
    """

    train_gain = True

    def __init__(
        self,
        *,
        generator_learning_rate: float,
        entropy_weight: float,
        feature_matching_weight: float,
        pull_away_weight: float,
        low_density_weight: float,
        low_density_start: int,
        density_epochs: int,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if low_density_weight:
            self.density = made.MADE(self.hparams.image_shape).requires_grad_(False)
            self.register_buffer("log_epsilon", torch.tensor(0.0))

    def prepare(self, data: SemiSupervisedData) -> None:
        """Train the density model and set epsilon, after what `FeatureMatching` initializes."""
        super().prepare(data)
        if not self.hparams.low_density_weight:
            return
        images = data.unlabeled_images
        self.to(images.device)
        made.fit(self.density, data, self.hparams.density_epochs)
        drawn = torch.randperm(len(images), device=images.device)[:EPSILON_IMAGES]
        log_densities = torch.cat(
            [
                self.density(data.training_images(images[each]))
                for each in drawn.split(made.BATCH_SIZE)
            ]
        )
        self.log_epsilon.copy_(log_densities.quantile(EPSILON_QUANTILE))

    def discriminator_loss(
        self, labeled_logits: Tensor, unlabeled_logits: Tensor, fake_logits: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Feature matching's, and conditional entropy: be certain of unlabeled images."""
        loss, values = super().discriminator_loss(
            labeled_logits, unlabeled_logits, fake_logits, labels
        )
        entropy = losses.entropy(unlabeled_logits)
        values["unlabeled/conditional_entropy"] = entropy.detach()
        return loss + self.hparams.entropy_weight * entropy, values

    def generator_loss(
        self, real_features: Tensor, fake_features: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Features of real images in the mean, high entropy, and low density."""
        matching, _ = super().generator_loss(real_features, fake_features)
        pull_away = losses.pull_away_term(fake_features)
        low_density, dense_fraction = self.low_density_term()
        loss = (
            self.hparams.feature_matching_weight * matching
            + self.hparams.pull_away_weight * pull_away
            + self.hparams.low_density_weight * low_density
        )
        return loss, {
            "generator/loss": loss.detach(),
            "generator/feature_matching_loss": matching.detach(),
            "generator/pull_away_term": pull_away.detach(),
            "generator/low_density_loss": low_density.detach(),
            "generator/dense_fraction": dense_fraction,
        }

    def step_kind(self) -> bool:
        """Whether the low-density term is due."""
        iteration, start = self.global_step + 1, self.hparams.low_density_start
        is_due = iteration > start and iteration % LOW_DENSITY_INTERVAL == 0
        return bool(self.hparams.low_density_weight) and is_due

    def low_density_term(self) -> tuple[Tensor, Tensor]:
        """The low-density loss, in nats, and the part of generated images that it is about.

        Both are 0 in iterations without the term.
        """
        if not self.step_kind():
            return torch.zeros(2, device=self.device).unbind()
        log_densities = self.density(self.generator(self.noise(LOW_DENSITY_IMAGES)))
        dense_fraction = (log_densities > self.log_epsilon).to(log_densities.dtype).mean()
        return losses.low_density_loss(log_densities, self.log_epsilon), dense_fraction

    def configure_optimizers(self) -> list[Optimizer]:
        """Adam for the discriminator and the generator."""
        hparams = self.hparams
        return [
            Adam(
                self.discriminator.parameters(),
                lr=hparams.learning_rate,
                betas=(hparams.beta1, hparams.beta2),
                fused=True,
            ),
            Adam(
                self.generator.parameters(),
                lr=hparams.generator_learning_rate,
                betas=(GENERATOR_BETA1, hparams.beta2),
                fused=True,
            ),
        ]
