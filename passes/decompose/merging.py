"""Blocks merged up to a width or into a number of groups: exact, only larger (paper 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.plan.plan import Block, Decomposition
from .blocks import in_runs, is_contiguous, is_cover, union
from .region import merge_region
from .segmentation import Run

__all__ = ["alike_together", "balanced", "balanced_together", "narrowed", "width"]

Area: TypeAlias = Callable[[int, int], int]  # multiply-adds of the run from one place up to another


def width(found: Decomposition) -> int:
    """Features of the widest block: of its larger side, or where features are shared of what it owns.

    >>> width(Decomposition((3, 2), (Block([0, 1, 2], [0]),)))
    3
    """
    return max((_wide(found, block.inputs.size, block.outputs.size) for block in found.blocks), default=0)


def _wide(found: Decomposition, inputs: int, outputs: int) -> int:
    if not is_cover(found):
        return max(inputs, outputs)
    return inputs if found.split_k else outputs


def narrowed(found: Decomposition, most: int) -> Decomposition:
    """Blocks merged as long as none gets wider than `most`; those that are wider stay alone.

    Contiguous blocks and groups of a cover are merged with their neighbours; others go, widest first, to the first
    group that has room for them (first fit decreasing; Johnson, Near-optimal bin packing algorithms, 1973).

    >>> found = narrowed(Decomposition((4, 4), tuple(Block([i], [i]) for i in range(4))), 2)
    >>> [block.inputs.tolist() for block in found.blocks]
    [[0, 1], [2, 3]]
    """
    blocks = found.blocks
    if is_cover(found):
        return in_runs(found, lambda _, sizes: _filled(len(sizes), lambda a, b: int(sizes[a:b].sum()), most))
    if is_contiguous(found):
        ends = _ends(blocks)
        runs = _filled(len(blocks), lambda a, b: int((ends[b] - ends[a]).max()), most)
        return _of(found, [list(blocks[a:b]) for a, b in runs])
    groups: list[list[Block]] = []
    room = np.zeros((len(blocks), 2), np.int64)  # what each group still takes, of inputs and outputs
    for block in sorted(blocks, key=lambda one: (-max(one.shape), int(one.inputs[0]))):
        fits = np.flatnonzero((room[: len(groups)] >= block.shape).all(axis=1))
        at = int(fits[0]) if fits.size else len(groups)
        if at == len(groups):
            groups.append([])
            room[at] = most
        groups[at].append(block)
        room[at] -= block.shape
    return _of(found, groups)


def balanced(found: Decomposition, parts: int) -> Decomposition:
    """Blocks merged into `parts` groups, the largest of which has as few multiply-adds as can be.

    Of contiguous blocks and of covers, which are merged with their neighbours, that is the least there is. Others go,
    largest first, to the group that is smallest with them (longest processing time first; Graham, Bounds on
    Multiprocessing Timing Anomalies, 1969).

    >>> found = balanced(Decomposition((5, 5), tuple(Block([i], [i]) for i in range(5))), 2)
    >>> [block.inputs.tolist() for block in found.blocks]
    [[0, 1, 2], [3, 4]]
    """
    blocks = found.blocks
    if len(blocks) <= parts:
        return found
    if is_cover(found):
        return in_runs(found, lambda words, sizes: _even(len(sizes), _area_of(words, sizes), parts))
    if is_contiguous(found):
        ends = _ends(blocks)
        runs = _even(len(blocks), lambda a, b: int((ends[b] - ends[a]).prod()), parts)
        return _of(found, [list(blocks[a:b]) for a, b in runs])
    groups: list[list[Block]] = [[] for _ in range(parts)]
    sides = np.zeros((parts, 2), np.int64)
    for block in sorted(blocks, key=lambda one: (-one.shape[0] * one.shape[1], int(one.inputs[0]))):
        at = int((sides + block.shape).prod(axis=1).argmin())
        groups[at].append(block)
        sides[at] += block.shape
    return _of(found, groups)


def balanced_together(decompositions: Sequence[Decomposition], parts: int) -> tuple[Decomposition, ...]:
    """Neighbouring blocks of a region merged into `parts` groups, the largest of which has as few multiply-adds of all
    linears together as can be."""
    count = len(decompositions[0].blocks)
    if count <= parts:
        return tuple(decompositions)
    ends = [_ends(found.blocks) for found in decompositions]
    runs = _even(count, lambda a, b: sum(int((one[b] - one[a]).prod()) for one in ends), parts)
    return merge_region(decompositions, np.repeat(np.arange(parts), [b - a for a, b in runs]))


def alike_together(decompositions: Sequence[Decomposition]) -> tuple[Decomposition, ...]:
    """The blocks of linears that belong together with those of one shape in every linear one after another, large ones
    first."""
    shapes = [tuple(found.blocks[i].shape for found in decompositions) for i in range(len(decompositions[0].blocks))]
    order = sorted(range(len(shapes)), key=lambda index: shapes[index], reverse=True)
    if all(shape == shapes[0] for shape in shapes):
        return tuple(decompositions)
    return tuple(replace(found, blocks=tuple(found.blocks[index] for index in order)) for found in decompositions)


def _of(found: Decomposition, groups: Sequence[Sequence[Block]]) -> Decomposition:
    return Decomposition(found.shape, tuple(sorted(map(union, groups), key=lambda block: int(block.inputs[0]))))


def _ends(blocks: Sequence[Block]) -> npt.NDArray[np.int64]:
    """Inputs and outputs of the first blocks together, (blocks + 1, 2)."""
    return np.concatenate([[(0, 0)], np.cumsum([block.shape for block in blocks], axis=0)])


def _area_of(words: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64]) -> Area:
    """Inputs that a run reads together times its outputs."""

    def area(start: int, stop: int) -> int:
        union_ = np.bitwise_or.reduce(words[start:stop], axis=0)
        return int(np.bitwise_count(union_).sum(dtype=np.int64)) * int(sizes[start:stop].sum())

    return area


def _filled(count: int, area: Area, most: int) -> list[Run]:
    """The fewest runs of places whose area is at most `most`; larger places alone. area: grows with its run."""
    runs: list[Run] = []
    start = 0
    while start < count:
        low, high = start + 1, count
        while low < high:  # the last place that still fits
            middle = (low + high + 1) // 2
            low, high = (middle, high) if area(start, middle) <= most else (low, middle - 1)
        runs.append((start, low))
        start = low
    return runs


def _even(count: int, area: Area, parts: int) -> list[Run]:
    """`parts` runs of places whose largest area is least; parts: at most as many as there are places."""
    low, high = max(area(place, place + 1) for place in range(count)), area(0, count)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(count, area, middle)) <= parts else (middle + 1, high)
    runs = _filled(count, area, low)
    while len(runs) < parts:  # cutting makes nothing larger
        start, stop = max((run for run in runs if run[1] - run[0] > 1), key=lambda run: area(*run))
        cut = min(range(start + 1, stop), key=lambda at: max(area(start, at), area(at, stop)))
        runs = sorted([*(run for run in runs if run != (start, stop)), (start, cut), (cut, stop)])
    return runs
