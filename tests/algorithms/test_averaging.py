import copy

import pytest
import torch
from torch import nn

from sgan_lab.algorithms.averaging import RunningAverage


def test_average_is_that_of_the_updates_with_weights_falling_by_age():
    torch.manual_seed(0)
    network = nn.Linear(3, 2).double()
    average = RunningAverage(network, rate=0.3)
    weights = []
    for _ in range(6):
        network.weight.data = torch.randn(2, 3, dtype=torch.float64)
        average.update_parameters(network)
        weights.append(network.weight.data)
    ages = torch.tensor([0.7 ** (5 - i) for i in range(6)], dtype=torch.float64)
    expected = sum(age * weight for age, weight in zip(ages, weights, strict=True)) / ages.sum()
    torch.testing.assert_close(average.module.weight, expected)
    assert not any(weight.requires_grad for weight in average.parameters())


def test_buffers_are_copied():
    network = nn.BatchNorm1d(3)
    average = RunningAverage(network, rate=0.3)
    network(torch.randn(8, 3) + 5)
    average.update_parameters(network)
    assert torch.equal(average.module.running_mean, network.running_mean)
    assert average.module.num_batches_tracked == 1


@pytest.mark.parametrize("rate", [1.0, 5.0])
def test_a_rate_of_one_or_more_follows_at_once(rate):
    network = nn.Linear(3, 2)
    average = RunningAverage(copy.deepcopy(network), rate)
    network.weight.data += 1
    for _ in range(2):
        average.update_parameters(network)
    torch.testing.assert_close(average.module.weight, network.weight.detach())
