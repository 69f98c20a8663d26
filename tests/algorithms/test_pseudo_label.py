import torch

from sgan_lab.algorithms.pseudo_label import PseudoLabel
from tests.plain import discriminate
from tests.steps import check_step, make_step


def test_a_step_is_the_papers(monkeypatch):
    threshold = 0.107
    module, batch = make_step(PseudoLabel, monkeypatch, threshold=threshold)
    confident = []

    def plain_losses(weights):
        x = torch.cat([batch.labeled_images, batch.unlabeled_images])
        p = discriminate(weights, x).exp()
        p = p / p.sum(1, keepdim=True)
        confident.extend(index for index in range(8, 16) if p[index].max() > threshold)
        loss = sum(-p[index].max().log() for index in confident) / 8
        return p[:8].log(), loss

    values = check_step(module, batch, plain_losses)
    assert 0 < len(confident) < 8
    assert values["unlabeled/confident"] == len(confident) / 8
