import torch

from sgan_lab.data.load import load


def test_digits_have_a_fixed_split():
    split = {"num_labeled": 100, "labeled_split": "balanced", "batch_size": 32}
    first, second = (load("digits", **split) for _ in range(2))
    assert len(first.labeled.labels) + len(first.unlabeled_images) == 1437
    assert torch.equal(first.test.images, second.test.images)
    assert torch.equal(first.test.labels, second.test.labels)
    assert first.test.labels.bincount().min() >= 34
    assert (first.test.images.min(), first.test.images.max()) == (0, 255)
