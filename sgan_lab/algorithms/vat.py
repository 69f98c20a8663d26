"""Virtual adversarial training: small changes of an image do not change its class.

Miyato et al. 2018, Virtual Adversarial Training: A Regularization Method for Supervised and
Semi-Supervised Learning (github.com/takerum/vat_tf).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # as torch documents it

from sgan_lab import losses
from sgan_lab.algorithms.base import SemiSupervisedClassifier
from sgan_lab.data.batches import SemiSupervisedBatch

# xi of the paper's algorithm 1. With the authors' 1e-6 a pixel of 1 changes by less than float32
# tells apart; this still is 0.004 a pixel.
FINITE_DIFFERENCE = 0.1


class VAT(SemiSupervisedClassifier):
    """The class distributions at x and at x + r agree, r being where they differ the most.

    As in the authors' program, all passes of an image in an iteration have the same dropout.

    Args:
        epsilon: the norm of r, over all pixels of an image in [-1, 1].
        power_iterations: steps in which the direction of r is found.
        entropy_weight: of the entropy at x in the unlabeled loss, that of the divergence being 1;
            0 for none (the paper's VAT+EntMin, after Grandvalet and Bengio 2005).
        training: see `SemiSupervisedClassifier`.
    """

    def __init__(
        self, *, epsilon: float, power_iterations: int, entropy_weight: float, **training: Any
    ) -> None:
        super().__init__(**training)

    def labeled_logits_and_unlabeled_loss(
        self, batch: SemiSupervisedBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The divergence between x and x + r, and the entropy at x ("unlabeled/entropy")."""
        labeled_logits = self.discriminator(batch.labeled_images)
        images, entropy_weight = batch.unlabeled_images, self.hparams.entropy_weight
        directions = torch.randn_like(images)
        draws = SameDraws()
        with draws, torch.set_grad_enabled(entropy_weight > 0):
            logits = self.discriminator(images)
        for _ in range(self.hparams.power_iterations):
            directions = self.power_iteration(images, logits, directions, draws)
        perturbed_images = images + self.hparams.epsilon * normalized(directions)
        with draws:
            perturbed_logits = self.discriminator(perturbed_images)
        divergence = losses.kl_divergence(perturbed_logits, logits)
        entropy = losses.entropy(logits)
        loss = divergence + entropy_weight * entropy
        return labeled_logits, {"unlabeled/loss": loss, "unlabeled/entropy": entropy}

    def power_iteration(
        self, images: Tensor, logits: Tensor, directions: Tensor, draws: "SameDraws"
    ) -> Tensor:
        """H d of each image, up to a factor, for the Hessian H of the divergence at r = 0.

        Args:
            images: x, (N, channels, height, width) in [-1, 1].
            logits: of x.
            directions: d, of the shape of x.
            draws: those of the pass of x.
        """
        steps = (FINITE_DIFFERENCE * normalized(directions)).requires_grad_()
        with draws:
            logits_there = self.discriminator(images + steps)
        (gradients,) = torch.autograd.grad(losses.kl_divergence(logits_there, logits), steps)
        return gradients


class SameDraws(TorchDispatchMode):
    """Random operations within give what they gave when it was first entered.

    Unlike a generator whose state is put back, it can be recorded as a CUDA graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Tensor] = []
        self.left: Iterator[Tensor] | None = None  # None while it is entered first

    def __enter__(self) -> "SameDraws":
        self.left = iter(self.drawn) if self.drawn else None
        return super().__enter__()

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        _: Sequence[type],
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """The results of an operation, see the class."""
        if torch.Tag.nondeterministic_seeded not in operation.tags:
            return operation(*arguments, **(options or {}))
        is_dropout = operation is torch.ops.aten.native_dropout.default  # torch's own on a GPU
        if self.left is None:
            result = operation(*arguments, **(options or {}))
            self.drawn.append((result[1] if is_dropout else result).clone())
            return result
        drawn = next(self.left)
        if is_dropout:
            values, probability, _ = arguments
            return values * drawn * (1 / (1 - probability)), drawn
        return arguments[0].copy_(drawn) if operation._schema.is_mutable else drawn.clone()


def normalized(directions: Tensor) -> Tensor:
    """Each of N directions divided by its norm; zero stays zero."""
    flat = directions.flatten(1)
    largest = flat.abs().amax(dim=1, keepdim=True)  # the squares of gradients may underflow
    return F.normalize(flat / largest.clamp(min=torch.finfo(flat.dtype).tiny)).view_as(directions)
