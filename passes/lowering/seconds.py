"""Predicted seconds of the pieces that lowerings are made of: products, transposes, permutations, copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...ir.plan.decomposition import Block, Decomposition
from ..decompose.cover_cost import CoverCost
from .nodes.residual import levels
from .prices import FLOAT_BYTES, Prices

__all__ = [
    *("FLOAT_BYTES", "blocks_seconds", "boundary_seconds", "copy_seconds", "cover_cost", "dense_seconds"),
    *(
        "moved_ends",
        "permutation_seconds",
        "picked_seconds",
        "piece_seconds",
        "products_seconds",
        "residual_seconds",
        "transpose_seconds",
    ),
    "turned_blocks_seconds",
    "window_seconds",
]

UNHIDDEN = 1 / 4  # the share of the shorter of loading and computing that the longer one does not hide
RESIDUAL_NODES = 3  # Gather, Mul and ScatterND in each step
PERMUTATION_NODES = 2  # Expand and GatherElements
SHAPE_NODES = 2  # Slice and Shape of one column, once for all permutations of a linear
PIECES_IN_A_SLICE = 2  # rows of what Split or Concat handles that cost as much as one of a Slice
COVER_SLICES = 1.5  # strips that a group of a cover takes, in Slices: one for what it reads, half of one to be joined


def products_seconds(
    shapes: Iterable[tuple[int, int]],
    rows: int,
    itemsize: int,
    prices: Prices,
    *,
    nodes: int | None = None,
    depth: int = 0,
) -> float:
    """Predicted seconds of products of `rows` activations with weights of these shapes; nodes: how many compute them,
    None for one each; depth: terms of one sum, where shapes have those of several."""
    shapes = list(shapes)
    entries = sum(k * n for k, n in shapes)
    held = entries * itemsize
    load = held * (prices.dram_byte_s if held > prices.llc_bytes else prices.llc_byte_s)
    # What fills the last lanes costs half: there are narrower kernels for some of it.
    filled = entries if rows == 1 else sum(k * -(-n // prices.lanes) * prices.lanes for k, n in shapes)
    computed = (entries + filled) / 2
    work = computed * rows * prices.mac_s * prices.multiplied(itemsize)
    launched = len(shapes) if nodes is None else nodes
    if prices.depth_s and rows > 1:  # few outputs leave most of a GPU idle, which waits for the terms of their sums
        work = max(work, prices.depth_s * (depth or sum(k for k, _ in shapes) * launched / len(shapes)))
    work += sum(k + n for k, n in shapes) * rows * prices.gemm_io_s * prices.moved(itemsize)
    return launched * prices.gemm_launch_s + max(load, work) + min(load, work) * UNHIDDEN


def window_seconds(shapes: Iterable[tuple[int, int]], taps: int, rows: int, itemsize: int, prices: Prices) -> float:
    """What products take more where each of their inputs is a window of so many."""
    if taps == 1:
        return 0.0
    single = list(shapes)
    whole = [(k * taps, n) for k, n in single]
    both = (products_seconds(shapes, rows, itemsize, prices) for shapes in (whole, single))
    return next(both) - next(both)


def dense_seconds(shape: tuple[int, int], rows: int, itemsize: int, prices: Prices) -> float:
    """Predicted seconds of one dense product of `rows` activations with a weight of shape (K, N)."""
    return products_seconds([shape], rows, itemsize, prices)


def blocks_seconds(found: Decomposition, rows: int, itemsize: int, prices: Prices, *, features_first: bool) -> float:
    """A product for each block, one Concat of the results, and what the entries beside the blocks take.

    features_first: whether weights are the left factors, and results are joined by whole rows.
    """
    kind = prices.left() if features_first and rows > 1 else prices
    joined = prices.node_s + found.shape[1] * copy_seconds(found.shape[1], rows, itemsize, prices)
    seconds = products_seconds([block.shape for block in found.blocks], rows, itemsize, kind) + joined
    seconds += residual_seconds(found, rows, itemsize, prices)
    return seconds if features_first else seconds + len(found.blocks) * piece_seconds(rows, prices)


def piece_seconds(rows: int, prices: Prices) -> float:
    """What a piece of a Split or of a Concat on the last axis takes besides its elements."""
    return rows * prices.slice_row_s / PIECES_IN_A_SLICE


def copy_seconds(extent: int, rows: int, itemsize: int, prices: Prices) -> float:
    """Seconds to copy one feature of a tensor of so many, for all rows."""
    fits = extent * rows * itemsize <= prices.llc_bytes
    return rows * (prices.copy_s if fits else prices.copy_uncached_s) * prices.moved(itemsize)


def residual_seconds(found: Decomposition, rows: int, itemsize: int, prices: Prices) -> float:
    """What the entries beside the blocks take: Gather, Mul and ScatterND in each step."""
    if not found.residual:
        return 0.0
    steps = levels(found)
    element = (prices.copy_s + prices.elementwise_s + prices.scatter_add_s) * rows * prices.moved(itemsize)
    return RESIDUAL_NODES * len(steps) * prices.node_s + len(found.residual) * (prices.find_row_s + element)


def moved_ends(blocks: Sequence[Block], found: Decomposition) -> list[int]:
    """How many features move where blocks lie one after another: of the inputs, of the outputs, where any does."""
    inputs = np.concatenate([block.inputs for block in blocks])
    outputs = np.concatenate([*(block.outputs for block in blocks), found.dormant_outputs])
    pairs = zip((inputs, outputs), found.shape, strict=True)
    return [order.size for order, extent in pairs if order.size != extent or (order != np.arange(extent)).any()]


def permutation_seconds(ends: Sequence[int], rows: int, itemsize: int, prices: Prices) -> float:
    """Permutations of the last axis, to so many features each: Expand and GatherElements, the shape once for all."""
    nodes = PERMUTATION_NODES * len(ends) + (SHAPE_NODES if ends else 0)
    return nodes * prices.node_s + sum(ends) * rows * prices.gather_elements_s * prices.moved(itemsize)


def picked_seconds(elements: int, itemsize: int, prices: Prices) -> float:
    """A Gather of so many elements on the last axis."""
    fits = 2 * elements * itemsize <= prices.llc_bytes  # what is read, and what is written
    element = prices.gather_last_s if fits else prices.gather_last_uncached_s
    return prices.node_s + elements * element * prices.moved(itemsize)


def boundary_seconds(shape: tuple[int, int], transposes: int, rows: int, itemsize: int, prices: Prices) -> float:
    """The Transposes to features-first layout and back, of both ends, one or none of them."""
    seconds = transposes * prices.turn_row_s if rows == 1 else 0.0
    for extent in shape[:transposes] if rows > 1 else ():  # a single row is transposed by renaming its axes
        seconds += transpose_seconds(extent * rows, itemsize, prices)
    return seconds


def transpose_seconds(elements: float, itemsize: int, prices: Prices) -> float:
    """Predicted seconds of one Transpose of so many elements."""
    fits = elements * itemsize <= prices.l2_bytes
    element = prices.transpose_cached_s if fits else prices.transpose_s
    return prices.node_s + elements * element * prices.moved(itemsize)


def turned_blocks_seconds(elements: float, itemsize: int, prices: Prices) -> float:
    """Predicted seconds of one Transpose of so many elements that leaves the last axis where it is."""
    return prices.node_s + elements * prices.transpose_blocks_s * itemsize / FLOAT_BYTES


def cover_cost(prices: Prices, rows: int, itemsize: int, gather_s: float) -> CoverCost:
    """What groups of a cover cost, in seconds; gather_s: of an element that a group reads, where that is no window."""
    element = rows * prices.moved(itemsize)
    return CoverCost(
        mac=max(rows * prices.mac_s, itemsize * prices.llc_byte_s),
        read=element * (gather_s + prices.copy_s + prices.gemm_io_s),
        write=element * (prices.copy_s + prices.gemm_io_s),
        launch=prices.gemm_launch_s + prices.node_s + COVER_SLICES * rows * prices.slice_row_s,
        granularity=prices.lanes if rows > 1 else 1,
        residual=element * (prices.copy_s + prices.elementwise_s + prices.scatter_add_s),
    )
