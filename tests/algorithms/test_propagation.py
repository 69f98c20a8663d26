import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sgan_lab.algorithms import propagation
from sgan_lab.algorithms.pi_model import PiModel
from sgan_lab.algorithms.propagation import LabelPropagation, propagated_labels
from sgan_lab.data import neighbors
from sgan_lab.data.containers import LabeledImages
from tests.builders import SHAPE, digits, make_data
from tests.steps import make_step, train_here


def plain_propagation(points, labels, num_classes):
    """The formulas of the papers with full matrices; labels (N,) are -1 where there is none."""
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    distances = 1 - points @ points.T
    np.fill_diagonal(distances, np.inf)
    are_near = distances <= np.sort(distances)[:, neighbors.NEIGHBORS - 1, None]
    weights = np.where(are_near, np.exp(-((distances / distances[are_near].mean()) ** 2)), 0)
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
    return guesses.argmax(axis=1)


def test_labels_are_propagated_as_in_the_papers():
    data = digits(50, "balanced", 8)
    data = replace(data, unlabeled_images=data.unlabeled_images[:300])
    images = torch.cat([data.labeled.images, data.unlabeled_images])
    histograms = neighbors.orientation_histograms(images).double().numpy()
    points = PCA(neighbors.COMPONENTS).fit_transform(histograms)
    labels = np.append(data.labeled.labels.numpy(), [-1] * 300)
    assert propagated_labels(data).tolist() == plain_propagation(points, labels, 10).tolist()


def test_they_are_right_more_often_than_the_label_of_the_nearest_image():
    data = digits(10, "balanced", 8)
    data = replace(data, unlabeled_images=data.test.images)
    images, labeled_images = (
        each.flatten(1).float() for each in (data.test.images, data.labeled.images)
    )
    nearest = data.labeled.labels[torch.cdist(images, labeled_images).argmin(dim=1)]
    guesses = propagated_labels(data)
    accuracies = [(guess == data.test.labels).float().mean() for guess in (guesses, nearest)]
    assert accuracies[0] > accuracies[1] + 0.05


def test_a_class_without_labels_is_never_guessed():
    data = make_data(num_labeled=3, num_unlabeled=60)
    data = replace(data, labeled=LabeledImages(data.labeled.images, torch.tensor([0, 4, 4])))
    assert {*propagated_labels(data).tolist()} <= {-1, 0, 4}


def test_the_guesses_are_as_frequent_as_the_weights_of_the_labels():
    data = digits(50, "balanced", 8)
    weights = torch.where(data.labeled.labels == 3, 4.0, 1.0)
    counts = [
        propagated_labels(each).bincount(minlength=10)
        for each in (data, replace(data, label_weights=weights))
    ]
    assert counts[1][3] > 1.5 * counts[0][3]


def test_an_image_that_no_label_reaches_has_no_guess():
    """Two clouds of points far from each other, only one of them with labels."""
    torch.manual_seed(0)
    dark, light = (torch.randint(128, (30, *SHAPE), dtype=torch.uint8) for _ in range(2))
    dark[:, :, 14:], light[:, :, :14] = 0, 0
    data = make_data(num_labeled=3)
    labeled = LabeledImages(dark[:3], torch.tensor([0, 1, 1]))
    data = replace(data, labeled=labeled, unlabeled_images=torch.cat([dark[3:], light]))
    guesses = propagated_labels(data)
    assert (guesses[27:] == -1).all()
    assert (guesses[:27] >= 0).any()


def test_the_loss_is_a_weighted_cross_entropy_of_the_guesses():
    logits, guesses = torch.randn(6, 3), torch.tensor([0, -1, 2, 2, 1, -1])
    log_probabilities = logits.log_softmax(dim=1)
    expected = -2 * sum(log_probabilities[i, guesses[i]] for i in (0, 2, 3, 4)) / 6
    torch.testing.assert_close(LabelPropagation(2.0, 10).loss(logits, guesses, 9), expected)


@pytest.mark.parametrize(("end", "is_taught"), [(0.3, True), (0.2, False)])  # in iteration 2 of 10
def test_the_pi_model_is_taught_them_in_the_first_iterations(end, is_taught, monkeypatch):
    settings = {"propagation_weight": 3.0, "propagation_end": end}
    module, batch = make_step(PiModel, monkeypatch, **settings)
    assert batch.guesses.shape == (8,)
    values = module.training_step(batch, 0)
    propagation_loss = values["unlabeled/propagation_loss"]
    assert (propagation_loss > 0) == is_taught
    consistency = 3 * math.exp(-5 / 4 if end else 0) * values["unlabeled/loss"]
    total = values["labeled/class_loss"] + consistency + propagation_loss
    torch.testing.assert_close(module.update.call_args.args[0].detach(), total)
    assert module.step_kind() == is_taught


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pi_model", "mean_teacher", "sgan_plus"])
def test_a_run_is_taught_them_in_its_first_half(tmp_path, model):
    settings = [f"model={model}", "model.propagation_weight=1", "iterations=8", "sample_interval=2"]
    settings.append("data.labeled_split=representative")
    assert train_here(tmp_path, *settings)["iterations"] == 8
