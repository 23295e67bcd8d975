"""The `gather` lowering: blocks on the last axis, between one permutation of the whole activation and one back.

No Transpose, and products whose constant second factor ONNX Runtime packs when it loads them.
"""

from __future__ import annotations

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block, Decomposition
from ..nodes.emitter import Emitter
from ..nodes.last_axis import Columns
from ..nodes.primitives import addend, cut, join, window
from ..nodes.windows import plan_reads
from .per_block import own_bias, product

__all__ = ["arranged", "gather"]


def gather(emitter: Emitter, constants: Constants, decomposition: Decomposition) -> ir.Value:
    """Emit the permutation into block order, Split, or where inputs are shared a Slice for each block, the operator
    once a block, Concat and the permutation back."""
    linear = emitter.linear
    x, rank, (K, N) = linear.activation, linear.layout.rank, linear.shape
    axis = -1 if rank is None else rank - 1
    parts = arranged(decomposition)
    columns = Columns(emitter, x, rank, shape_of(x))
    reads = plan_reads([block for _, block in parts], K)
    ordered = x if reads.order is None else columns.take(x, reads.order, K, "gather")
    if reads.follow:
        pieces = cut(emitter, ordered, [inputs.size for inputs in reads.inputs], axis)
    else:
        pieces = [
            x if start < 0 else window(emitter, ordered, start, start + inputs.size, f"block.{i}", axis)
            for (i, _), start, inputs in zip(parts, reads.starts, reads.inputs, strict=True)
        ]
    compute = product(emitter, constants, "gather")
    results = [
        compute(f"block.{i}", block, piece, inputs)
        for (i, block), piece, inputs in zip(parts, pieces, reads.inputs, strict=True)
    ]
    order = [block.outputs for _, block in parts]
    dormant = decomposition.dormant_outputs
    if dormant.size:
        bias = own_bias(linear, constants, "gather")
        zero = np.zeros(dormant.size, linear.dtype.numpy())
        channel = zero if bias is None else bias[dormant] * np.asarray(linear.beta, bias.dtype)
        results.append(columns.repeat(channel, "zero/channel"))
        order.append(dormant)
    joined = join(emitter, results, axis)
    return addend(emitter, columns.take(joined, np.argsort(np.concatenate(order)), N, "scatter"))


def arranged(decomposition: Decomposition) -> list[tuple[int, Block]]:
    """The blocks with their numbers, in the order that leaves one end as it is where there is one.

    >>> scattered = Decomposition((4, 4), (Block([0, 2], [2, 3]), Block([1, 3], [0, 1])))
    >>> [number for number, _ in arranged(scattered)]
    [1, 0]
    """
    parts = list(enumerate(decomposition.blocks))
    for side in ("inputs", "outputs"):
        lists = [getattr(block, side) for block in decomposition.blocks]
        order = sorted(range(len(lists)), key=[int(one[0]) for one in lists].__getitem__)
        if (np.diff(np.concatenate([lists[index] for index in order])) == 1).all():
            return [parts[index] for index in order]
    return parts
