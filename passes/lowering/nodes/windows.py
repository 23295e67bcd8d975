"""How blocks read the last axis of an activation: one permutation at most, then a window for each block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....ir.plan.decomposition import Block, Indices
from ...decompose.blocks import is_run

__all__ = ["Reads", "plan_reads"]


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """Which columns are taken, and which of these each block reads.

    order: the inputs that are taken, in this order, some more than once; None where the activation stays as it is;
    inputs: of each block the inputs in the order in which it reads them; starts: where its window begins, -1 for a
    block that reads the whole activation as it is; extent: how many columns there are after the permutation.
    """

    extent: int
    order: Indices | None
    inputs: tuple[Indices, ...]
    starts: tuple[int, ...]

    @property
    def follow(self) -> bool:
        """Whether the windows follow one another, so that one Split cuts them all."""
        at = 0
        for start, inputs in zip(self.starts, self.inputs, strict=True):
            if start != at:
                return False
            at += inputs.size
        return at == self.extent

    @property
    def copied(self) -> int:
        """Features in windows: what is copied after the permutation."""
        return sum(i.size for i, start in zip(self.inputs, self.starts, strict=True) if start >= 0)


def plan_reads(blocks: Sequence[Block], K: int) -> Reads:
    """How blocks read K inputs with the fewest copies, in the order in which they come.

    Windows of the inputs as they are, where every block reads one; else of the inputs in the order of the first and
    last block that reads each, which makes windows of bands and of triangles; else every block's inputs one after
    another, shared ones as often as they are read.

    >>> found = plan_reads([Block([0, 2], [0]), Block([0, 1, 2], [1])], 4)
    >>> found.order.tolist(), found.starts, found.inputs[1].tolist()
    ([0, 2, 1], (0, 0), [0, 2, 1])
    """
    whole = [block.inputs.size == K for block in blocks]
    parts = [block for block, all_ in zip(blocks, whole, strict=True) if not all_]
    if all(is_run(block.inputs) for block in parts):
        starts = tuple(-1 if all_ else int(block.inputs[0]) for block, all_ in zip(blocks, whole, strict=True))
        return Reads(K, None, tuple(block.inputs for block in blocks), starts)
    joined = np.concatenate([block.inputs for block in parts])
    order = joined
    if np.unique(joined).size < joined.size:
        first, last = np.full(K, len(parts)), np.full(K, -1)
        for index, block in enumerate(parts):
            last[block.inputs] = index
            first[block.inputs] = np.minimum(first[block.inputs], index)
        order = np.lexsort((np.arange(K), last, first))[: int((last >= 0).sum())]
    place = np.full(K, -1)
    place[order] = np.arange(order.size)
    windows = [np.sort(place[block.inputs]) for block in parts]
    if order.size == joined.size or not all(map(is_run, windows)):
        bounds = iter(np.cumsum([0, *(block.inputs.size for block in parts)]).tolist())
        starts = tuple(-1 if all_ else next(bounds) for all_ in whole)
        return Reads(joined.size, joined, tuple(block.inputs for block in blocks), starts)
    placed = iter(windows)
    inputs, at = [], []
    for block, all_ in zip(blocks, whole, strict=True):
        window = None if all_ else next(placed)
        inputs.append(block.inputs if window is None else order[window])
        at.append(-1 if window is None else int(window[0]))
    return Reads(order.size, order, tuple(inputs), tuple(at))
