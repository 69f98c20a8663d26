from dataclasses import replace

import pytest
import torch

from sgan_lab.data.augmentation import Augmentation
from sgan_lab.data.batches import LabeledEpoch, SemiSupervisedBatches
from sgan_lab.data.containers import scale
from sgan_lab.errors import ConfigError
from tests.builders import make_data


def test_semi_supervised_batches_are_drawn_uniformly_with_replacement():
    data = make_data(num_labeled=10, num_unlabeled=30, batch_size=50)
    labeled_ids = {image.numpy().tobytes(): i for i, image in enumerate(scale(data.labeled.images))}
    unlabeled_ids = {im.numpy().tobytes(): i for i, im in enumerate(scale(data.unlabeled_images))}
    torch.manual_seed(0)
    labeled, unlabeled = torch.zeros(10), torch.zeros(30)
    batches = SemiSupervisedBatches(data, 200)
    assert len(batches) == 200
    for batch in batches:
        assert len(batch.labeled_images) == len(batch.unlabeled_images) == 50
        for image, label in zip(batch.labeled_images, batch.labels, strict=True):
            index = labeled_ids[image.numpy().tobytes()]
            assert data.labeled.labels[index] == label
            labeled[index] += 1
        for image in batch.unlabeled_images:
            unlabeled[unlabeled_ids[image.numpy().tobytes()]] += 1
    # 10,000 draws: mean 1,000 and 333, five standard deviations 150 and 90.
    assert (labeled - 1000).abs().max() < 150
    assert (unlabeled - 333).abs().max() < 90


def test_labeled_images_are_drawn_by_their_weights():
    data = replace(make_data(num_labeled=3), label_weights=torch.tensor([1.0, 0.0, 3.0]))
    data = replace(data, labeled=data.labeled._replace(labels=torch.arange(3)))
    torch.manual_seed(0)
    drawn = torch.cat([batch.labels for batch in SemiSupervisedBatches(data, 500)])
    counts = drawn.bincount(minlength=3).tolist()
    # 4,000 draws: mean 1,000 and 3,000, five standard deviations 137.
    assert counts[1] == 0
    assert abs(counts[0] - 1000) < 137


def test_a_labeled_batch_may_come_with_several_unlabeled_ones():
    batches = SemiSupervisedBatches(make_data(batch_size=8), 3, unlabeled_batches=2)
    assert [(len(b.labels), len(b.unlabeled_images)) for b in batches] == [(8, 16)] * 3


def test_an_epoch_visits_each_labeled_image_once_in_a_new_order():
    data = make_data(num_labeled=20, batch_size=8)
    batches = LabeledEpoch(data)
    assert len(batches) == 3
    epochs = [list(batches), list(batches)]
    assert [len(batch.labels) for batch in epochs[0]] == [8, 8, 4]
    images = [torch.cat([batch.images for batch in epoch]) for epoch in epochs]
    assert not torch.equal(*images)
    sums = scale(data.labeled.images).sum(dim=(1, 2, 3)).sort().values
    for epoch in images:
        torch.testing.assert_close(epoch.sum(dim=(1, 2, 3)).sort().values, sums)


@pytest.mark.parametrize("augmentation", [0, 1])
def test_views_show_the_same_unlabeled_images_each_augmented_by_itself(augmentation):
    brightness = 10 * torch.arange(20).view(20, 1, 1, 1) + torch.arange(28)  # a slope each
    images = brightness.expand(20, 1, 28, 28).byte()
    data = replace(make_data(), unlabeled_images=images, augmentation=Augmentation(augmentation))
    torch.manual_seed(0)
    (batch,) = SemiSupervisedBatches(data, 1, views=2)
    first, second = batch.unlabeled_images.chunk(2)
    assert len(first) == len(batch.labels)
    assert torch.equal(first, second) == (augmentation == 0)
    means = [view.mean(dim=(1, 2, 3)) for view in (first, second)]
    torch.testing.assert_close(*means, rtol=0, atol=4 / 127.5)  # half of what tells two apart


def test_a_gan_without_unlabeled_images_is_refused():
    with pytest.raises(ConfigError, match=r"data.num_labeled=20: leaves no unlabeled images"):
        SemiSupervisedBatches(make_data(num_labeled=20, num_unlabeled=0), 1)
