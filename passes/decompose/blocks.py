"""Components -> blocks, and fewer, larger blocks where many small ones would not pay."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ...ir.plan.plan import Block, Decomposition
from ...ir.relation import Relation
from ..connectivity.bipartite import Components, Labels
from .cover_cost import CoverCost
from .segmentation import Run, cheapest, evenly

__all__ = [
    "in_order",
    *(
        "closed",
        "decompose",
        "group",
        "grouped_at",
        "halves",
        "has_windows",
        "in_runs",
        "is_contiguous",
        "is_cover",
        "is_run",
        "merge",
    ),
    *("transposed", "union"),
]


def decompose(components: Components) -> Decomposition:
    """One block per component, in the order of their smallest inputs; what has no edge is dormant.

    >>> from ..connectivity.bipartite import components
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


def closed(decomposition: Decomposition) -> Decomposition:
    """The same with each dormant output in the block that owns the output before it, the first ones in that behind.

    Their columns are zeros; it is worth that where the outputs follow one another then.

    >>> found = closed(Decomposition((2, 4), (Block([0], [1]), Block([0, 1], [3]))))
    >>> [block.outputs.tolist() for block in found.blocks]
    [[0, 1, 2], [3]]
    """
    owner = np.full(decomposition.shape[1], -1)
    for index, block in enumerate(decomposition.blocks):
        owner[block.outputs] = index
    owned = np.flatnonzero(owner >= 0)
    before = np.maximum(np.searchsorted(owned, np.arange(owner.size), side="right") - 1, 0)
    owner = owner[owned[before]]
    blocks = tuple(Block(b.inputs, np.flatnonzero(owner == i)) for i, b in enumerate(decomposition.blocks))
    return replace(decomposition, blocks=blocks)


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
    The groups of a cover are merged with their neighbours, row groups in the order of layers, so that the fewest
    multiply-adds are left.
    Raises ValueError when `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"cannot merge blocks into {count} groups")
    blocks = decomposition.blocks
    if len(blocks) <= count:
        return decomposition
    if is_cover(decomposition):
        return in_runs(decomposition, lambda words, sizes: evenly(words, sizes, count))
    return merge(decomposition, count, in_order=is_contiguous(decomposition))


def grouped_at(decomposition: Decomposition, cost: CoverCost) -> Decomposition:
    """The neighbouring groups of a cover merged at least cost."""
    return in_runs(decomposition, lambda words, sizes: cheapest(words, sizes, cost)[0])


def is_cover(decomposition: Decomposition) -> bool:
    """Whether blocks are more than components: some share inputs, are added up, or have residual entries beside
    them."""
    return bool(decomposition.layers or decomposition.split_k or decomposition.residual or decomposition.shared.size)


def merge(decomposition: Decomposition, count: int, *, in_order: bool) -> Decomposition:
    """Merge independent blocks into `count` of about equal area, neighbours where they are to stay `in_order`."""
    parts = (_runs if in_order else _bins)(decomposition.blocks, count)
    return Decomposition(decomposition.shape, tuple(sorted(map(union, parts), key=lambda b: int(b.inputs[0]))))


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


def in_runs(decomposition: Decomposition, runs: Callable[..., Iterable[Run]]) -> Decomposition:
    """Neighbours of a cover merged; runs: which, given what each group reads, packed, and its number of outputs.

    Row groups are neighbours in the order of their layers, other groups as they come. Residual entries that lie inside
    a merged group become part of it.
    """
    if decomposition.split_k:
        return transposed(in_runs(transposed(decomposition), runs))
    blocks, layers = list(decomposition.blocks), list(decomposition.layers)
    if layers:
        order = sorted(range(len(blocks)), key=layers.__getitem__)
        blocks, layers = [blocks[at] for at in order], [layers[at] for at in order]
    reads = np.zeros((len(blocks), decomposition.shape[0]), bool)
    for row, block in zip(reads, blocks, strict=True):
        row[block.inputs] = True
    words = Relation.of_rows(reads.shape, [reads]).words
    sizes = np.array([block.outputs.size for block in blocks], np.int64)
    made = [(union(blocks[a:b]), (layers[a][0], layers[b - 1][1]) if layers else None) for a, b in runs(words, sizes)]
    if layers:
        made = sorted(made, key=lambda pair: int(pair[0].outputs[0]))
    own = {int(output): block for block, _ in made for output in block.outputs} if decomposition.residual else {}
    residual = tuple((k, n) for k, n in decomposition.residual if n not in own or k not in own[n].inputs)
    spans = tuple(span for _, span in made if span is not None)
    return Decomposition(decomposition.shape, tuple(block for block, _ in made), spans, residual=residual)


def transposed(decomposition: Decomposition) -> Decomposition:
    """The same for the transposed weight: where outputs were partitioned inputs are, and results are added.

    >>> transposed(Decomposition((3, 2), (Block([0, 1], [0]), Block([1, 2], [1])))).split_k
    True
    """
    blocks = tuple(Block(block.outputs, block.inputs) for block in decomposition.blocks)
    residual = tuple(sorted((n, k) for k, n in decomposition.residual))
    return Decomposition(decomposition.shape[::-1], blocks, split_k=not decomposition.split_k, residual=residual)


def union(blocks: Sequence[Block]) -> Block:
    """One block of all that several have."""
    return Block(
        _distinct(np.concatenate([b.inputs for b in blocks])),
        np.sort(np.concatenate([b.outputs for b in blocks])),
    )


def _distinct(indices: Labels) -> Labels:
    """Each index once, sorted; numpy's own (2.3) counts them by a hash, which takes twenty times as long."""
    ordered = np.sort(indices)
    found: Labels = ordered[np.diff(ordered, prepend=-1) > 0]
    return found


def in_order(decomposition: Decomposition) -> list[Block]:
    """The groups in the order in which they are shown: row groups in that of their layers, others as they come."""
    blocks, layers = decomposition.blocks, decomposition.layers
    return [blocks[at] for at in sorted(range(len(blocks)), key=layers.__getitem__)] if layers else list(blocks)
