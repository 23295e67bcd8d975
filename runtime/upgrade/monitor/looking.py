"""One look at a weight in training: its structure, and that of what learning changed, found where the weight lies."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ....ir.findings.formation import KEPT, EdgeStructure, WeightLook, to_runs
from ....ir.relation import CHUNK, Relation
from ....passes.connectivity.bipartite import Components, components, numbered
from ....passes.connectivity.boolean import pack
from ....passes.connectivity.digraph.structure import structure

__all__ = ["edge_structure", "look_at"]

NUMPY = (torch.float32, torch.float64, torch.float16)


def look_at(name: str, stored: Tensor, initial: Tensor | None = None) -> WeightLook:
    """The structure of a weight (N, K) as torch stores it, and that of its change: of what had another value in
    `initial`.

    Only packed edges, one bit an entry, leave the device; NaN is an edge. The look holds the components of all features
    where there are at most 2¹⁴.
    """
    stored = stored.detach()
    weight, found = edge_structure(_relation(stored, None))
    change = None
    if initial is not None:
        change, found = edge_structure(_relation(stored, initial.detach().to(stored.device)))
    N, K = stored.shape
    kept = K + N <= KEPT
    return WeightLook(
        name=name,
        shape=(K, N),
        weight=weight,
        change=change,
        inputs=to_runs(found.inputs) if kept else None,
        outputs=to_runs(found.outputs) if kept else None,
    )


def _relation(stored: Tensor, initial: Tensor | None) -> Relation:
    """What is not zero, or not as it was. On the host numpy compares a cache of rows at a time, in one thread: torch
    would wake its threads for each of these small steps, and on busy machines wait for them longer than they work."""
    if stored.device.type != "cpu" or stored.dtype not in NUMPY:
        return pack(stored != (0 if initial is None else initial))
    rows, columns = stored.shape
    now, step = stored.numpy(), max(1, CHUNK // max(columns, 1))
    then = None if initial is None else initial.numpy()
    parts = (slice(start, start + step) for start in range(0, rows, step))
    return Relation.of_rows((rows, columns), (now[own] != (0 if then is None else then[own]) for own in parts))


def edge_structure(relation: Relation) -> tuple[EdgeStructure, Components]:
    """The structure of a relation (N, K), outputs in rows, and the components of its features.

    Row i lists the in-edges of state i, as in the paper, so that strongly connected components and layers are those of
    a square weight over one set of states.

    >>> import numpy as np
    >>> from ....passes.connectivity.edges import relate
    >>> edge_structure(relate(np.array([[1, 0], [1, 1]])))[0]
    EdgeStructure(edges=3, components=1, giant=1, dormant=0, sccs=2, layers=2)
    """
    turned = components(relation)
    found = numbered(turned.outputs.copy(), turned.inputs.copy(), turned.nonzeros)
    told = EdgeStructure(edges=relation.count, components=found.count, giant=found.giant, dormant=found.dormant)
    rows, columns = relation.shape
    if rows != columns or not relation.count:
        return told, found
    if relation.count == rows * columns:  # nothing to search
        return replace(told, sccs=1, layers=1), found
    over = structure(relation)
    return replace(told, sccs=over.sccs, layers=over.layers), found
