"""MADE: how probable an image is, by a network whose outputs each see only the pixels before.

Germain et al. 2015, MADE: Masked Autoencoder for Distribution Estimation. The paper's pixels are
binary; these are of 256 values, each from a mixture of discretized logistic distributions, as in
PixelCNN++ (Salimans et al. 2017, section 2.1).
"""

import logging
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from sgan_lab.data.containers import SemiSupervisedData

log = logging.getLogger(__name__)

LEAST_LOG_SCALE = -7.0  # as in PixelCNN++
BATCH_SIZE = 100
LEARNING_RATE = 2e-3


def discretized_logistic_mixture(
    x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor
) -> Tensor:
    """Log-probabilities of pixels by mixtures of logistic distributions over 256 values.

    The probability of a value x is that of its bin from x - 1/255 to x + 1/255, which is sigmoid(a)
    - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), a and b being the bin's standardized
    ends; the first and the last bin reach to infinity. Generated pixels may lie between the values.

    Args:
        x: (N, pixels), in [-1, 1].
        logits: of the mixture's components, (N, components, pixels).
        means: of the components, of the same shape, in the unit of x.
        log_scales: of the components, of the same shape.

    Returns:
        (N, pixels), in nats.
    """
    x = x.unsqueeze(1)
    inverse_scales = torch.exp(-log_scales.clamp(min=LEAST_LOG_SCALE))
    upper = inverse_scales * (x - means + 1 / 255)
    lower = inverse_scales * (x - means - 1 / 255)
    first, last = x < -0.999, x > 0.999
    log_probabilities = (
        F.logsigmoid(upper).masked_fill(last, 0)
        + F.logsigmoid(-lower).masked_fill(first, 0)
        + torch.log(-torch.expm1(-2 / 255 * inverse_scales)).masked_fill(first | last, 0)
    )
    return torch.logsumexp(F.log_softmax(logits, dim=1) + log_probabilities, dim=1)


class MaskedLinear(nn.Linear):
    """A linear layer with the connections of a mask (out_features, in_features), section 4."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) to (N, out_features)."""
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """A density of images: the product of each pixel's density, given those before it.

    Pixels have the order of their memory. Other than in the paper a hidden unit's degree, the
    number of pixels that it may see, is not drawn: the degrees are spread evenly.

    Args:
        image_shape: (channels, height, width) of an image.
        hidden_units: in the one hidden layer.
        components: of each pixel's mixture.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], hidden_units: int = 500, components: int = 3
    ) -> None:
        super().__init__()
        pixels = math.prod(image_shape)
        place = torch.arange(1, pixels + 1)
        degree = 1 + torch.arange(hidden_units) * (pixels - 1) // hidden_units
        output_mask = place.unsqueeze(1) > degree
        self.layers = nn.Sequential(
            MaskedLinear(degree.unsqueeze(1) >= place),
            nn.ReLU(),
            MaskedLinear(output_mask.repeat(3 * components, 1)),
            nn.Unflatten(1, (3, components, pixels)),
        )
        with torch.no_grad():  # components that differ, and cover [-1, 1]
            logits, means, log_scales = self.layers[2].bias.view(3, components, pixels)
            logits.zero_()
            means.copy_(torch.linspace(-1, 1, components).unsqueeze(1))
            log_scales.fill_(-2)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to log-densities (N,), in nats."""
        x = images.flatten(1)
        return discretized_logistic_mixture(x, *self.layers(x).unbind(1)).sum(dim=1)


def fit(made: MADE, data: SemiSupervisedData, epochs: int) -> None:
    """Maximize the mean log-density of unlabeled images, on the device of the model.

    With Adam and a learning rate that falls to zero. Logs a line after each epoch. The weights need
    no gradient afterwards.
    """
    images = data.unlabeled_images
    made.requires_grad_(True)
    optimizer = Adam(made.parameters(), lr=LEARNING_RATE, fused=True)
    steps = epochs * math.ceil(len(images) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=steps)
    for epoch in range(1, epochs + 1):
        total = torch.zeros((), device=images.device)
        for drawn in torch.randperm(len(images), device=images.device).split(BATCH_SIZE):
            loss = -made(data.training_images(images[drawn])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(drawn)
        mean = total.item() / len(images)
        log.info("density model: epoch %d of %d, -log p %.1f nats an image", epoch, epochs, mean)
    made.requires_grad_(False)
