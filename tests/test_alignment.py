import torch

from sgan_lab.alignment import DistributionAlignment


def plain_alignment(guesses, labels, distributions):
    """The paper's formula, written out.

    Args:
        guesses: class probabilities of a batch, (N, classes).
        labels: of a batch.
        distributions: averages of labels and of guesses, uniform at first; they are updated.
    """
    num_classes = guesses.shape[1]
    counts = torch.tensor([(labels == label).sum() for label in range(num_classes)])
    for index, frequencies in enumerate((counts / len(labels), guesses.sum(0) / len(guesses))):
        distributions[index] = 0.98 * distributions[index] + 0.02 * frequencies
    scaled = guesses * (distributions[0] + 1e-6) / (distributions[1] + 1e-6)
    return scaled / scaled.sum(1, keepdim=True)


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
