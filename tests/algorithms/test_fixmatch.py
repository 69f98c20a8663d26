import pytest
import torch

from sgan_lab.algorithms.fixmatch import FixMatch
from sgan_lab.data.containers import scale
from tests.builders import make_data
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


def test_the_view_that_learns_is_the_strongly_augmented_one(monkeypatch):
    settings = {"threshold": 0.9, "strong_augmentation": {"cutout": 1.0}}
    module, _ = make_step(FixMatch, monkeypatch, **settings)
    data = make_data()
    (batch,) = module.batches(data, 1)
    strong, weak = batch.unlabeled_images.chunk(2)
    images = {image.numpy().tobytes() for image in scale(data.unlabeled_images)}
    assert all(image.numpy().tobytes() in images for image in weak)
    is_gray = strong == 0
    assert (is_gray | (strong == weak)).all()
    assert is_gray.any(dim=1).flatten(1).any(dim=1).all()
    assert not (batch.labeled_images == 0).any()
