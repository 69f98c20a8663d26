"""The running average of a network's weights, which often classifies better than the last ones."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class RunningAverage(AveragedModel):
    """A copy of a network that follows its weights (Polyak and Juditsky 1992; Adam's debiasing).

    With d = 1 - rate its weights after t updates are sum_i d^(t-i) w_i / sum_i d^(t-i), i = 1 to t:
    free of what they were at the start.

    Args:
        network: whose weights are averaged, by `update_parameters(network)`.
        rate: the part of the way that the average moves, in the long run, at each update; 1 or more
            for no average at all.
    """

    def __init__(self, network: nn.Module, rate: float) -> None:
        super().__init__(network, multi_avg_fn=self.average)
        self.requires_grad_(False)
        self.decay = 1 - min(1.0, rate)

    @torch.no_grad()
    def average(self, averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        """Move averages of `count` earlier updates towards the current weights."""
        weight = (1 - self.decay) / (1 - self.decay ** (count.item() + 1))
        torch._foreach_lerp_(averages, weights, weight)
