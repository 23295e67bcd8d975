"""Groups of a cover as rectangles: an order of outputs and inputs in which what belongs together lies together.

Outputs follow one another group by group, inputs by the first and the last group that reads them, so that bands and
triangles look like bands and triangles; an input that several groups share makes some of them several rectangles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Labels
from ....ir.plan.plan import Block, Decomposition
from ....passes.decompose.blocks import in_order, transposed
from . import raster

__all__ = ["Arrangement", "Rectangle", "arrange", "joined", "mark", "places_of", "shade"]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Rows top to bottom and columns left to right of one group, the ends not included; group: its number in the order
    that is shown; shared: whether other groups read these inputs too, or where groups are split-K write these outputs.
    """

    group: int
    top: int
    bottom: int
    left: int
    right: int
    shared: bool

    @property
    def turned(self) -> Rectangle:
        """The same with rows and columns exchanged."""
        return Rectangle(self.group, self.left, self.right, self.top, self.bottom, self.shared)


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """outputs (N,) from top to bottom, inputs (K,) from left to right, and the rectangles of all groups in that order,
    cut where inputs of a group's own meet shared ones."""

    outputs: Labels
    inputs: Labels
    rectangles: tuple[Rectangle, ...]


def arrange(decomposition: Decomposition) -> Arrangement:
    """The order that shows the groups of a decomposition, dormant features last.

    A group that reads everything has no say in the order of the inputs, nor in whether others share them.

    >>> found = arrange(Decomposition((3, 3), (Block([0, 2], [0, 2]), Block([1, 2], [1]))))
    >>> found.outputs.tolist(), found.inputs.tolist()
    ([0, 2, 1], [0, 2, 1])
    >>> [(one.group, one.left, one.right, one.shared) for one in found.rectangles]
    [(0, 0, 1, False), (0, 1, 2, True), (1, 1, 2, True), (1, 2, 3, False)]
    """
    if decomposition.split_k:
        found = arrange(transposed(decomposition))
        return Arrangement(found.inputs, found.outputs, tuple(one.turned for one in found.rectangles))
    blocks = in_order(decomposition)
    outputs = np.concatenate([*(block.outputs for block in blocks), decomposition.dormant_outputs])
    inputs = _by_readers(blocks, decomposition.shape[0])
    readers = np.zeros(inputs.size, np.int64)
    for block in blocks:
        readers[block.inputs] += block.inputs.size < inputs.size
    place, many = np.argsort(inputs), readers[inputs] > 1
    rectangles: list[Rectangle] = []
    top = 0
    for index, block in enumerate(blocks):
        bottom = top + block.outputs.size
        all_ = block.inputs.size == inputs.size and len(blocks) > 1
        for left, right in _runs(np.sort(place[block.inputs]), np.ones_like(many) if all_ else many):
            rectangles.append(Rectangle(index, top, bottom, left, right, all_ or bool(many[left])))
        top = bottom
    return Arrangement(outputs, inputs, tuple(rectangles))


def _by_readers(blocks: Sequence[Block], K: int) -> Labels:
    """The inputs by the first and the last block that reads them, those that none reads last."""
    first, last = np.full(K, len(blocks)), np.full(K, -1)
    for index, block in enumerate(blocks):
        if block.inputs.size < K or len(blocks) == 1:
            last[block.inputs] = index
            first[block.inputs] = np.minimum(first[block.inputs], index)
    return np.lexsort((np.arange(K), last, first))


def _runs(places: Labels, shared: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Iterator[tuple[int, int]]:
    """Sorted places in runs without gaps, cut where they become or stop being shared."""
    cuts = np.flatnonzero((np.diff(places) != 1) | (shared[places[1:]] != shared[places[:-1]])) + 1
    starts, ends = np.append(0, cuts), np.append(cuts, places.size)
    return zip(places[starts].tolist(), (places[ends - 1] + 1).tolist(), strict=True)


def shade(arrangement: Arrangement) -> raster.Raster:
    """Pixels of all rectangles, pooled as `raster.edges` pools edges: GROUP_BLOCK where a group shares nothing, else
    COUPLING_BLOCK."""
    down, across = raster.pool(arrangement.outputs.size), raster.pool(arrangement.inputs.size)
    shape = -(-arrangement.outputs.size // down), -(-arrangement.inputs.size // across)
    pixels = np.full(shape, raster.EMPTY, np.uint8)
    for one in sorted(arrangement.rectangles, key=lambda one: not one.shared):
        rows = slice(one.top // down, (one.bottom - 1) // down + 1)
        columns = slice(one.left // across, (one.right - 1) // across + 1)
        pixels[rows, columns] = raster.COUPLING_BLOCK if one.shared else raster.GROUP_BLOCK
    return pixels


def mark(shares: npt.NDArray[np.float32], blocks: raster.Raster, residual: Labels) -> raster.Raster:
    """Pixels of the edges: SHARED on a shared block, COUPLING where a residual entry is, INNER elsewhere.

    shares: of the entries of a pixel that are edges, as `raster.shares` tells; blocks: as `shade` makes them; residual:
    (row, column) of the pixels that hold one.
    """
    edges = np.where(shares > 0, np.uint8(raster.INNER), np.uint8(raster.EMPTY))
    edges[(edges == raster.INNER) & (blocks == raster.COUPLING_BLOCK)] = raster.SHARED
    edges[residual[:, 0], residual[:, 1]] = raster.COUPLING
    return edges


def places_of(arranged: Arrangement, residual: tuple[tuple[int, int], ...]) -> Labels:
    """(row, column) of each residual entry in the order that is shown."""
    entries = np.array(residual, np.int64).reshape(-1, 2)
    rows, columns = np.argsort(arranged.outputs)[entries[:, 1]], np.argsort(arranged.inputs)[entries[:, 0]]
    return np.stack([rows, columns], axis=1)


def joined(arranged: Arrangement) -> Iterator[tuple[int, int, int, int]]:
    """(top, bottom, left, right) of the rectangles, those of a group that touch as one."""
    last: tuple[int, int, int, int] | None = None
    for one in arranged.rectangles:
        if last is not None and last[:2] == (one.top, one.bottom) and last[3] == one.left:
            last = (one.top, one.bottom, last[2], one.right)
            continue
        if last is not None:
            yield last
        last = (one.top, one.bottom, one.left, one.right)
    if last is not None:
        yield last
