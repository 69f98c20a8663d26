import pytest
import torch

from sgan_lab.algorithms.fixmatch import FixMatch
from tests.plain import discriminate
from tests.steps import check_step, make_step


@pytest.mark.parametrize("dropout", [False, True])
def test_a_step_is_the_papers(dropout, monkeypatch):
    threshold = 0.107
    settings = {"threshold": threshold, "target_dropout": dropout, "unlabeled_batches": 2}
    module, batch = make_step(FixMatch, monkeypatch, **settings)
    batch.unlabeled_images[16:] += 0.1  # the other view
    confident = []

    def plain_losses(weights):
        x = torch.cat([batch.labeled_images, batch.unlabeled_images[:16]])
        p = discriminate(weights, x).softmax(1)
        target = discriminate(weights, batch.unlabeled_images[16:], dropout).softmax(1)
        confident.extend(index for index in range(16) if target[index].max() > threshold)
        loss = sum(-p[8 + index, target[index].argmax()].log() for index in confident) / 16
        return p[:8].log(), loss

    values = check_step(module, batch, plain_losses)
    assert 0 < len(confident) < 16
    assert values["unlabeled/confident"] == len(confident) / 16
