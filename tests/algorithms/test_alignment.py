import torch

from sgan_lab.algorithms.alignment import DistributionAlignment
from tests.plain import plain_alignment


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


def test_there_is_no_gradient():
    align = DistributionAlignment(2)
    assert not align(torch.randn(4, 2, requires_grad=True)).requires_grad
