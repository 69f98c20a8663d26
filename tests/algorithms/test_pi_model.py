import pytest
import torch

from sgan_lab.algorithms.pi_model import PiModel
from tests.builders import make_data
from tests.plain import discriminate, plain_alignment
from tests.steps import check_step, make_step


@pytest.mark.parametrize(("dropout", "aligned"), [(True, False), (False, True)])
def test_a_step_is_the_papers_with_a_constant_target(dropout, aligned, monkeypatch):
    settings = {"unlabeled_batches": 2, "target_dropout": dropout}
    settings |= {"distribution_alignment": aligned}
    module, batch = make_step(PiModel, monkeypatch, **settings)
    batch.unlabeled_images[16:] += 0.1  # another view

    def plain_losses(weights):
        x = torch.cat([batch.labeled_images, batch.unlabeled_images[:16]])
        log_p = discriminate(weights, x).log_softmax(1)
        target = discriminate(weights, batch.unlabeled_images[16:], dropout).softmax(1).detach()
        if aligned:
            uniform = torch.full((10,), 0.1)
            target = plain_alignment(target, batch.labels, [uniform, uniform])
        return log_p[:8], ((log_p[8:].exp() - target) ** 2).sum() / (16 * 10)

    check_step(module, batch, plain_losses)


def test_batches_have_two_views(monkeypatch):
    module, _ = make_step(PiModel, monkeypatch, unlabeled_batches=3)
    batches = list(module.batches(make_data(), 2))
    assert len(batches) == 2
    assert len(batches[0].unlabeled_images) == 2 * 3 * len(batches[0].labels)
