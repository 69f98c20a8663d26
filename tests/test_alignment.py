import torch

from sgan_lab.alignment import DistributionAlignment


def test_guesses_are_scaled_by_the_frequencies_of_labels_and_guesses():
    """Against the formula, with averages written out over the batches."""
    torch.manual_seed(0)
    align = DistributionAlignment(3).double()
    label_distribution = torch.full((3,), 1 / 3).double()
    guess_distribution = label_distribution.clone()
    for _ in range(4):
        labels, logits = torch.randint(2, (8,)), torch.randn(10, 3).double()
        align.update_labels(labels)
        aligned = align(logits)
        counts = torch.tensor([(labels == label).sum() for label in range(3)])
        label_distribution = 0.98 * label_distribution + 0.02 * counts / 8
        guesses = logits.exp() / logits.exp().sum(1, keepdim=True)
        guess_distribution = 0.98 * guess_distribution + 0.02 * guesses.sum(0) / 10
        expected = guesses * (label_distribution + 1e-6) / (guess_distribution + 1e-6)
        expected = expected / expected.sum(1, keepdim=True)
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
