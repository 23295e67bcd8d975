"""Random digraphs of every kind, and slow oracles of their structure by networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch

from scission.models.matrices.appendix import adjacency

# Marks of a test of what torch does on CUDA; skipped where there is none.
CUDA = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))


def on_cuda(test):
    """A test of what torch does there."""
    for mark in CUDA:
        test = mark(test)
    return test


KINDS = ("random", "dag", "triangular", "cycle", "permutation", "blocks", "empty", "full")


def digraph(rng, n, kind=None, density=None):
    """A Boolean adjacency (n, n), row i the in-edges of i, with self-loops left in, states in random order."""
    kind = kind or rng.choice(KINDS)
    density = (
        rng.choice([0, 0.5 / max(n, 1), 1 / max(n, 1), 2 / max(n, 1), 0.1, 0.5, 1]) if density is None else density
    )
    A = rng.random((n, n)) < density
    if kind in ("dag", "triangular"):
        A = np.tril(A, -1 if kind == "dag" else 0)
    elif kind in ("cycle", "permutation"):
        A = np.roll(np.eye(n, dtype=bool), 1, 0) if kind == "cycle" else np.eye(n, dtype=bool)[rng.permutation(n)]
    elif kind == "blocks":
        group = rng.integers(0, 4, n)
        A &= group[:, None] == group[None, :]
    elif kind in ("empty", "full"):
        A[:] = kind == "full"
    order = rng.permutation(n)
    return np.ascontiguousarray(A[order][:, order])


def expected(A):
    """(SCC, component, layer) of every state, and the sorted edges (target, source) of the condensation."""
    n = len(A)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from((int(j), int(i)) for i, j in np.argwhere(A))
    sccs = sorted(nx.strongly_connected_components(graph), key=min)
    condensed = nx.condensation(graph, sccs)
    scc, layer, component = np.zeros(n, int), {}, {}
    for number, members in enumerate(sccs):
        scc[list(members)] = number
    for number, generation in enumerate(nx.topological_generations(condensed)):
        layer.update(dict.fromkeys(generation, number))
    for number, members in enumerate(sorted(nx.weakly_connected_components(condensed), key=min)):
        component.update(dict.fromkeys(members, number))
    edges = sorted((int(t), int(s)) for s, t in condensed.edges)
    return scc, np.array([component[s] for s in scc], int), np.array([layer[s] for s in scc], int), edges


EXAMPLE = adjacency()

# new index, node, SCC, component, layer, isolated
TABLE_A2 = """
1 1 1 1 1 0 | 2 2 1 1 1 0 | 3 3 1 1 1 0 | 4 4 2 1 2 0 | 5 5 2 1 2 0 | 6 10 6 1 3 0 | 7 18 6 1 3 0 | 8 11 7 1 3 0
9 17 7 1 3 0 | 10 14 9 2 1 0 | 11 15 9 2 1 0 | 12 12 8 2 2 0 | 13 13 8 2 2 0 | 14 6 3 2 3 0 | 15 7 3 2 3 0
16 8 4 3 1 0 | 17 16 4 3 1 0 | 18 9 5 4 1 1
"""
TABLE_A2 = [tuple(map(int, row.split())) for row in TABLE_A2.strip().replace("\n", " | ").split("|")]
