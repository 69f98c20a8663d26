import torch

from sgan_lab.pi_model import PiModel
from tests.test_semi_supervised_classifier import check_step, make_step
from tests.test_sgan import discriminate, make_data


def test_a_step_is_the_papers_with_a_constant_target(monkeypatch):
    module, batch = make_step(PiModel, monkeypatch, views=2)
    batch.unlabeled_images[8:] += 0.1  # another view

    def plain_losses(weights):
        x = torch.cat([batch.labeled_images, batch.unlabeled_images[:8]])
        log_p = discriminate(weights, x).log_softmax(1)
        target = discriminate(weights, batch.unlabeled_images[8:]).softmax(1).detach()
        return log_p[:8], ((log_p[8:].exp() - target) ** 2).sum() / (8 * 10)

    check_step(module, batch, plain_losses)


def test_batches_have_two_views(monkeypatch):
    module, _ = make_step(PiModel, monkeypatch)
    batches = list(module.batches(make_data()))
    assert len(batches) == 2
    assert len(batches[0].unlabeled_images) == 2 * len(batches[0].labels)
