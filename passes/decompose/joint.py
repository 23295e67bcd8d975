"""Blocks of weights that meet in hidden units: of a feed-forward net, or of attention, whose units are heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.plan.plan import Block, Decomposition
from ..connectivity.bipartite import components

__all__ = ["joint_blocks"]

Edges = npt.NDArray[np.bool_]
Sizes = npt.NDArray[np.int64]


def joint_blocks(
    readers: Sequence[Edges], writer: Edges, unit: int = 1, *, whole: bool = False, most: int | None = None
) -> tuple[Decomposition, ...] | None:
    """The blocks of each reader and of the writer, block i of one belonging to block i of the others.

    readers: Boolean matrices (K_i, H), each from inputs of its own to the hidden features; writer: (H, N), from these
    to the outputs; unit: hidden features that belong together, one head each. None where there are fewer than two
    blocks. What lacks inputs of some reader or outputs goes to the block with the fewest hidden features, where its
    zeros cost least; so does a unit without any edge where `whole` says that all of them must be in a block, otherwise
    it is dormant. most: blocks are merged into so many at most, of about equal numbers of hidden features. Source: the
    connected components of one graph over all axes (sections 2.1 and 4.1 of the paper).

    >>> up, down = np.eye(2, dtype=bool), np.eye(2, dtype=bool)[::-1]
    >>> [[(b.inputs.tolist(), b.outputs.tolist()) for b in d.blocks] for d in joint_blocks([up], down)]
    [[([0], [0]), ([1], [1])], [([0], [1]), ([1], [0])]]
    """
    H, N = writer.shape
    units = H // unit
    # A unit is a row; what it reads and what it writes are the columns, so that components join all of them at once.
    tied = [one.reshape(len(one), units, unit).any(2).T for one in readers]
    tied.append(writer.reshape(units, unit, N).any(1))
    found = components(np.concatenate(tied, axis=1))
    sides = np.split(found.outputs, np.cumsum([one.shape[1] for one in tied])[:-1])
    members = [set(side.tolist()) for side in (found.inputs, *sides)]
    complete = sorted(set.intersection(*members) - {-1})
    if len(complete) < 2:
        return None
    block_of = np.full(found.count + 1, -1)  # one more, so that -1 finds the last
    block_of[complete] = np.arange(len(complete))
    sizes = np.bincount(block_of[found.inputs][block_of[found.inputs] >= 0], minlength=len(complete))
    if most is not None and len(complete) > most:
        if most < 2:
            return None
        block_of[complete], sizes = _merged(sizes, most)
    block_of[:-1][block_of[:-1] < 0] = int(sizes.argmin())
    if whole:
        hidden = np.where(found.inputs < 0, int(sizes.argmin()), block_of[found.inputs])
    else:
        hidden = block_of[found.inputs]
    features = np.repeat(hidden, unit)
    outer = [block_of[side] for side in sides]
    read = [_decomposition(inputs, features, len(sizes)) for inputs in outer[:-1]]
    return (*read, _decomposition(features, outer[-1], len(sizes)))


def _merged(sizes: Sizes, count: int) -> tuple[Sizes, Sizes]:
    """The group of each block, largest first to the one that is smallest so far, and the sizes of the groups."""
    group, load = np.zeros_like(sizes), np.zeros(count, np.int64)
    for block in np.argsort(-sizes, kind="stable"):
        group[block] = load.argmin()
        load[group[block]] += sizes[block]
    return group, load


def _decomposition(inputs: npt.NDArray[Any], outputs: npt.NDArray[Any], count: int) -> Decomposition:
    blocks = [Block(np.flatnonzero(inputs == i), np.flatnonzero(outputs == i)) for i in range(count)]
    return Decomposition((inputs.size, outputs.size), tuple(blocks))
