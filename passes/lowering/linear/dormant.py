"""Outputs that have no edge: whether they must be computed all the same, and the blocks with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....ir.graph.linear import Linear
from ....ir.plan.plan import Block, Decomposition
from ....ir.reason import Cause, Reason

__all__ = ["SCATTER_ND", "absorb_dormant", "apart", "computes_dormant"]

SCATTER_ND = 11  # operator set that brought ScatterND


def computes_dormant(linear: Linear) -> bool:
    """Whether dormant outputs must be computed, by zero columns: where something is done to them besides a bias."""
    return linear.fused or linear.layout.kind == "conv" or bool(linear.slices) or linear.opset < SCATTER_ND


def apart(linear: Linear, found: Decomposition) -> Reason | None:
    """Why a linear cannot add to the results of its blocks, where outputs are shared or there are residual entries."""
    if not computes_dormant(linear) or not (found.split_k or found.residual):
        return None
    what = "blocks that share outputs" if found.split_k else "residual entries"
    told = f"{what} are added up in features-first layout, which {linear.op} here cannot have; use other blocks"
    return Reason(Cause.BLOCKS, told)


def absorb_dormant(found: Decomposition) -> Decomposition:
    """The same with dormant outputs owned by the smallest block, whose weight has zeros there.

    >>> absorb_dormant(Decomposition((1, 3), (Block([0], [1]),))).blocks[0].outputs.tolist()
    [0, 1, 2]
    """
    if not found.dormant_outputs.size:
        return found
    blocks = list(found.blocks)
    smallest = min(range(len(blocks)), key=lambda index: blocks[index].inputs.size)
    outputs = np.sort(np.concatenate([blocks[smallest].outputs, found.dormant_outputs]))
    blocks[smallest] = Block(blocks[smallest].inputs, outputs)
    return replace(found, blocks=tuple(blocks))
