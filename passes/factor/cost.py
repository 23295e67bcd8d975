"""What the stages of a weight take, in seconds: products of stacks, the few transposes around them, one permutation."""

from __future__ import annotations

from ...ir.graph.linear import Layout
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import boundary_seconds, copy_seconds, products_seconds, turned_blocks_seconds
from .stages import Factors, Stage, StagePlace

__all__ = ["factors_seconds"]


def factors_seconds(factors: Factors, layout: Layout, rows: int, prices: Prices) -> float:
    """Predicted seconds of all stages for so many rows, with what brings features first and back."""
    shape = factors.inputs, factors.order.size
    seconds = boundary_seconds(shape, layout.boundary_transposes, rows, FLOAT_BYTES, prices)
    if factors.scale is not None:
        seconds += prices.node_s + shape[0] * rows * prices.elementwise_s
    seconds += sum(_stage_seconds(stage, at, rows, prices) for stage, at in factors.places())
    return seconds + prices.node_s + shape[1] * (prices.find_row_s + copy_seconds(shape[1], rows, FLOAT_BYTES, prices))


def _stage_seconds(stage: Stage, at: StagePlace, rows: int, prices: Prices) -> float:
    """Of one stack of products; where places have matrices of their own they come to stand in front, and go back."""
    left = at.places // stage.radix
    _, own, reads, made = stage.weight.shape
    apart = own > 1
    count, columns = (at.groups * left, rows) if apart else (at.groups, left * rows)
    seconds = products_seconds([(reads, made)] * count, columns, FLOAT_BYTES, prices.left(), nodes=1) + prices.view_s
    seconds += count * prices.batched_block_s if count > 1 else 0.0
    if apart:
        ends = (count * reads, count * made)
        seconds += sum(turned_blocks_seconds(end * rows, FLOAT_BYTES, prices) + prices.view_s for end in ends)
    return seconds
