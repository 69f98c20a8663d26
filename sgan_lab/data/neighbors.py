"""The graph of neighboring images, and which of them stand for all: both need no labels."""

import math

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph
from threadpoolctl import threadpool_limits
from torch import Tensor

from sgan_lab.data.augmentation import gray

ORIENTATIONS = 8
CELLS = 9  # along each side of an image
COMPONENTS = 100  # principal components of the histograms
NEIGHBORS = 5
BATCH = 1000  # images
TOLERANCE = 1e-4  # of the eigenvalues, relative


def neighbor_graph(images: Tensor) -> csr_matrix:
    """The graph of nearest neighbors in principal components of orientation histograms.

    Args:
        images: bytes (N, channels, height, width).

    Returns:
        Symmetric weights (N, N), exp(-(d / mean d)^2) at the cosine distance d.
    """
    histograms = torch.cat([orientation_histograms(some) for some in images.cpu().split(BATCH)])
    components = min(COMPONENTS, *histograms.shape)
    points = PCA(components, svd_solver="covariance_eigh").fit_transform(histograms.numpy())
    neighbors = min(NEIGHBORS, len(points) - 1)
    graph = kneighbors_graph(points, neighbors, mode="distance", metric="cosine")
    scale = graph.data.mean() or 1.0  # 0 where all neighbors are equal
    graph.data = np.exp(-((graph.data / scale) ** 2))
    return graph.maximum(graph.T)


def orientation_histograms(images: Tensor) -> Tensor:
    """How strong edges are in each direction, in each cell of an image.

    Dalal and Triggs 2005, Histograms of Oriented Gradients for Human Detection, with Gaussian
    windows in place of blocks, and square roots, which make strong edges count less.

    Args:
        images: bytes (N, channels, height, width); of colors, the luma counts.

    Returns:
        (N, `ORIENTATIONS` x `CELLS` x `CELLS`), not negative.
    """
    down, right = torch.gradient(gray(images.float()), dim=(2, 3))
    bins = torch.arange(ORIENTATIONS).view(-1, 1, 1)
    distances = torch.atan2(down, right) * ORIENTATIONS / math.pi - bins  # equal by half turns
    distances = (distances - ORIENTATIONS * (distances / ORIENTATIONS).round()).abs()
    edges = torch.hypot(down, right) * (1 - distances).clamp(min=0)
    rows, columns = (cell_windows(side) for side in images.shape[2:])
    return (rows @ edges @ columns.T).sqrt().flatten(1)


def cell_windows(side: int) -> Tensor:
    """Weights (`CELLS`, side) of pixels along a side of an image in the mean of a cell."""
    centers = (torch.arange(CELLS) + 0.5).unsqueeze(1) / CELLS
    places = (torch.arange(side) + 0.5) / side
    weights = torch.exp(-2 * ((places - centers) * CELLS) ** 2)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def representatives(images: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Choose images that stand for all: the nearest to each center of spectral clustering.

    Ng, Jordan and Weiss 2002, On Spectral Clustering: Analysis and an Algorithm. As many
    eigenvectors of the neighbor graph as there are clusters map images that are connected by many
    ways to points that are near each other.

    Args:
        images: bytes (N, channels, height, width).
        count: clusters, 1 to N - 1.
        seed: of the clustering; nothing else depends on it.

    Returns:
        Indices of the chosen images, ascending, (count,), and the sizes of their clusters.
    """
    graph = neighbor_graph(images)
    scale = diags(1 / np.sqrt(graph.sum(axis=1).A1))
    start = np.random.default_rng(seed).random(len(images))
    _, vectors = eigsh(scale @ graph @ scale, count, which="LA", v0=start, tol=TOLERANCE)
    points = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    with threadpool_limits(1):  # with more, equal seeds may give other clusters
        clusters = KMeans(count, random_state=seed).fit(points)
    is_member = clusters.labels_[:, None] == np.arange(count)
    chosen = np.where(is_member, clusters.transform(points), np.inf).argmin(axis=0)
    order = chosen.argsort()
    return torch.from_numpy(chosen[order]), torch.from_numpy(is_member.sum(axis=0)[order])
