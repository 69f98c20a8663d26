import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from sgan_lab.algorithms import propagation
from sgan_lab.algorithms.pi_model import PiModel
from sgan_lab.algorithms.propagation import LabelPropagation, propagated_labels
from sgan_lab.data.containers import LabeledImages
from tests.builders import digits, make_data
from tests.steps import make_step


def plain_propagation(points, labels, num_classes):
    """The formulas of the papers with full matrices; labels (N,) are -1 where there is none."""
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    distances = 1 - points @ points.T
    np.fill_diagonal(distances, np.inf)
    neighbors = distances <= np.sort(distances)[:, propagation.NEIGHBORS - 1, None]
    weights = np.where(neighbors, np.exp(-((distances / distances[neighbors].mean()) ** 2)), 0)
    weights = np.maximum(weights, weights.T)
    degrees = weights.sum(axis=1)
    graph = weights / np.sqrt(np.outer(degrees, degrees))
    known = (labels[:, None] == np.arange(num_classes)).astype(float)
    scores = known
    for _ in range(propagation.STEPS):
        scores = propagation.SPREADING * graph @ scores + (1 - propagation.SPREADING) * known
    guesses = scores[labels < 0]
    guesses = guesses / guesses.sum(axis=1, keepdims=True)
    for _ in range(propagation.BALANCING_STEPS):
        guesses = guesses / guesses.mean(axis=0) * known[labels >= 0].mean(axis=0)
        guesses = guesses / guesses.sum(axis=1, keepdims=True)
    entropies = -(guesses * np.log(guesses + 1e-300)).sum(axis=1)
    return guesses * (1 - entropies / math.log(num_classes))[:, None]


def test_labels_are_propagated_as_in_the_papers():
    data = digits(50, "balanced", 8)
    data = replace(data, unlabeled_images=data.unlabeled_images[:300])
    images = torch.cat([data.labeled.images, data.unlabeled_images]).flatten(1).double().numpy()
    points = PCA(50).fit_transform(images)
    labels = np.append(data.labeled.labels.numpy(), [-1] * 300)
    guesses = propagated_labels(data)
    expected = torch.from_numpy(plain_propagation(points, labels, 10)).float()
    torch.testing.assert_close(guesses, expected, atol=1e-4, rtol=1e-3)


def test_they_are_right_more_often_than_the_label_of_the_nearest_image():
    data = digits(10, "balanced", 8)
    data = replace(data, unlabeled_images=data.test.images)
    images, labeled_images = (
        each.flatten(1).float() for each in (data.test.images, data.labeled.images)
    )
    nearest = data.labeled.labels[torch.cdist(images, labeled_images).argmin(dim=1)]
    correct = [
        guess == data.test.labels for guess in (propagated_labels(data).argmax(dim=1), nearest)
    ]
    propagated, by_neighbor = (each.float().mean() for each in correct)
    assert propagated > by_neighbor + 0.1


def test_a_class_without_labels_and_an_image_without_neighbors_do_no_harm():
    data = make_data(num_labeled=3, num_unlabeled=60)
    data = replace(data, labeled=LabeledImages(data.labeled.images, torch.tensor([0, 1, 1])))
    guesses = propagated_labels(data)
    assert guesses.shape == (60, 10)
    assert guesses.isfinite().all()
    assert (guesses[:, 2:] < 1e-6).all()
    assert guesses.sum(dim=1).max() <= 1


def test_the_loss_is_a_weighted_cross_entropy():
    logits, guesses = torch.randn(6, 3), 0.3 * torch.rand(6, 3)
    expected = 2 * nn.CrossEntropyLoss(reduction="mean")(logits, guesses)
    torch.testing.assert_close(LabelPropagation(2.0, 10).loss(logits, guesses), expected)


@pytest.mark.parametrize(("end", "is_taught"), [(0.3, True), (0.2, False)])  # in iteration 2 of 10
def test_the_pi_model_is_taught_them_in_the_first_iterations(end, is_taught, monkeypatch):
    settings = {"propagation_weight": 3.0, "propagation_end": end}
    module, batch = make_step(PiModel, monkeypatch, **settings)
    assert batch.guesses.shape == (8, 10)
    values = module.training_step(batch, 0)
    assert ("unlabeled/propagation_loss" in values) == is_taught
    propagation_loss = values.get("unlabeled/propagation_loss", 0.0)
    consistency = 3 * math.exp(-5 / 4 if end else 0) * values["unlabeled/loss"]
    total = values["labeled/class_loss"] + consistency + propagation_loss
    torch.testing.assert_close(values["loss"].detach(), total)
