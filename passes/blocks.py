"""Components -> blocks, and fewer, larger blocks where many small ones would not pay."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..ir.plan import Block, Decomposition
from .components import Components, Labels

__all__ = ["decompose", "group", "halves", "has_windows", "is_contiguous", "is_run", "merge"]


def decompose(components: Components) -> Decomposition:
    """One block per component, in the order of their smallest inputs; what has no edge is dormant.

    >>> from .components import components
    >>> found = decompose(components(np.array([[0.0, 1.0], [2.0, 0.0]])))
    >>> [(b.inputs.tolist(), b.outputs.tolist()) for b in found.blocks]
    [([0], [1]), ([1], [0])]
    """
    inputs = _members(components.inputs, components.count)
    outputs = _members(components.outputs, components.count)
    blocks = tuple(Block(i, o) for i, o in zip(inputs, outputs, strict=True))
    return Decomposition((components.inputs.size, components.outputs.size), blocks)


def _members(labels: Labels, count: int) -> list[Labels]:
    """The features of each label, sorted."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(count + 1))
    return [order[a:b] for a, b in pairwise(bounds)]


def is_contiguous(decomposition: Decomposition) -> bool:
    """Whether blocks follow one another without gaps in inputs and outputs alike, so that no index work is needed."""
    K, N = decomposition.shape
    inputs = [b.inputs for b in decomposition.blocks]
    outputs = [b.outputs for b in decomposition.blocks]
    return bool(inputs) and _covers_in_order(inputs, K) and _covers_in_order(outputs, N)


def is_run(indices: Labels) -> bool:
    """Whether sorted indices follow one another without gaps.

    >>> is_run(np.array([3, 4, 5])), is_run(np.array([3, 5]))
    (True, False)
    """
    return int(indices[-1] - indices[0]) + 1 == indices.size


def has_windows(decomposition: Decomposition) -> bool:
    """Whether outputs follow one another without gaps and each block reads one run of inputs: slices are enough.

    >>> has_windows(Decomposition((3, 2), (Block([0, 1], [0]), Block([1, 2], [1]))))
    True
    """
    blocks = decomposition.blocks
    return (
        bool(blocks)
        and all(is_run(b.inputs) for b in blocks)
        and _covers_in_order([b.outputs for b in blocks], decomposition.shape[1])
    )


def _covers_in_order(parts: Sequence[Labels], size: int) -> bool:
    joined = np.concatenate(parts)
    return joined.size == size and bool((joined == np.arange(size)).all())


def halves(count: int) -> Iterator[int]:
    """Halving numbers of groups, from as many as there are blocks down to one.

    >>> list(halves(9))
    [9, 5, 3, 2, 1]
    """
    while count:
        yield count
        count = -(-count // 2) if count > 1 else 0


def group(decomposition: Decomposition, count: int) -> Decomposition:
    """Merge the blocks into at most `count` of about equal area; exact, only larger.

    Contiguous blocks are merged with their neighbours and stay contiguous. Others go, largest first, to the group
    that is smallest so far (longest processing time first; Graham, Bounds on Multiprocessing Timing Anomalies, 1969).
    Row groups are merged with their neighbours in the order of layers, so that the fewest multiply-adds are left.
    Raises ValueError when `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"cannot merge blocks into {count} groups")
    blocks = decomposition.blocks
    if len(blocks) <= count:
        return decomposition
    if decomposition.layers:
        return _consecutive(decomposition, count)
    return merge(decomposition, count, in_order=is_contiguous(decomposition))


def merge(decomposition: Decomposition, count: int, *, in_order: bool) -> Decomposition:
    """Merge independent blocks into `count` of about equal area, neighbours where they are to stay `in_order`."""
    parts = (_runs if in_order else _bins)(decomposition.blocks, count)
    return Decomposition(decomposition.shape, tuple(sorted(map(_merge, parts), key=lambda b: int(b.inputs[0]))))


def _runs(blocks: Sequence[Block], count: int) -> list[list[Block]]:
    """Neighbouring blocks together, cut where the running size passes the next equal share."""
    total = sum(sum(block.shape) for block in blocks)
    parts: list[list[Block]] = [[] for _ in range(count)]
    size = 0
    for block in blocks:
        middle = size + sum(block.shape) / 2
        parts[min(int(middle * count / total), count - 1)].append(block)
        size += sum(block.shape)
    return [part for part in parts if part]


def _bins(blocks: Sequence[Block], count: int) -> list[list[Block]]:
    parts: list[list[Block]] = [[] for _ in range(count)]
    heap = [(0, index) for index in range(count)]
    for block in sorted(blocks, key=lambda b: (-sum(b.shape), int(b.inputs[0]))):
        size, index = heapq.heappop(heap)
        parts[index].append(block)
        heapq.heappush(heap, (size + sum(block.shape), index))
    return [part for part in parts if part]


def _consecutive(decomposition: Decomposition, count: int) -> Decomposition:
    """The best way to merge runs of row groups into `count` of them: dynamic programming over the cuts, exact."""
    ordered = sorted(zip(decomposition.layers, decomposition.blocks, strict=True), key=lambda pair: pair[0])
    layers, blocks = [pair[0] for pair in ordered], [pair[1] for pair in ordered]
    m, K = len(blocks), decomposition.shape[0]
    reads = np.zeros((m, K), bool)
    for row, block in zip(reads, blocks, strict=True):
        row[block.inputs] = True
    octets = np.packbits(reads, axis=1)
    ends = np.cumsum([block.outputs.size for block in blocks])
    area = np.full((m, m), np.inf)  # of the run from block i to block j
    for i in range(m):
        union = np.bitwise_or.accumulate(octets[i:], axis=0)
        outputs = ends[i:] - (ends[i - 1] if i else 0)
        area[i, i:] = np.bitwise_count(union).sum(1, dtype=np.int64) * outputs
    best = area[0]
    cuts = []
    for _ in range(count - 1):
        total = best[:-1, None] + area[1:]  # the last run begins behind block i
        cut = total.argmin(axis=0)
        cuts.append(cut)
        best = total[cut, np.arange(m)]
    runs, stop = [], m
    for cut in reversed(cuts):
        start = int(cut[stop - 1]) + 1
        runs.append((start, stop))
        stop = start
    runs.append((0, stop))
    pairs = ((_merge(blocks[a:b]), (layers[a][0], layers[b - 1][1])) for a, b in runs)
    merged = sorted(pairs, key=lambda pair: int(pair[0].outputs[0]))
    return Decomposition(decomposition.shape, tuple(b for b, _ in merged), tuple(spans for _, spans in merged))


def _merge(blocks: Sequence[Block]) -> Block:
    return Block(
        np.unique(np.concatenate([b.inputs for b in blocks])),
        np.sort(np.concatenate([b.outputs for b in blocks])),
    )
