"""What Reshape does to axes: elements keep their order in memory, so axes match in groups of equal product."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["AxisGroup", "Extents", "Labels", "Regrouping", "completed", "realign", "regroup"]

Labels: TypeAlias = npt.NDArray[np.int64]
Extents: TypeAlias = "tuple[int | str | None, ...]"  # names of symbols; None where nothing is known


@dataclass(frozen=True, slots=True)
class AxisGroup:
    """Axes of a value, and those that its elements lie along once it has other extents; both are ranges.

    is_open: it is not known how the elements of the one come to lie in the other.
    """

    before: range
    after: range
    is_open: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether one axis becomes one axis."""
        return not self.is_open and len(self.before) == len(self.after) == 1


@dataclass(frozen=True, slots=True)
class Regrouping:
    """A value whose elements take other extents in the same order; its groups of axes, from the first on."""

    before: Extents
    after: Extents
    groups: tuple[AxisGroup, ...]


def regroup(before: Extents, after: Extents) -> Regrouping:
    """The axes of a value of some extents in groups with those that its elements lie along once it has others.

    Extents are matched from the last one on: those that are equal one by one, others in the smallest groups of equal
    product, axes of extent 1 by themselves. In front of what cannot be matched everything is one open group.

    >>> [(list(g.before), list(g.after), g.is_open) for g in regroup(("n", 4, 6), ("m", 2, 2, 2, 3)).groups]
    [([0], [0], True), ([1], [1, 2], False), ([2], [3, 4], False)]
    """
    # Two fingers walk from the last axis to the first and stop wherever as many elements lie behind both:
    #
    #     before   batch |   4   |   6          i: axes of `before` that are left
    #     after     rows | 2   2 | 2   3        j: axes of `after` that are left
    #               open | 4=2·2 | 6=2·3
    #
    # What lies behind such a place is a group: its elements are the same ones on both sides, in the same order, however
    # the batch in front of it is cut.
    i, j = len(before), len(after)
    found: list[AxisGroup] = []
    while i or j:
        if i and before[i - 1] == 1:
            taken = (1, 0)
        elif j and after[j - 1] == 1:
            taken = (0, 1)
        elif i and j and before[i - 1] is not None and before[i - 1] == after[j - 1]:
            taken = (1, 1)  # symbols may be equal as well
        elif (product := _smallest(before[:i], after[:j])) is not None:
            taken = product
        else:
            found.append(AxisGroup(range(i), range(j), is_open=True))
            break
        found.append(AxisGroup(range(i - taken[0], i), range(j - taken[1], j)))
        i, j = i - taken[0], j - taken[1]
    return Regrouping(before, after, tuple(reversed(found)))


def completed(before: Extents, after: Extents) -> Extents:
    """The second extents with the one that is not known, where it follows: as many elements lie in both.

    >>> completed(("n", "t", 96), ("n", "t", 12, None))
    ('n', 't', 12, 8)
    >>> completed(("n", "t", 96), ("m", 12, None))
    ('m', 12, None)
    """
    front = 0
    while front < min(len(before), len(after)) and before[front] is not None and before[front] == after[front]:
        front += 1
    known = [extent for extent in after[front:] if isinstance(extent, int)]
    held = [extent for extent in before[front:] if isinstance(extent, int)]
    each, whole = math.prod(known), math.prod(held)
    if len(held) < len(before) - front or len(known) + 1 != len(after) - front or not each or whole % each:
        return after
    return tuple(
        extent if place < front or isinstance(extent, int) else whole // each for place, extent in enumerate(after)
    )


def _smallest(before: Extents, after: Extents) -> tuple[int, int] | None:
    """How many of the last extents on either side make up the same product; None where an unknown one is among them."""
    i = j = 0
    left = right = 1
    # The side with the smaller product takes its next axis, as in a merge, until the products meet.
    while not i or left != right:
        extents, count = (before, i) if left <= right else (after, j)
        extent = extents[-1 - count] if count < len(extents) else None
        if not isinstance(extent, int) or not extent:
            return None
        if left <= right:
            left, i = left * extent, i + 1
        else:
            right, j = right * extent, j + 1
    return i, j


def realign(labels: Labels, regrouping: Regrouping) -> Labels | None:
    """The labels of a value once its elements have other extents; None where it is not clear where they go.

    labels: of extent 1 along axes that tell no features apart.

    >>> realign(np.arange(6).reshape(1, 1, 6), regroup(("batch", "length", 6), ("rows", 2, 3))).shape
    (1, 2, 3)
    """
    source: list[Any] = []
    target: list[Any] = []
    for group in regrouping.groups:
        own = [labels.shape[axis] for axis in group.before]
        if group.is_whole:  # its extent need not be known
            source += own
            target += own
        elif all(extent == 1 for extent in own):  # no features are told apart: whatever happens, happens beside
            source += own
            target += [1] * len(group.after)
        elif group.is_open:
            return None
        else:
            # Labels that tell one axis of a group apart are spread over all of it before they are cut another way:
            #
            #     4 of (4, 6) -> (2, 12)    0 1 2 3 along 4  ->  0 0 0 0 0 0 1 1 … along 4·6  ->  cut into 2·12
            source += [regrouping.before[axis] for axis in group.before]
            target += [regrouping.after[axis] for axis in group.after]
    return np.broadcast_to(labels, tuple(source)).reshape(tuple(target))
