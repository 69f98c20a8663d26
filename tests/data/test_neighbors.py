import math

import numpy as np
import torch
from sklearn.cluster import KMeans

from sgan_lab.data import neighbors
from sgan_lab.data.load import load
from sgan_lab.data.neighbors import neighbor_graph, orientation_histograms, representatives
from tests.builders import SHAPE, digits

CLOSE = {"rtol": 0, "atol": 1e-4}  # square roots near 0 magnify roundings


def test_histograms_equal_a_loop_over_pixels():
    """In colors of a wide image: the luma's edges, each in two neighboring orientations."""
    torch.manual_seed(0)
    images = torch.randint(256, (2, 3, 10, 14), dtype=torch.uint8)
    lumas = np.einsum("c,nchw->nhw", [0.299, 0.587, 0.114], images.double().numpy())
    cells, orientations = neighbors.CELLS, neighbors.ORIENTATIONS
    expected = np.zeros((2, orientations, cells, cells))
    for number, luma in enumerate(lumas):
        down, right = np.gradient(luma)
        for row, column in np.ndindex(cells, cells):
            vertical = (np.arange(10) + 0.5 - (row + 0.5) * 10 / cells) / (10 / cells)
            horizontal = (np.arange(14) + 0.5 - (column + 0.5) * 14 / cells) / (14 / cells)
            window = np.exp(-2 * np.add.outer(vertical**2, horizontal**2))
            window /= window.sum()
            for y, x in np.ndindex(10, 14):
                strength = window[y, x] * math.hypot(down[y, x], right[y, x])
                place = math.atan2(down[y, x], right[y, x]) / math.pi * orientations
                low = math.floor(place)
                histogram = expected[number, :, row, column]
                histogram[low % orientations] += (1 - place + low) * strength
                histogram[(low + 1) % orientations] += (place - low) * strength
    actual = orientation_histograms(images).double()
    torch.testing.assert_close(actual, torch.from_numpy(expected).sqrt().flatten(1), **CLOSE)


def test_each_cloud_of_images_has_one_representative():
    """Clouds of 30, 20 and 10 images that light different pixels."""
    torch.manual_seed(0)
    sizes = [30, 20, 10]
    images = torch.zeros(60, *SHAPE, dtype=torch.uint8)
    for number, cloud in enumerate(images.split(sizes)):
        cloud[:, :, 9 * number : 9 * number + 9] = torch.randint(
            100, 150, (len(cloud), 1, 9, 28), dtype=torch.uint8
        )
    order = torch.randperm(60)
    cloud_of = torch.arange(3).repeat_interleave(torch.tensor(sizes))[order]
    chosen, weights = representatives(images[order], 3, seed=0)
    assert dict(zip(cloud_of[chosen].tolist(), weights.tolist(), strict=True)) == dict(
        enumerate(sizes)
    )
    assert chosen.tolist() == sorted(chosen)


def test_they_are_those_of_the_paper(monkeypatch):
    """The algorithm with full matrices."""
    monkeypatch.setattr(neighbors, "TOLERANCE", 0)
    labeled = digits(None, "first", 8).labeled
    alike = torch.isin(labeled.labels, torch.tensor([3, 5, 8, 9]))  # one connected graph
    images = labeled.images[alike][:300]
    weights = neighbor_graph(images).toarray()
    degrees = weights.sum(axis=1)
    _, vectors = np.linalg.eigh(weights / np.sqrt(np.outer(degrees, degrees)))
    points = vectors[:, -4:] / np.linalg.norm(vectors[:, -4:], axis=1, keepdims=True)
    clusters = KMeans(4, random_state=1).fit(points)
    expected = {}
    for label in range(4):
        members = np.flatnonzero(clusters.labels_ == label)
        distances = np.linalg.norm(points[members] - clusters.cluster_centers_[label], axis=1)
        expected[members[distances.argmin()]] = len(members)
    chosen, sizes = representatives(images, 4, seed=1)
    assert dict(zip(chosen.tolist(), sizes.tolist(), strict=True)) == expected


def test_the_clusters_tell_how_frequent_the_classes_are():
    """Closer than the labels of the chosen images do; and the rest is left unlabeled."""
    data = load("digits", num_labeled=50, labeled_split="representative", batch_size=8)
    every = load("digits", num_labeled=None, labeled_split="first", batch_size=8).labeled.labels
    assert len(data.labeled.labels) == 50
    assert len(data.unlabeled_images) == len(every) - 50 == data.label_weights.sum() - 50
    true = every.bincount(minlength=10) / len(every)
    counts = (data.labeled.labels.bincount(minlength=10) / 50 - true).abs().sum()
    weighted = data.labeled.labels.bincount(data.label_weights, minlength=10) / len(every)
    assert (weighted - true).abs().sum() < counts
