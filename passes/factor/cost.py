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
from .emit import reads_rows
from .emit_rows import suits_rows, turned
from .stages import Factors, Stage, StagePlace

__all__ = ["factors_seconds", "rows_first_seconds"]

PAGE = 4096  # bytes; rows that lie a multiple of it apart fall on the same lines of a cache
APART = 0.5  # the share of what a Transpose of such rows takes that one of others does
IN_BLOCKS = 0.5  # the share of what a Transpose of short blocks takes that one of a whole group of numbers does


def factors_seconds(factors: Factors, layout: Layout, rows: int, prices: Prices) -> float:
    """Predicted seconds of all stages for so many rows, with what brings features first and back."""
    shape = factors.inputs, factors.order.size
    seconds = boundary_seconds(shape, layout.boundary_transposes, rows, FLOAT_BYTES, prices)
    if layout.boundary_transposes and rows > 1 and shape[0] * FLOAT_BYTES % PAGE:
        seconds -= (1 - APART) * transpose_seconds(shape[0] * rows, FLOAT_BYTES, prices)
    seconds += _scale_seconds(factors, rows, prices)
    seconds += sum(_stage_seconds(stage, at, rows, prices) for stage, at in factors.places())
    return seconds + sum(
        _picked_seconds(end, rows, prices) for end in (shape if factors.taken is not None else shape[1:])
    )


def rows_first_seconds(factors: Factors, stages: int, rows: int, prices: Prices) -> float:
    """The same with rows first in so many stages, from the first, infinite where that cannot be."""
    if not suits_rows(factors, stages):
        return math.inf
    places = list(factors.places())
    seconds = _scale_seconds(factors, rows, prices)
    seconds += sum(_row_stage_seconds(stage, at, rows, prices) for stage, at in places[:stages])
    if factors.taken is not None:
        seconds += permutation_seconds([factors.inputs], rows, FLOAT_BYTES, prices)
    if stages < len(places):
        stage, at = places[stages]
        elements = at.groups * at.ranks * at.places * rows
        if reads_rows(stage, at):
            seconds += IN_BLOCKS * turned_blocks_seconds(elements, FLOAT_BYTES, prices) + 2 * prices.view_s
        else:
            seconds += transpose_seconds(elements, FLOAT_BYTES, prices)
        seconds += sum(_stage_seconds(stage, at, rows, prices) for stage, at in places[stages:])
        seconds += _picked_seconds(factors.order.size, rows, prices)
        return seconds + transpose_seconds(factors.order.size * rows, FLOAT_BYTES, prices)
    count, runs = factors.made, turned(factors.order, factors.made)
    if runs is None:
        return seconds + permutation_seconds([factors.order.size], rows, FLOAT_BYTES, prices)
    return seconds + (transpose_seconds(count * rows, FLOAT_BYTES, prices) if runs < count else 0.0)


def _picked_seconds(extent: int, rows: int, prices: Prices) -> float:
    """Of a Gather of so many features, features first."""
    return prices.node_s + extent * (prices.find_row_s + copy_seconds(extent, rows, FLOAT_BYTES, prices))


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
