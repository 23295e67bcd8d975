"""Weights that are quantised in groups of inputs with a scale each: which blocks can be cut out as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block, Decomposition, Indices
from ...decompose.blocks import is_cover

__all__ = ["CODES", "group_size", "groups_of", "in_groups"]

CODES = frozenset({ir.DataType.INT4, ir.DataType.UINT4, ir.DataType.INT8, ir.DataType.UINT8})


def group_size(linear: Linear) -> int | None:
    """How many inputs in a row share a scale, where a weight of integers has one for each such group and each output;
    None where it has not, or where groups run along the outputs."""
    node = linear.weight.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    size, axis, codes = node.attributes.get("block_size"), node.attributes.get("axis"), node.inputs[0]
    kind = codes.dtype or (codes.const_value.dtype if codes.const_value is not None else None)
    stored = (axis.as_int() if axis is not None else 1) % 2
    if size is None or size.as_int() < 1 or kind not in CODES or stored ^ linear.transposed:
        return None
    return size.as_int()


def in_groups(found: Decomposition, size: int) -> Decomposition | None:
    """The same blocks with whole groups of inputs, dormant inputs filling up what is missing; None where a group has
    inputs of two blocks, or blocks are more than independent ones.

    >>> found = Decomposition((6, 2), (Block([0], [0]), Block([2, 3, 4], [1])))
    >>> [block.inputs.tolist() for block in in_groups(found, 2).blocks], in_groups(found, 3)
    ([[0, 1], [2, 3, 4, 5]], None)
    """
    if found.split_k or found.residual or found.layers or is_cover(found):
        return None
    K = found.shape[0]
    owner = np.full(-(-K // size), -1)
    blocks = []
    for index, block in enumerate(found.blocks):
        groups = np.unique(block.inputs // size)
        if (owner[groups] >= 0).any():
            return None
        owner[groups] = index
        inputs = (groups[:, None] * size + np.arange(size)).reshape(-1)
        blocks.append(Block(inputs[inputs < K], block.outputs))
    return replace(found, blocks=tuple(blocks))


def groups_of(inputs: Indices, size: int, extent: int) -> Indices | None:
    """The numbers of the groups that some inputs are, one after another; None where they are no whole groups.

    >>> groups_of(np.array([4, 5, 0, 1]), 2, 6).tolist(), groups_of(np.array([0, 2]), 2, 6)
    ([2, 0], None)
    """
    groups = inputs[::size] // size
    whole = (groups[:, None] * size + np.arange(size)).reshape(-1)
    whole = whole[whole < extent]
    return groups if np.array_equal(whole, inputs) else None
