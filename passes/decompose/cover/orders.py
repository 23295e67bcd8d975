"""Orders of the supports of a relation in which those that read the same inputs stand together.

Each makes another kind of structure visible: the order of the outputs themselves windows, elimination triangles,
reverse Cuthill-McKee bands, average linkage clusters. `cover` cuts them all and keeps the best.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Labels
from ....ir.relation import Relation
from .row_patterns import Supports
from .triangular_order import eliminate

__all__ = ["by_bands", "by_clusters", "by_windows", "orders", "triangular"]

# What each order is for; a row is a support, a column an input:
#
#     windows       triangle      bands (shuffled)   clusters with a residual entry
#     █ █ · · ·     █ · · · ·     █ █ · · ·          █ █ █ · ·
#     · █ █ · ·     █ █ · · ·     █ █ █ · ·          █ █ █ · █
#     · · █ █ ·     █ █ █ · ·     · █ █ █ ·          · · · █ █
#     · · · █ █     █ █ █ █ ·     · · █ █ █          · · · █ █
#
# None of them sees all four, and which one a weight has is not known, so all are made; cutting one is cheap.

COMMON = 0.5  # an input that so many supports have says nothing of who belongs together
LISTED = 1 << 22  # edges: a graph with more of them is not listed
SAMPLE = 1024  # inputs that similarity is measured on, and supports that are compared with each other


def orders(
    found: Supports, relation: Relation, worth: float, *, triangles: bool = True
) -> Iterator[tuple[Labels, Labels | None]]:
    """(order of the supports, layer of each support where the order has layers), the natural order first.

    relation: (K, N) that the supports are of; worth: the share of the entries that must be saved (see `eliminate`);
    triangles: whether to look for them, which cost as much from the other side.
    """
    m = len(found.members)
    yield np.arange(m), None
    yield by_windows(found), None
    # Within a layer the outputs keep their order, so that a triangle that is sorted already stays as it is.
    for layer in triangular(relation, worth) if triangles else ():
        own = layer[[int(one[0]) for one in found.members]]
        yield np.lexsort((np.arange(m), own)), own
    # Bands need the graph as a list of edges, which a dense weight has no room for.
    if m > 2 and int(found.degrees.sum()) <= LISTED:
        yield by_bands(found), None
    if m > 2:
        yield by_clusters(found), None


def by_windows(found: Supports) -> Labels:
    """By the first input, then by the last: windows in order, whatever the order of the outputs.

    >>> from ...connectivity.edges import relate
    >>> from .row_patterns import supports
    >>> by_windows(supports(relate(np.array([[0, 1, 1], [1, 1, 0], [0, 0, 1]])))).tolist()
    [1, 0, 2]
    """
    dense = found.dense
    first = dense.argmax(axis=1)
    last = found.inputs - 1 - dense[:, ::-1].argmax(axis=1)
    return np.lexsort((last, first))


def triangular(relation: Relation, worth: float) -> Iterator[Labels]:
    """The layers of the outputs in a block-triangular form, -1 for dormant ones, of each way that finds some; (N,).

    Layers come from the Frobenius form of a square weight, whose inputs and outputs may be the same states, and from
    `eliminate`, which knows no states.
    """
    from ...connectivity.digraph.structure import structure

    K, N = relation.shape
    if K == N:
        by_output = relation.transposed()
        form = structure(by_output)
        if form.layers > 1:
            yield np.where(by_output.words.any(axis=1), form.layer, -1)
    if (layers := eliminate(relation, worth)) is not None and layers.max(initial=0) > 0:
        yield layers


def by_bands(found: Supports) -> Labels:
    """Reverse Cuthill-McKee of the graph of supports and inputs (George and Liu 1981), common inputs left out.

    Supports that have a common part with most others go last, the smaller first.
    """
    from scipy.sparse import block_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    m = len(found.members)
    rare = _rare(found)
    wide = found.degrees > COMMON * found.inputs
    part = found.sparse[np.flatnonzero(~wide)][:, np.flatnonzero(rare)]
    # Supports and inputs as the two sides of one graph: bandwidth is then that of the rectangle itself.
    graph = block_array([[None, part], [part.T, None]]).tocsr()
    order = reverse_cuthill_mckee(graph, symmetric_mode=True)
    narrow = np.flatnonzero(~wide)[order[order < part.shape[0]]]
    found_order: Labels = np.concatenate([narrow, _last(found, wide)])
    assert found_order.size == m
    return found_order


def by_clusters(found: Supports) -> Labels:
    """The leaves of average linkage (Sokal and Michener 1958) by the cosine of supports, rare inputs weighing more.

    It needs no graph that falls apart, so that clusters show through residual entries. Of many inputs a sample is
    taken, and of many supports: each other one follows the one of these that is most like it.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    m = len(found.members)
    uses = found.dense.sum(axis=0)
    rng = np.random.default_rng(0)
    telling = _some(np.flatnonzero((uses > 1) & (uses < m)), rng)
    if not telling.size:
        return np.arange(m)
    # As in text retrieval: an input that many supports read tells little of who belongs together.
    weight = np.sqrt(np.log(m / uses[telling])).astype(np.float32)
    values = found.dense[:, telling] * weight
    values /= np.maximum(np.linalg.norm(values, axis=1), 1e-12)[:, None]
    chosen = _some(np.arange(m), rng)
    alike = values @ values[chosen].T
    distance = np.maximum(1 - alike[chosen].astype(np.float64), 0)
    np.fill_diagonal(distance, 0)
    leaves = leaves_list(linkage(squareform(distance, checks=False), "average"))
    place = np.empty(chosen.size, np.int64)
    place[leaves] = np.arange(chosen.size)
    # Supports that were not sampled stand beside the sampled one that is most like them.
    nearest = alike.argmax(axis=1)
    nearest[chosen] = np.arange(chosen.size)
    return np.lexsort((np.arange(m), place[nearest]))


def _some(values: Labels, rng: np.random.Generator) -> Labels:
    return values if values.size <= SAMPLE else np.sort(rng.choice(values, SAMPLE, replace=False))


def _rare(found: Supports) -> npt.NDArray[np.bool_]:
    """The inputs that are not common; all where most are."""
    rare: npt.NDArray[np.bool_] = found.dense.sum(axis=0) <= max(COMMON * len(found.members), 1)
    return rare if rare.sum() > COMMON * rare.size else np.ones_like(rare)


def _last(found: Supports, wide: npt.NDArray[np.bool_]) -> Labels:
    at = np.flatnonzero(wide)
    return at[np.argsort(found.degrees[at], kind="stable")]
