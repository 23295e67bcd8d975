"""Predicted seconds of a region that is computed block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....ir.axes.region import Region
from ....ir.graph.linear import Linear
from ....ir.plan.plan import Decomposition
from ...decompose.blocks import is_run
from ..prices import Prices
from ..seconds import FLOAT_BYTES, dense_seconds, products_seconds, transpose_seconds
from .cut import RegionBlocks

__all__ = ["region_seconds", "region_split_seconds"]

PERMUTATION_NODES = 4  # Slice and Shape of one column, Expand, GatherElements
STACK_NODES = 2  # Reshape and Transpose, for each stack


@dataclass(frozen=True, slots=True)
class _Way:
    """How a region is computed: its layout, how many groups of blocks, whether they are stacks, bytes of an entry."""

    layout: str
    groups: int
    stacked: bool
    itemsize: int


def region_seconds(region: Region, rows: int, prices: Prices) -> float:
    """Predicted seconds of a region as it is, dense, for `rows` activation rows."""
    products = (dense_seconds(linear.shape, rows, int(linear.dtype.itemsize), prices) for linear in region.linears)
    return sum(products) + len(region.inner) * prices.node_s + _touched(region, rows, prices)


def region_split_seconds(region: Region, blocks: RegionBlocks, rows: int, prices: Prices) -> float:
    """Predicted seconds of a region for `rows` activation rows: products, launches, what operators in between compute,
    and index work where it begins and ends."""
    groups, layout, blocks_per_node = blocks.groups, blocks.layout, blocks.blocks_per_node
    itemsize = int(region.linears[0].dtype.itemsize)
    way = _Way(layout, len(groups), blocks_per_node > 1, itemsize)
    seconds = len(region.inner) * len(groups) * prices.node_s + _touched(region, rows, prices)
    entered: set[object] = set()
    for linear, found in zip(region.linears, blocks.decompositions, strict=True):
        shapes = [block.shape for block in found.blocks]
        if linear not in blocks.copies:
            kind = prices.left() if layout == "features_first" and rows > 1 else prices
            kind = prices.stacked() if blocks_per_node > 1 else kind
            seconds += (
                products_seconds(shapes, rows, itemsize, kind) - (len(shapes) - len(groups)) * prices.gemm_launch_s
            )
            seconds += 0 if blocks_per_node == 1 else len(shapes) * prices.batched_block_s
        key = (linear.activation, tuple(block.inputs.tobytes() for block in found.blocks))
        if not region.is_internal(linear) and key not in entered:
            entered.add(key)
            seconds += _enter(linear, found, way, rows, prices, copies=linear in blocks.copies)
    for value in region.exits():
        left = next(
            (d for one, d in zip(region.linears, blocks.decompositions, strict=True) if one.output is value), None
        )
        # What leaves behind the last linear is as wide as what that writes.
        seconds += _leave(left or blocks.decompositions[-1], way, rows, prices)
    return seconds


def _touched(region: Region, rows: int, prices: Prices) -> float:
    """What the operators in between take, whoever computes them: elementwise, each for all of its features."""
    written = (output for node in region.inner for output in node.outputs if output in region.features.labels)
    return sum(region.features.labels[value].size for value in written) * rows * prices.elementwise_s


def _enter(linear: Linear, found: Decomposition, way: _Way, rows: int, prices: Prices, *, copies: bool) -> float:
    """What enters a region, once for all linears that read the same of the same value."""
    size = linear.shape[1] if copies else sum(block.inputs.size for block in found.blocks)
    elements = size * rows
    moved = elements * prices.copy_s * way.itemsize / FLOAT_BYTES
    if way.layout == "features_first":
        turned = _turned(linear.shape[0] * rows, 1, rows, way.itemsize, prices)
        return way.groups * prices.node_s + moved + size * prices.find_row_s + turned
    seconds = prices.node_s + moved
    if way.stacked:
        seconds += STACK_NODES * way.groups * prices.node_s + moved
    if all(is_run(block.inputs) for block in found.blocks):
        return seconds
    return seconds + PERMUTATION_NODES * prices.node_s + elements * prices.gather_elements_s


def _leave(found: Decomposition, way: _Way, rows: int, prices: Prices) -> float:
    """What leaves a region: joined, and every feature in its place."""
    order = np.concatenate([block.outputs for block in found.blocks])
    elements = order.size * rows
    moved = elements * prices.copy_s * way.itemsize / FLOAT_BYTES
    natural = bool((order == np.arange(order.size)).all())
    seconds = prices.node_s + moved
    if way.layout == "features_first" and not way.stacked and not natural:
        turned = _turned(elements, 1, rows, way.itemsize, prices)
        return seconds + prices.node_s + moved + order.size * prices.find_row_s + turned
    if way.layout == "features_first":
        seconds += _turned(elements, way.groups, rows, way.itemsize, prices)
    elif way.stacked:
        seconds += STACK_NODES * way.groups * prices.node_s + moved
    return seconds if natural else seconds + PERMUTATION_NODES * prices.node_s + elements * prices.gather_elements_s


def _turned(elements: int, pieces: int, rows: int, itemsize: int, prices: Prices) -> float:
    """Transposes of so many elements in so many pieces, each of which is cheap while it fits the cache."""
    if rows == 1:
        return pieces * prices.node_s
    return pieces * transpose_seconds(elements / pieces, itemsize, prices)
