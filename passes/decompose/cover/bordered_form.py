"""Few edges that glue groups together, taken out of a cover to be computed apart: its bordered form (4.4).

A dense output needs no border of its own, since it is a group that reads everything, nor does a dense input, which
every group reads. What is left are entries: an input that a group reads for the sake of one or two edges.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ....ir.plan.plan import Block, Decomposition
from ....ir.relation import Relation
from ..cover_cost import CoverCost

__all__ = ["bordered"]

DEEP = 4  # residual entries of one output: each is added in a step of its own


def bordered(found: Decomposition, relation: Relation, cost: CoverCost | None = None) -> Decomposition:
    """The same with residual entries: the features of each group whose few edges cost less apart than inside it.

    found: a cover of the relation (K, N), outputs partitioned. Greedy by gain, which is the same as one by one since
    groups do not depend on each other; an output that would need more than four residual entries keeps them. Exact:
    every edge is in a group or a residual entry.

    >>> from ...connectivity.edges import relate
    >>> from .cover import cover
    >>> glued = np.kron(np.eye(2), np.ones((300, 300)))
    >>> glued[0, 599] = 1
    >>> found = bordered(cover(relate(glued)), relate(glued))
    >>> [block.shape for block in found.blocks], found.residual
    ([(300, 300), (300, 300)], ((0, 599),))
    """
    cost = cost or CoverCost()
    dense = relation.dense()
    blocks, residual = [], list(found.residual)
    for block in found.blocks:
        part = dense[np.ix_(block.inputs, block.outputs)]
        inputs, outputs = _kept(part, cost)
        if not inputs.any() or not outputs.any():
            blocks.append(block)
            continue
        left = part.copy()
        left[np.ix_(inputs, outputs)] = False
        residual += [(int(block.inputs[k]), int(block.outputs[n])) for k, n in np.argwhere(left)]
        blocks.append(Block(block.inputs[inputs], block.outputs[outputs]))
    return Decomposition(found.shape, tuple(blocks), residual=tuple(sorted(residual)))


def _kept(part: npt.NDArray[np.bool_], cost: CoverCost) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which inputs and outputs of one group stay in it; part: (inputs, outputs) its edges."""
    inputs, outputs = part.any(axis=1), part.any(axis=0)
    held = np.zeros(part.shape[0], bool)  # inputs that have to stay
    while True:
        edges = part[:, outputs].sum(axis=1)
        dear = edges * cost.residual >= cost.mac * outputs.sum() + cost.read
        keep = part.any(axis=1) & (dear | held)
        apart = part[~keep].sum(axis=0)
        if not (deep := apart > DEEP).any():
            inputs = keep
            break
        held |= part[:, deep].any(axis=1)
    edges = part[inputs].sum(axis=0)
    cheap = (edges * cost.residual < cost.mac * inputs.sum() + cost.write) & (part.sum(axis=0) <= DEEP)
    outputs = outputs & ~cheap
    return inputs, outputs
