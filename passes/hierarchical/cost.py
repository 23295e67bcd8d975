"""What near and far outputs take, in seconds: three products, the results joined, and one permutation."""

from __future__ import annotations

from ...ir.graph.linear import Layout
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import boundary_seconds, copy_seconds, permutation_seconds, piece_seconds, products_seconds
from .emit import rows_come_first
from .near_far import NearFar

__all__ = ["near_far_seconds"]

RESHAPES = 3


def near_far_seconds(found: NearFar, layout: Layout, rows: int, prices: Prices) -> float:
    """Predicted seconds of all that is written for so many rows."""
    K, N = found.blocks * found.size, found.order.size
    made, rest, told = int(found.near.shape[2]), int(found.joint.shape[1]), int(found.joint.shape[0])
    count = found.blocks * made + rest
    seconds = RESHAPES * prices.view_s + prices.node_s + count * copy_seconds(count, rows, FLOAT_BYTES, prices)
    shapes = [(found.size, made), (found.size, int(found.far.shape[2]))]
    if rows_come_first(found, layout):
        seconds += sum(products_seconds([one], rows * found.blocks, FLOAT_BYTES, prices) for one in shapes)
        seconds += products_seconds([(told, rest)], rows, FLOAT_BYTES, prices)
        return seconds + 2 * piece_seconds(rows, prices) + permutation_seconds([N], rows, FLOAT_BYTES, prices)
    left = prices.left()
    seconds += boundary_seconds((K, N), layout.boundary_transposes, rows, FLOAT_BYTES, prices)
    for one in shapes:
        seconds += products_seconds([one] * found.blocks, rows, FLOAT_BYTES, left, nodes=1)
        seconds += found.blocks * prices.batched_block_s
    seconds += products_seconds([(told, rest)], rows, FLOAT_BYTES, left)
    return seconds + prices.node_s + N * (prices.find_row_s + copy_seconds(N, rows, FLOAT_BYTES, prices))
