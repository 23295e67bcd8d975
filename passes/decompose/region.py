"""The blocks of a region: components of one graph over the features of all its axes, the paper's multi-layer node set.

A block of a region is a set of features on every axis, such that no linear and no operator in between joins two of
them. Source: sections 2.1 and 4 of the paper; the linears' own components stand for their entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...ir.axes.feature_ids import Tie
from ...ir.axes.region import Region
from ...ir.graph.linear import Linear
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Block, Decomposition
from ...ir.relation import Relation, columns_of
from ..connectivity.bipartite import Components

__all__ = [
    "Selection",
    "assign",
    "group_region",
    "is_rectangular",
    "merge_region",
    "region_blocks",
    "selection",
    "selections",
]

# One graph for all linears of a region. Its nodes are the features of every axis and the components of every weight; an
# edge joins a feature with the component of a weight that reads or writes it, and the features that an operator between
# ties (an Add its operands, a Softmax a whole row). Its connected components are the blocks of the region:
#
#     axis x        weight up         axis h       weight down       axis y
#     x0 ────┐                    ┌── h0 ────┐                   ┌── y0
#     x1 ────┴── component 0 ─────┴── h1 ────┴── component 0 ────┴── y1     block 0
#     x2 ─────── component 1 ──────── h2 ─────── component 1 ──────── y2     block 1
#                                     h3          an edge nowhere: goes to the smallest block
#
# A weight stands for its entries by its own components, so the graph has nodes by the thousand where the weights have
# entries by the million.

Ids = npt.NDArray[np.int64]
Selection = tuple[Ids, ...]  # for each axis of a value the features of one block


def region_blocks(
    region: Region, parts: Mapping[Linear, Components], reads: Mapping[Linear, Relation] | None = None
) -> tuple[Decomposition, ...] | None:
    """The blocks of each linear of a region, block i of one belonging to block i of the others; None where there are
    fewer than two, or some linear reads features that lie on several axes.

    parts: the components of each weight; reads: (N, K), of linears at the entrance instead, the inputs that
    each output reads: they join nothing, since blocks may read one input. A component that lacks inputs or outputs of
    some linear goes to the smallest block that has both, and so do features without any edge.
    """
    features = region.features
    reads = reads or {}
    if any(region.is_internal(linear) and region.inputs(linear) is None for linear in region.linears):
        return None
    # Numbers of nodes: the features first, then the components of each weight behind those of the one before.
    offset = features.count
    start: dict[Linear, int] = {}
    for linear in region.linears:
        start[linear] = offset
        offset += parts[linear].count if linear in parts else 0
    pairs = list(_edges(region, parts, start)) + [tie for node in region.inner for tie in features.ties[node]]
    # What the operators between tie is as good as an edge: a block must hold all of it.
    label = _components(offset, pairs)
    complete = _complete(region, parts, reads, start, label)
    # A component that some linear has no part of would be a block without a product there.
    if len(complete) < 2:
        return None
    block_of = np.full(int(label.max()) + 1, -1, np.int64)
    block_of[complete] = np.arange(len(complete))
    found = _decompositions(region, parts, reads, start, label, block_of)
    if (block_of >= 0).all():
        return _in_order(found)
    # What is left goes to the smallest block, where the zeros that it adds cost least.
    smallest = min(range(len(complete)), key=lambda index: sum(d.blocks[index].outputs.size for d in found))
    block_of[block_of < 0] = smallest
    return _in_order(_decompositions(region, parts, reads, start, label, block_of))


def _edges(region: Region, parts: Mapping[Linear, Components], start: Mapping[Linear, int]) -> Iterable[Tie]:
    """Pairs (feature, component of a weight) for all features with an edge."""
    for linear, own in parts.items():
        outputs = region.features.labels[linear.output].reshape(-1)
        live = own.outputs >= 0
        yield outputs[live], start[linear] + own.outputs[live]
        if region.is_internal(linear):
            inputs = _inputs(region, linear)
            live = own.inputs >= 0
            yield inputs[live], start[linear] + own.inputs[live]


def _inputs(region: Region, linear: Linear) -> Ids:
    """The labels of what an internal linear reads."""
    labels = region.inputs(linear)
    assert labels is not None
    return labels


def _components(count: int, pairs: Sequence[Tie]) -> Ids:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a = np.concatenate([np.ravel(one) for one, _ in pairs])
    b = np.concatenate([np.ravel(other) for _, other in pairs])
    graph = coo_array((np.ones(a.size, np.int8), (a, b)), (count, count))
    found: Ids = connected_components(graph, directed=False)[1].astype(np.int64)
    return found


def _complete(
    region: Region,
    parts: Mapping[Linear, Components],
    reads: Mapping[Linear, Relation],
    start: Mapping[Linear, int],
    label: Ids,
) -> list[int]:
    """The components that have an edge into and out of every linear, in order."""
    sets = [set(label[start[linear] + np.arange(own.count)].tolist()) for linear, own in parts.items()]
    sets += [set(label[region.features.labels[linear.output].reshape(-1)].tolist()) for linear in reads]
    return sorted(set.intersection(*sets)) if sets else []


def _decompositions(
    region: Region,
    parts: Mapping[Linear, Components],
    reads: Mapping[Linear, Relation],
    start: Mapping[Linear, int],
    label: Ids,
    block_of: Ids,
) -> tuple[Decomposition, ...]:
    """What each block owns of each linear; features of block -1 are left out."""
    count = int(block_of.max()) + 1
    found = []
    for linear in region.linears:
        # A linear at the entrance that shares inputs is cut by its outputs alone: blocks may read one input twice.
        outputs = block_of[label[region.features.labels[linear.output].reshape(-1)]]
        if linear in reads:
            members = [np.flatnonzero(outputs == index) for index in range(count)]
            blocks = [Block(_read(reads[linear], own), own) for own in members]
        else:
            inputs = np.full(linear.shape[0], -1, np.int64)
            # Inside, what a linear reads is what another wrote, so its inputs are cut where those outputs were.
            if region.is_internal(linear):
                inputs = block_of[label[_inputs(region, linear)]]
            else:
                live = parts[linear].inputs >= 0
                inputs[live] = block_of[label[start[linear] + parts[linear].inputs[live]]]
            blocks = [Block(np.flatnonzero(inputs == i), np.flatnonzero(outputs == i)) for i in range(count)]
        found.append(Decomposition(linear.shape, tuple(blocks)))
    return tuple(found)


def _read(by_output: Relation, outputs: Ids) -> Ids:
    """The inputs that some outputs read; the first one where none of them reads any."""
    read = columns_of(np.bitwise_or.reduce(by_output.words[outputs], axis=0), by_output.shape[1])
    return read if read.size else np.zeros(1, np.int64)


def _in_order(found: tuple[Decomposition, ...]) -> tuple[Decomposition, ...]:
    """The same blocks in the order of the first inputs of the first linear."""
    first = [(*(int(d.blocks[i].inputs[0]) for d in found), i) for i in range(len(found[0].blocks))]
    order = [key[-1] for key in sorted(first)]
    return tuple(Decomposition(d.shape, tuple(d.blocks[i] for i in order)) for d in found)


def group_region(decompositions: Sequence[Decomposition], count: int) -> tuple[Decomposition, ...]:
    """Merge neighbouring blocks of a region into at most `count` of about equal area; exact, only larger."""
    blocks = len(decompositions[0].blocks)
    if blocks <= count:
        return tuple(decompositions)
    area = np.array(
        [sum(d.blocks[i].inputs.size * d.blocks[i].outputs.size for d in decompositions) for i in range(blocks)]
    )
    # By the middle of each block on the line of all areas: a large block takes the place of several groups.
    middle = np.cumsum(area) - area / 2
    return merge_region(decompositions, np.minimum((middle * count / area.sum()).astype(np.int64), count - 1))


def merge_region(decompositions: Sequence[Decomposition], part: Ids) -> tuple[Decomposition, ...]:
    """The blocks of a region merged; part: of each block, the number of the group that it goes to."""
    found = []
    for d in decompositions:
        merged = []
        for index in np.unique(part):
            own = [d.blocks[i] for i in np.flatnonzero(part == index)]
            inputs = np.unique(np.concatenate([b.inputs for b in own]))
            merged.append(Block(inputs, np.sort(np.concatenate([b.outputs for b in own]))))
        found.append(Decomposition(d.shape, tuple(merged)))
    return tuple(found)


def assign(region: Region, decompositions: Sequence[Decomposition]) -> Ids | None:
    """The block of every label of a region, -1 for labels outside of it; None where the blocks contradict each other.

    Every output of a linear must be in a block; what an inner node ties must lie in one, and what a linear writes in a
    block, the next must read in it.
    """
    # Three passes: what linears write says where features are, then ties and reads may only agree with it.
    block = np.full(region.features.count, -1, np.int64)
    for linear, found in zip(region.linears, decompositions, strict=True):
        labels = region.features.labels[linear.output].reshape(-1)
        for index, one in enumerate(found.blocks):
            block[labels[one.outputs]] = index
        if (block[labels] < 0).any():
            return None
    for node in region.inner:
        for a, b in region.features.ties[node]:
            if not np.array_equal(block[a], block[b]):
                return None
    for linear, found in zip(region.linears, decompositions, strict=True):
        if not region.is_internal(linear):
            continue
        read = region.inputs(linear)
        if read is None:
            return None
        inputs = block[read]
        for index, one in enumerate(found.blocks):
            if not np.array_equal(np.flatnonzero(inputs == index), one.inputs):
                return None
    return block


def selection(block_of: Ids, labels: Ids, index: int) -> Selection | None:
    """Along each axis of a value the features of one block; None where they are no rectangle, or none at all.

    >>> selection(np.array([0, 0, 1, 1]), np.array([[0, 1, 2, 3]]), 1)
    (array([0]), array([2, 3]))
    """
    # A rectangle is the product of what it covers along each axis; count both sides to know.
    inside = block_of[labels] == index
    axes = tuple(
        np.flatnonzero(inside.any(axis=tuple(a for a in range(inside.ndim) if a != axis)))
        for axis in range(inside.ndim)
    )
    size = int(np.prod([axis.size for axis in axes]))
    return axes if size and size == int(inside.sum()) else None


def selections(
    region: Region, block_of: Ids, values: Iterable[ir.Value], count: int
) -> Iterator[tuple[ir.Value, list[Selection | None]]]:
    """What each of `count` blocks owns of each value; values that carry the same features are looked at once."""
    known: dict[tuple[object, bytes], list[Selection | None]] = {}
    seen: dict[int, list[Selection | None]] = {}  # by identity
    for value in values:
        labels = region.features.labels[value]
        if id(labels) not in seen:
            # Values in a row of elementwise operators carry the same features, and there may be hundreds of them.
            key = (labels.shape, labels.tobytes())
            if key not in known:
                known[key] = [selection(block_of, labels, index) for index in range(count)]
            seen[id(labels)] = known[key]
        yield value, seen[id(labels)]


def is_rectangular(region: Region, block_of: Ids, count: int) -> bool:
    """Whether what each block owns of each value is a rectangle, so that it can be a tensor of its own."""
    looked: set[int] = set()
    for _, found in selections(region, block_of, region.written, count):
        if id(found) not in looked and None in found:
            return False
        looked.add(id(found))
    return True
