"""What the stages of a weight take, in seconds: products of stacks, the few transposes around them, one permutation."""

from __future__ import annotations

import math

from ...ir.graph.linear import Layout
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import (
    boundary_seconds,
    copy_seconds,
    permutation_seconds,
    products_seconds,
    transpose_seconds,
    turned_blocks_seconds,
)
from .emit_rows import suits_rows, turned
from .stages import Factors, Stage, StagePlace

__all__ = ["factors_seconds", "rows_first_seconds"]


def factors_seconds(factors: Factors, layout: Layout, rows: int, prices: Prices) -> float:
    """Predicted seconds of all stages for so many rows, with what brings features first and back."""
    shape = factors.inputs, factors.order.size
    seconds = boundary_seconds(shape, layout.boundary_transposes, rows, FLOAT_BYTES, prices)
    seconds += _scale_seconds(factors, rows, prices)
    seconds += sum(_stage_seconds(stage, at, rows, prices) for stage, at in factors.places())
    for extent in shape if factors.taken is not None else shape[1:]:
        seconds += prices.node_s + extent * (prices.find_row_s + copy_seconds(extent, rows, FLOAT_BYTES, prices))
    return seconds


def rows_first_seconds(factors: Factors, rows: int, prices: Prices) -> float:
    """The same with rows first all the way, infinite where that cannot be."""
    if not suits_rows(factors):
        return math.inf
    seconds = _scale_seconds(factors, rows, prices)
    seconds += sum(_row_stage_seconds(stage, at, rows, prices) for stage, at in factors.places())
    if factors.taken is not None:
        seconds += permutation_seconds([factors.inputs], rows, FLOAT_BYTES, prices)
    count, runs = factors.made, turned(factors.order, factors.made)
    if runs is None:
        return seconds + permutation_seconds([factors.order.size], rows, FLOAT_BYTES, prices)
    return seconds + (transpose_seconds(count * rows, FLOAT_BYTES, prices) if runs < count else 0.0)


def _scale_seconds(factors: Factors, rows: int, prices: Prices) -> float:
    return 0.0 if factors.scale is None else prices.node_s + factors.inputs * rows * prices.elementwise_s


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


def _row_stage_seconds(stage: Stage, at: StagePlace, rows: int, prices: Prices) -> float:
    """Of one stage rows first: products of every row by itself, and of all rows at once in the last stage."""
    left = at.places // stage.radix
    reads, made = map(int, stage.weight.shape[2:])
    if left == 1:
        return prices.view_s + products_seconds([(reads, made)], rows * at.groups, FLOAT_BYTES, prices)
    filled = (left + -(-left // prices.lanes) * prices.lanes) / 2
    work = reads * made * filled * prices.mac_s * prices.unpacked_factor + (reads + made) * left * prices.gemm_io_s
    return prices.view_s + prices.gemm_launch_s + rows * at.groups * (work + prices.small_block_s)
