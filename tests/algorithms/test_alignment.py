from dataclasses import replace

import pytest
import torch

from sgan_lab.algorithms.alignment import DistributionAlignment
from sgan_lab.algorithms.pi_model import PiModel
from sgan_lab.errors import ConfigError
from tests.builders import make_data
from tests.plain import plain_alignment
from tests.steps import make_step


def test_guesses_are_scaled_by_the_frequencies_of_labels_and_guesses():
    torch.manual_seed(0)
    align = DistributionAlignment(3).double()
    distributions = [torch.full((3,), 1 / 3).double()] * 2
    for _ in range(4):
        labels, logits = torch.randint(2, (8,)), torch.randn(10, 3).double()
        align.update_labels(labels)
        aligned = align(logits)
        guesses = logits.exp() / logits.exp().sum(1, keepdim=True)
        expected = plain_alignment(guesses, labels, distributions)
        torch.testing.assert_close(aligned.softmax(1), expected)


def test_a_class_that_is_neither_labeled_nor_guessed_does_no_harm():
    align = DistributionAlignment(3)
    for _ in range(10_000):
        align.update_labels(torch.tensor([0, 1]))
        aligned = align(torch.tensor([[0.0, 0.0, -200.0]]))
    assert aligned.isfinite().all()
    torch.testing.assert_close(aligned.softmax(1), torch.tensor([[0.5, 0.5, 0.0]]))


def test_given_frequencies_stand_in_place_of_those_of_the_labels():
    align = DistributionAlignment(3, [18, 1, 1])
    align.update_labels(torch.tensor([2, 2]))
    align.give(torch.ones(3))  # of the labels, which yield to the user's
    torch.testing.assert_close(align.label_distribution, torch.tensor([0.9, 0.05, 0.05]))
    with pytest.raises(ConfigError, match=r"class_frequencies=.*null or 2 numbers, one a class"):
        DistributionAlignment(2, [18, 1, 1])


def test_balanced_batches_do_not_hide_the_frequencies_of_the_labels(monkeypatch):
    module, _ = make_step(PiModel, monkeypatch, distribution_alignment=True)
    data = replace(make_data(), balanced_batches=True)
    module.batches(data, 1)
    module.alignment.update_labels(torch.tensor([0] * 8))
    expected = torch.tensor([(data.labeled.labels == each).sum() / 20 for each in range(10)])
    torch.testing.assert_close(module.alignment.label_distribution, expected.double())


def test_there_is_no_gradient():
    align = DistributionAlignment(2)
    assert not align(torch.randn(4, 2, requires_grad=True)).requires_grad
