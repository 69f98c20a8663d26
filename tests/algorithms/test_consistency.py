import pytest

from sgan_lab.algorithms.fixmatch import FixMatch
from sgan_lab.algorithms.improved_sgan import ImprovedSGAN
from sgan_lab.data.containers import scale
from tests.builders import make_data
from tests.steps import make_sgan, make_step

STRONG = {"strong_augmentation": {"cutout": 1.0}}


def fixmatch(monkeypatch):
    return make_step(FixMatch, monkeypatch, threshold=0.9, **STRONG)[0]


def improved_sgan(_):
    return make_sgan(ImprovedSGAN, consistency_weight=3, **STRONG)


@pytest.mark.parametrize("make", [fixmatch, improved_sgan])
def test_the_view_that_learns_is_the_strongly_augmented_one(make, monkeypatch):
    module, data = make(monkeypatch), make_data()
    (batch,) = module.batches(data, 1)
    strong, weak = batch.unlabeled_images.chunk(2)
    images = {image.numpy().tobytes() for image in scale(data.unlabeled_images)}
    assert all(image.numpy().tobytes() in images for image in weak)
    is_gray = strong == 0
    assert (is_gray | (strong == weak)).all()
    assert is_gray.any(dim=1).flatten(1).any(dim=1).all()
    assert not (batch.labeled_images == 0).any()
