"""The running average of a network's weights, which often classifies better than the last ones."""

import math
from copy import deepcopy

import torch
from torch import Tensor, nn


class RunningAverage(nn.Module):
    """A copy of a network that follows its weights (Polyak and Juditsky 1992; Adam's debiasing).

    With d = 1 - rate its weights after t updates are sum_i d^(t-i) w_i / sum_i d^(t-i), i = 1 to t:
    free of what they were at the start. Unlike torch's `AveragedModel`, an update reads nothing
    back from the device, so that it can be part of a CUDA graph.

    Args:
        network: whose weights are averaged, by `update_parameters(network)`; its buffers, such as
            those of batch normalization, are copied.
        rate: the part of the way that the average moves, in the long run, at each update; 1 or more
            for no average at all.
    """

    def __init__(self, network: nn.Module, rate: float) -> None:
        super().__init__()
        self.module = deepcopy(network).requires_grad_(False)
        self.rate = min(1.0, rate)
        self.log_decay = math.log1p(-rate) if rate < 1 else -math.inf
        self.register_buffer("n_averaged", torch.tensor(0))

    def forward(self, inputs: Tensor) -> Tensor:
        """What the network returns with the averaged weights."""
        return self.module(inputs)

    @torch.no_grad()
    def update_parameters(self, network: nn.Module) -> None:
        """Move the averages towards the network's weights."""
        averages = list(self.module.parameters())
        count = self.n_averaged.add_(1).to(averages[0].dtype)
        part = self.rate / -torch.expm1(count * self.log_decay)  # (1 - d) / (1 - d^t)
        for average, weight in zip(averages, network.parameters(), strict=True):
            average.lerp_(weight, part)
        for copied, buffer in zip(self.module.buffers(), network.buffers(), strict=True):
            copied.copy_(buffer)
