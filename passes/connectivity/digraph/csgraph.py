"""The node table by graph search: scipy's strong and weak components over the sparse matrix, layers by peeling."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from ....ir.findings.structure import Labels, Parts
from ....ir.relation import CHUNK, Relation
from ..bipartite import by_smallest_member
from ..sparse import sparse

__all__ = ["by_graph", "peel"]


def by_graph(relation: Relation) -> Parts:
    """SCCs, condensation, layers and weak components of an adjacency (n, n), row i the in-edges of i.

    Linear in states and edges (Pearce's variant of Tarjan's algorithm in scipy; Kahn's topological sort).
    """
    n = relation.shape[0]
    if not n:
        empty = np.empty(0, np.int64)
        return Parts(empty, empty, empty, relation)
    edges = sparse(relation)
    count, labels = connected_components(edges, connection="strong")
    scc = by_smallest_member(labels)
    condensation = _condense(edges, scc, count)
    component = by_smallest_member(connected_components(condensation, directed=False)[1])
    return Parts(scc, component, peel(condensation), _packed(condensation))


def _condense(edges: csr_array, scc: Labels, count: int) -> csr_array:
    """Edges between different SCCs, each once: row s lists the SCCs with an edge into s."""
    if count == 1:
        return csr_array((1, 1), dtype=np.int8)
    targets = np.repeat(scc, np.diff(edges.indptr))
    sources = scc[edges.indices]
    between = targets != sources
    pairs = coo_array((np.ones(int(between.sum()), np.int8), (targets[between], sources[between])), (count, count))
    joined = pairs.tocsr()  # this adds up equal entries, which is all right: their places are what counts
    joined.data[:] = 1
    return joined


def peel(condensation: csr_array) -> Labels:
    """The layer of every node of an acyclic graph (r, r): those without in-edges go first, then those they freed."""
    r = condensation.shape[0]
    out = condensation.tocsc()
    starts, targets = out.indptr, out.indices
    missing = np.diff(condensation.indptr).astype(np.int64)
    layer = np.zeros(r, np.int64)
    ready, depth = np.flatnonzero(missing == 0), 0
    while ready.size:
        layer[ready] = depth
        depth += 1
        if ready.size == 1:  # a long path has one node a layer
            freed = targets[starts[ready[0]] : starts[ready[0] + 1]]
            missing[freed] -= 1
            ready = freed[missing[freed] == 0]
        else:
            freed = np.concatenate([targets[starts[node] : starts[node + 1]] for node in ready.tolist()])
            np.subtract.at(missing, freed, 1)
            freed = freed[missing[freed] == 0]
            ready = np.unique(freed)
    return layer


def _packed(matrix: csr_array) -> Relation:
    rows, columns = matrix.shape
    step = max(1, CHUNK // max(columns, 1))
    return Relation.of_rows((rows, columns), (matrix[at : at + step].toarray() != 0 for at in range(0, rows, step)))
