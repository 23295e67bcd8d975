"""Components -> blocks, and fewer, larger blocks where many small ones would not pay."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..ir.plan import Block, Decomposition
from .components import Components, Labels

__all__ = ["decompose", "group", "is_contiguous"]


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


def _covers_in_order(parts: Sequence[Labels], size: int) -> bool:
    joined = np.concatenate(parts)
    return joined.size == size and bool((joined == np.arange(size)).all())


def group(decomposition: Decomposition, count: int) -> Decomposition:
    """Merge the blocks into at most `count` of about equal area; exact, only larger.

    Contiguous blocks are merged with their neighbours and stay contiguous. Others go, largest first, to the group
    that is smallest so far (longest processing time first; Graham, Bounds on Multiprocessing Timing Anomalies, 1969).
    Raises ValueError when `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"cannot merge blocks into {count} groups")
    blocks = decomposition.blocks
    if len(blocks) <= count:
        return decomposition
    parts = _runs(blocks, count) if is_contiguous(decomposition) else _bins(blocks, count)
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


def _merge(blocks: Sequence[Block]) -> Block:
    return Block(
        np.sort(np.concatenate([b.inputs for b in blocks])),
        np.sort(np.concatenate([b.outputs for b in blocks])),
    )
