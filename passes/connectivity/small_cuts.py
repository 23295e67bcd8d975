"""What holds a weight together: the fewest entries between large parts of it, and those that join the last two."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.findings.explanation import Glue
from .bipartite import Components, components
from .chunked import as_real
from .edges import edges, relate
from .percolation import HalfGiant

__all__ = ["MOST", "glued_by_few", "glued_by_size"]

Array = npt.NDArray[Any]
Labels: TypeAlias = "npt.NDArray[np.int64]"

MOST = 1 << 22  # edges of a weight that is searched for a small cut
DENSE = 0.75  # of the entries; with more of them every cut goes through very many
SMALLEST = 0.02  # of the features of a part, on either side of a cut
FEW = 0.125  # of the edges at the smaller side: a part is cut again as long as there are no more between
PARTS = 16
LISTED = 100  # entries at most
VECTORS = 4
ROUNDS = 30  # of the subspace iteration
MOVES = 5


def glued_by_few(weight: Array, parts: Components | None = None, seed: int = 0) -> Glue | None:
    """The largest component of a weight (K, N) cut into parts with few entries between them; None where it has no cut.

    A part is cut where the fewest edges lie between two sides, for the edges on the smaller side (its conductance), by
    sweeping through the second singular vectors of the normalised matrix, and then moving features to the side that
    they have more edges to. It is cut once in any case, and on as long as at most an eighth of those edges lie between.
    Not proved to be the least cut. None for a weight more than three quarters full, or of over four million edges.
    Source: Dhillon, Co-clustering documents and words using bipartite spectral graph partitioning, 2001.

    >>> glued = np.kron(np.eye(2), np.ones((8, 8)))
    >>> glued[0, 15] = 3
    >>> found = glued_by_few(glued)
    >>> found.parts, found.count, found.entries
    (((8, 8), (8, 8)), 1, ((0, 15, 3.0),))
    """
    from scipy.sparse import csr_array

    parts = parts or components(weight)
    if not parts.count or parts.nonzeros > MOST:
        return None
    sizes = np.bincount(parts.inputs[parts.inputs >= 0], minlength=parts.count)
    sizes += np.bincount(parts.outputs[parts.outputs >= 0], minlength=parts.count)
    giant = int(np.argmax(sizes))
    K, N = np.flatnonzero(parts.inputs == giant), np.flatnonzero(parts.outputs == giant)
    graph = csr_array(edges(weight[np.ix_(K, N)]).astype(np.float64))
    if graph.nnz > DENSE * K.size * N.size:
        return None
    rows, columns = _parts(graph, np.random.default_rng(seed))
    if not rows.any() and not columns.any():
        return None
    at = graph.tocoo()
    between = rows[at.row] != columns[at.col]
    cells = K[at.row[between]], N[at.col[between]]
    return _glue("cut", weight, (rows, columns), cells, parts.nonzeros)


def glued_by_size(weight: Array, half: HalfGiant) -> Glue | None:
    """The two largest parts of a weight at its half threshold, and the entries between them, largest first.

    half: as `half_giant` finds it. None where the weight falls apart as it is, or entries of one size hold all of it.

    >>> from .percolation import half_giant
    >>> W = np.array([[9.0, 1.0, 0.0], [0.0, 8.0, 2.0], [0.5, 0.0, 7.0]])
    >>> glued_by_size(W, half_giant(W)).entries
    ((0, 1, 1.0),)
    """
    if not half.threshold or half.components < 2:
        return None
    found = components(relate(weight, half.threshold))
    sizes = np.bincount(found.inputs[found.inputs >= 0], minlength=found.count)
    sizes += np.bincount(found.outputs[found.outputs >= 0], minlength=found.count)
    order = np.argsort(-sizes, kind="stable")
    for other in order[1:]:
        pair = (int(order[0]), int(other))
        rows, columns = (
            np.select([labels == pair[0], labels == pair[1]], [0, 1], -1) for labels in (found.inputs, found.outputs)
        )
        K, N = np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0)
        apart = edges(weight[np.ix_(K, N)]) & (rows[K][:, None] != columns[N])
        if apart.any():
            inside, outside = np.nonzero(apart)
            nonzeros = int(np.count_nonzero(edges(weight)))
            return _glue("size", weight, (rows[K], columns[N]), (K[inside], N[outside]), nonzeros)
    return None


def _glue(how: Any, weight: Array, labels: tuple[Labels, Labels], cells: tuple[Labels, Labels], nonzeros: int) -> Glue:
    """labels: the part of each row and column; cells: the entries between, by their places in the weight."""
    values = np.asarray(as_real(weight[cells]), np.float64)
    size = np.where(np.isnan(values), np.inf, np.abs(values))
    order = np.argsort(-size, kind="stable")[:LISTED]
    counts = [np.bincount(one, minlength=1 + max(int(side.max()) for side in labels)) for one in labels]
    shapes = sorted(zip(*(one.tolist() for one in counts), strict=True), key=lambda shape: (-sum(shape), shape))
    listed = ((int(cells[0][i]), int(cells[1][i]), float(values[i])) for i in order)
    return Glue(
        how=how,
        parts=tuple((int(k), int(n)) for k, n in shapes if k + n),
        count=int(values.size),
        share=values.size / max(nonzeros, 1),
        entries=tuple(listed),
    )


def _parts(graph: Any, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """The part of each row and column of a connected graph; all 0 where there is no cut."""
    rows, columns = (np.zeros(side, np.int64) for side in graph.shape)
    waiting, count = [0], 1
    while waiting and count < PARTS:
        part = waiting.pop(0)
        K, N = np.flatnonzero(rows == part), np.flatnonzero(columns == part)
        cut = _cut(graph[K][:, N], rng)
        if cut is None or (cut[2] > FEW and count > 1):
            continue
        rows[K[cut[0]]] = count
        columns[N[cut[1]]] = count
        if cut[2] <= FEW:
            waiting += [part, count]
        count += 1
    return rows, columns


def _cut(graph: Any, rng: np.random.Generator) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], float] | None:
    """(Rows on the second side, columns there, conductance) of the best cut; None where there is none."""
    if min(graph.shape) < 2 or not graph.nnz:
        return None
    best = None
    for left, right in _vectors(graph, rng):
        swept = _sweep(graph, left, right)
        if swept is not None and (best is None or swept[2] < best[2]):
            best = swept
    return None if best is None else _moved(graph, *best)


def _vectors(graph: Any, rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Leading singular vectors of the normalised matrix behind the first, which is known, scaled back to features."""
    from scipy.sparse import diags_array

    left, right = (1 / np.sqrt(np.maximum(np.asarray(graph.sum(axis)).ravel(), 1)) for axis in (1, 0))
    scaled = diags_array(left) @ graph @ diags_array(right)
    known = 1 / right
    known = known / np.linalg.norm(known)
    basis = rng.standard_normal((graph.shape[1], min(VECTORS, graph.shape[1] - 1)))
    for _ in range(ROUNDS):
        basis -= np.outer(known, known @ basis)
        basis = np.linalg.qr(scaled.T @ (scaled @ basis))[0]
    basis -= np.outer(known, known @ basis)
    tops, values, turned = np.linalg.svd(scaled @ basis, full_matrices=False)
    kept = [index for index in range(values.size) if values[index] > 1e-9]
    return [(tops[:, index] * left, (basis @ turned[index]) * right) for index in kept]


