"""Row groups: a weight of one component cut along its layers into rectangular sub-operators (paper 4.4).

Outputs belong to one group, inputs to as many as read them. For one product every group reads x alone, so the groups
run in parallel whatever their layers; the order only decides which outputs go together.
"""

from __future__ import annotations

import numpy as np

from ..ir.plan import Block, Decomposition
from ..ir.relation import Relation, columns_of
from ..ir.structure import Labels
from .elimination import eliminate
from .structure import structure

__all__ = ["WORTH", "cut", "row_groups"]

MOST = 64  # groups; more are never faster
WORTH = 0.1  # of the multiply-adds; what saves less would not pay for the copies
LARGEST = 1 << 28  # entries that are looked at one byte each


def row_groups(relation: Relation) -> Decomposition | None:
    """Row groups of a relation (K, N), inputs in rows, along whichever layers leave the fewest multiply-adds.

    Layers come from the Frobenius form of a square weight, whose inputs and outputs may be the same states, and from
    `eliminate`, which knows no states. None when neither saves a tenth.

    >>> from .edges import relate
    >>> found = row_groups(relate(np.triu(np.ones((4, 4)))))
    >>> [(b.inputs.tolist(), b.outputs.tolist()) for b in found.blocks]
    [([0], [0]), ([0, 1], [1]), ([0, 1, 2], [2]), ([0, 1, 2, 3], [3])]
    >>> found.layers
    ((0, 0), (1, 1), (2, 2), (3, 3))
    """
    K, N = relation.shape
    if not K * N or relation.density > 1 - WORTH or K * N > LARGEST:
        return None
    by_output = relation.transposed()
    candidates = []
    if K == N and (states := structure(by_output)).layers > 1:
        dormant = ~by_output.words.any(axis=1)
        candidates.append(np.where(dormant, -1, states.layer))
    if (layers := eliminate(relation, WORTH)) is not None:
        candidates.append(layers)
    found = [cut(by_output, layer) for layer in candidates]
    best = min(found, key=lambda groups: groups.mac_share, default=None)
    return best if best is not None and len(best.blocks) > 1 and best.mac_share <= 1 - WORTH else None


def cut(by_output: Relation, layer: Labels, most: int = MOST) -> Decomposition:
    """At most about `most` row groups of consecutive layers, each reading all inputs with an edge into its outputs.

    by_output: (N, K), row n lists the inputs of output n; layer: (N,), -1 for dormant outputs.
    """
    N, K = by_output.shape
    order = np.lexsort((np.arange(N), layer))
    order = order[np.searchsorted(layer[order], 0) :]
    ends = np.flatnonzero(np.diff(layer[order], append=-2)) + 1  # where a layer ends
    target = -(-order.size // most)
    blocks, spans = [], []
    start = 0
    for end in ends.tolist():
        if end - start >= target or end == order.size:
            outputs = order[start:end]
            inputs = columns_of(np.bitwise_or.reduce(by_output.words[outputs], axis=0), K)
            blocks.append(Block(inputs, np.sort(outputs)))
            spans.append((int(layer[outputs[0]]), int(layer[outputs[-1]])))
            start = end
    return Decomposition((K, N), tuple(blocks), tuple(spans))
