"""Predicted seconds of a region that is computed block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....ir.axes.region import Region
from ....ir.graph.linear import Linear
from ....ir.plan.plan import Decomposition
from ...decompose.blocks import is_run
from ..prices import Prices
from ..seconds import dense_seconds, picked_seconds, products_seconds, transpose_seconds, turned_blocks_seconds
from .cut import Group, RegionBlocks
from .kernels import merged_nodes

__all__ = ["region_seconds", "region_split_seconds"]

PERMUTATION_NODES = 3  # Slice of one column, Expand, GatherElements, beside the Shape of the column


@dataclass(frozen=True, slots=True)
class _Way:
    """How a region is computed: its layout, the groups of its blocks, whether they are stacks, bytes of an entry."""

    layout: str
    members: list[Group]
    stacked: bool
    itemsize: int

    @property
    def groups(self) -> int:
        """How many."""
        return len(self.members)


def region_seconds(region: Region, rows: int, prices: Prices) -> float:
    """Predicted seconds of a region as it is, dense, for `rows` activation rows."""
    products = (dense_seconds(linear.shape, rows, int(linear.dtype.itemsize), prices) for linear in region.linears)
    return sum(products) + _between(region, 1, rows, prices)


def region_split_seconds(region: Region, blocks: RegionBlocks, rows: int, prices: Prices) -> float:
    """Predicted seconds of a region for `rows` activation rows: products, launches, what operators in between compute,
    and index work where it begins and ends."""
    groups, layout, blocks_per_node = blocks.groups, blocks.layout, blocks.blocks_per_node
    itemsize = int(region.linears[0].dtype.itemsize)
    way = _Way(layout, groups, blocks_per_node > 1, itemsize)
    seconds = _between(region, len(groups), rows, prices)
    entered: set[object] = set()
    for linear, found in zip(region.linears, blocks.decompositions, strict=True):
        shapes = [block.shape for block in found.blocks]
        if linear not in blocks.copies:
            kind = prices.left() if layout == "features_first" and rows > 1 else prices
            kind = prices.stacked() if blocks_per_node > 1 else kind
            seconds += products_seconds(shapes, rows, itemsize, kind, nodes=len(groups))
            seconds += 0 if blocks_per_node == 1 else len(shapes) * prices.batched_block_s
        key = (linear.activation, tuple(block.inputs.tobytes() for block in found.blocks))
        if not region.is_internal(linear) and key not in entered:
            entered.add(key)
            seconds += _enter(linear, found, way, rows, prices, copies=linear in blocks.copies)
    for value in region.exits:
        left = next(
            (d for one, d in zip(region.linears, blocks.decompositions, strict=True) if one.output is value), None
        )
        # What leaves behind the last linear is as wide as what that writes.
        seconds += _leave(left or blocks.decompositions[-1], way, rows, prices)
    return seconds


def _between(region: Region, groups: int, rows: int, prices: Prices) -> float:
    """What the operators in between and biases take, whoever computes them: a launch of each for each group of blocks,
    and elementwise work, each for all of its features."""
    itemsize = int(region.linears[0].dtype.itemsize)
    merged = merged_nodes(region, prices)
    touched = (region.in_all - sum(region.computed[node] for node in merged)) * rows
    seconds = (len(region.inner) - len(merged)) * groups * prices.node_s
    seconds += touched * prices.elementwise_s * prices.computed(itemsize)
    if prices.bias_s:
        biases = [linear.shape[1] for linear in region.linears if linear.bias is not None]
        seconds += len(biases) * groups * prices.node_s
        seconds += sum(biases) * rows * prices.bias_s * prices.computed(itemsize)
    return seconds


def _enter(linear: Linear, found: Decomposition, way: _Way, rows: int, prices: Prices, *, copies: bool) -> float:
    """What enters a region, once for all linears that read the same of the same value."""
    size = linear.shape[1] if copies else sum(block.inputs.size for block in found.blocks)
    elements = size * rows
    moved = elements * prices.copy_s * prices.moved(way.itemsize)
    if way.layout == "features_first":
        turned = _turned(linear.shape[0] * rows, 1, rows, way.itemsize, prices)
        return way.groups * prices.node_s + moved + size * prices.find_row_s + turned
    if way.layout == "stacked":
        order = np.concatenate([block.inputs for block in found.blocks])
        runs = bool((np.diff(order) == 1).all())
        seconds = 0.0 if runs else (way.groups - 1) * prices.node_s + picked_seconds(elements, way.itemsize, prices)
        return seconds + way.groups * prices.view_s + _piled(elements, way, prices)
    seconds = prices.node_s + moved
    if way.stacked:
        seconds += way.groups * (prices.node_s + prices.view_s) + moved
    if all(is_run(block.inputs) for block in found.blocks):
        return seconds
    return seconds + _permuted(elements, way, prices)


def _leave(found: Decomposition, way: _Way, rows: int, prices: Prices) -> float:
    """What leaves a region: joined, and every feature in its place."""
    order = np.concatenate([block.outputs for block in found.blocks])
    elements = order.size * rows
    moved = elements * prices.copy_s * prices.moved(way.itemsize)
    natural = bool((order == np.arange(order.size)).all())
    if way.layout == "stacked":
        seconds = _piled(elements, way, prices) + way.groups * prices.view_s
        seconds += prices.node_s + moved if way.groups > 1 else 0.0
        return seconds if natural else seconds + picked_seconds(elements, way.itemsize, prices)
    seconds = prices.node_s + moved
    if way.layout == "features_first" and not way.stacked and not natural:
        turned = _turned(elements, 1, rows, way.itemsize, prices)
        return seconds + prices.node_s + moved + order.size * prices.find_row_s + turned
    if way.layout == "features_first":
        seconds += _turned(elements, way.groups, rows, way.itemsize, prices)
    elif way.stacked:
        seconds += way.groups * (prices.node_s + prices.view_s) + moved
    return seconds if natural else seconds + _permuted(elements, way, prices)


def _piled(elements: int, way: _Way, prices: Prices) -> float:
    """Transposes of the stacks of so many elements to a new first axis, or back."""
    return way.groups * turned_blocks_seconds(elements / way.groups, way.itemsize, prices)


def _permuted(elements: int, way: _Way, prices: Prices) -> float:
    """A permutation of so many elements by GatherElements, whose indices are as wide whatever the elements are."""
    element = prices.gather_elements_s * prices.computed(way.itemsize)
    return PERMUTATION_NODES * prices.node_s + prices.view_s + elements * element


def _turned(elements: int, pieces: int, rows: int, itemsize: int, prices: Prices) -> float:
    """Transposes of so many elements in so many pieces, each of which is cheap while it fits the cache."""
    if rows == 1:
        return pieces * prices.node_s
    return pieces * transpose_seconds(elements / pieces, itemsize, prices)
