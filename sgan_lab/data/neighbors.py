"""The graph of neighboring images, and which of them stand for all: both need no labels."""

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import eigsh
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph
from threadpoolctl import threadpool_limits
from torch import Tensor

COMPONENTS = 50  # principal components of the pixels
NEIGHBORS = 5
TOLERANCE = 1e-4  # of the eigenvalues, relative


def neighbor_graph(images: Tensor) -> csr_matrix:
    """The graph of nearest neighbors in principal components of the pixels.

    Args:
        images: bytes (N, channels, height, width).

    Returns:
        Symmetric weights (N, N), exp(-(d / mean d)^2) at the cosine distance d.
    """
    pixels = images.flatten(1).float().cpu().numpy()
    components = min(COMPONENTS, *pixels.shape)
    points = PCA(components, svd_solver="covariance_eigh").fit_transform(pixels)
    neighbors = min(NEIGHBORS, len(points) - 1)
    graph = kneighbors_graph(points, neighbors, mode="distance", metric="cosine")
    scale = graph.data.mean() or 1.0  # 0 where all neighbors are equal
    graph.data = np.exp(-((graph.data / scale) ** 2))
    return graph.maximum(graph.T)


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
