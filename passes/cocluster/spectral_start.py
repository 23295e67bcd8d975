"""A first partition read off the singular vectors of the energies that stand out of the noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .energies import Energies, Sample, moments

__all__ = ["MARGIN", "coherence", "kmeans", "standing_out"]

Labels = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]

FACTORS = 24  # singular vectors looked at; twice as many while all of them stand out
MOST = 96  # of them; more blocks than that are merged
POWER = 8  # iterations that separate singular values from the noise
DRAWS = 3  # of random signs
MARGIN = 1.01  # of the noise edge: the largest singular value of noise alone fluctuates by less


def standing_out(sample: Sample, rng: np.random.Generator) -> tuple[Float, Float, Float, float]:
    """Leading singular vectors and values of the energies above the null's, and the largest value of noise alone.

    With the mean of all taken away instead of the null's, what lies outside would be negative beside a large block,
    and the inputs and outputs of a small one would get opposite signs.
    """
    K, N = sample.shape
    null = np.float32(min(sample.mean, moments()[0]))
    raised = np.full((K, N), -null) if sample.known is None else sample.known * -null
    raised += sample.energy
    level = (sample.mean - float(null)) * sample.entries / (K * N)
    square = float(np.einsum("ij,ij->", raised, raised, dtype=np.float64)) / (K * N)
    spread = math.sqrt(max(square - level * level, 0.0))
    edge = spread * (math.sqrt(K) + math.sqrt(N))
    count = FACTORS
    while True:
        left, values, right = _leading(raised, min(count, K, N), rng)
        if count >= min(MOST, K, N) or values[-1] <= MARGIN * edge:
            return left, values, right, edge
        count *= 2


def _leading(matrix: Energies, count: int, rng: np.random.Generator) -> tuple[Float, Float, Float]:
    """The leading singular vectors and values, by randomised subspace iteration (Halko, Martinsson, Tropp, 2011)."""
    basis = rng.standard_normal((matrix.shape[1], min(count + 8, *matrix.shape))).astype(np.float32)
    for _ in range(POWER):
        image = np.linalg.qr(matrix @ basis)[0]
        basis = np.linalg.qr(matrix.T @ image)[0]
    left, values, turned = np.linalg.svd(matrix @ basis, full_matrices=False)
    right = basis @ turned[:count].T
    return left[:, :count].astype(np.float64), values[:count].astype(np.float64), right.astype(np.float64)


def coherence(matrix: Energies, rng: np.random.Generator) -> tuple[float, float]:
    """(The largest singular value over that of the same magnitudes with random signs, what noise stays below).

    Signs drawn at random leave every symmetric law of independent entries as it is, whatever its shape and wherever
    its entries are 0. The margin is five deviations of the largest singular value of noise (Johnstone, On the
    distribution of the largest eigenvalue in principal components analysis, 2001), and at least 5 %.
    """
    own = float(_leading(matrix, 1, rng)[1][0])
    drawn = [
        float(_leading(matrix * (1 - 2 * rng.integers(0, 2, matrix.shape, np.int8)), 1, rng)[1][0])
        for _ in range(DRAWS)
    ]
    used = [1 / math.sqrt(max(int(np.count_nonzero(matrix.any(axis))), 1)) for axis in (0, 1)]
    spread: float = 0.635 * sum(used) ** (1 / 3) / sum(1 / one for one in used)
    return own / max(sum(drawn) / DRAWS, 1e-30), 1 + max(0.05, 5 * spread)


def kmeans(points: Float, clusters: int, rng: np.random.Generator) -> Labels:
    """Clusters of points (features, factors), numbered from 0; some may be empty."""
    import warnings

    from scipy.cluster.vq import kmeans2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cluster may run empty; it is dropped later
        labels = kmeans2(points, _centres(points, clusters, rng), minit="matrix", iter=20)[1]
    return np.asarray(labels, np.int64)


def _centres(points: Float, clusters: int, rng: np.random.Generator) -> Float:
    """Points drawn as first centres, each the best of several drawn with probability proportional to the squared
    distance from those before.

    Source: Arthur and Vassilvitskii, k-means++, 2007, in its greedy form.
    """
    norms = (points**2).sum(1)

    def squares(at: list[int]) -> Float:
        found: Float = np.maximum(norms[:, None] - 2 * points @ points[at].T + norms[at], 0)
        return found

    chosen = [int(rng.integers(len(points)))]
    nearest = squares(chosen)[:, 0]
    for _ in range(clusters - 1):
        total = nearest.sum()
        drawn = rng.choice(len(points), 2 + int(math.log(clusters)), p=nearest / total if total > 0 else None).tolist()
        nearer = np.minimum(squares(drawn), nearest[:, None])
        best = int(nearer.sum(0).argmin())
        chosen.append(drawn[best])
        nearest = nearer[:, best]
    return points[chosen]