def _sweep(graph: Any, left: Array, right: Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], float] | None:
    """The best cut between features in the order of a vector."""
    K, N = graph.shape
    order = np.argsort(np.concatenate([left, right]), kind="stable")
    place = np.empty(K + N, np.int64)
    place[order] = np.arange(K + N)
    at = graph.tocoo()
    ends = place[at.row], place[K + at.col]
    starts, stops = np.minimum(*ends), np.maximum(*ends)
    between = np.cumsum(np.bincount(starts, minlength=K + N) - np.bincount(stops, minlength=K + N))[:-1]
    volume = np.cumsum(np.bincount(np.concatenate(ends), minlength=K + N))[:-1]
    smaller = np.minimum(volume, 2 * at.nnz - volume)
    rows = np.cumsum(order < K)[:-1]
    columns = np.arange(1, K + N) - rows
    least = max(SMALLEST * (K + N), 2)
    fits = (np.arange(1, K + N) >= least) & (np.arange(1, K + N) <= K + N - least) & (smaller > 0)
    fits &= (rows > 0) & (rows < K) & (columns > 0) & (columns < N)
    if not fits.any():
        return None
    score = np.where(fits, between / np.maximum(smaller, 1), np.inf)
    cut = int(np.argmin(score))
    return place[:K] > cut, place[K:] > cut, float(score[cut])


def _moved(
    graph: Any, rows: npt.NDArray[np.bool_], columns: npt.NDArray[np.bool_], score: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], float]:
    """The same cut after features went to the side that they have more edges to, as long as it gets better.

    Rows have no edges among themselves, so all of them move at once and the cut gets no larger; then columns do.
    """
    degrees = np.asarray(graph.sum(1)).ravel(), np.asarray(graph.sum(0)).ravel()
    for _ in range(MOVES):
        own = graph @ columns.astype(np.float64)
        moved = np.where(2 * own == degrees[0], rows, 2 * own > degrees[0])
        other = graph.T @ moved.astype(np.float64)
        shifted = np.where(2 * other == degrees[1], columns, 2 * other > degrees[1])
        both = float((other * ~shifted + (degrees[1] - other) * shifted).sum())
        volume = float(degrees[0] @ moved + degrees[1] @ shifted)
        smaller = min(volume, 2 * graph.nnz - volume)
        if not smaller or both / smaller >= score or not (0 < moved.sum() < moved.size):
            break
        rows, columns, score = moved, shifted, both / smaller
    return rows, columns, score
