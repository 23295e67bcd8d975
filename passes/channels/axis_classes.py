"""Axes that are cut alike: classes of axes of one extent, and a mask for each of what has to stay."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ...ir.axes.axis_rule import Sizes
from ...ir.axes.shared_axis import Dim
from ...ir.disjoint_sets import DisjointSets
from .bounds.interval import Bools

LONGEST = 1 << 26  # places of an axis that are looked at one by one

__all__ = ["AxisClasses", "Constraint", "Masks"]


@dataclass(frozen=True, slots=True, eq=False)
class AxisClasses:
    """Axes of values and constants, joined where what stays along the one is what stays along the other."""

    sizes: Sizes
    sets: DisjointSets[Dim] = field(default_factory=DisjointSets)
    virtual: dict[Dim, int] = field(default_factory=dict)  # extents of axes that no value has, as groups of channels

    def extent(self, dim: Dim) -> int:
        """How many places an axis has; 1 where that is not known, so that it is never cut."""
        return self._extent(dim) or 1

    def _extent(self, dim: Dim) -> int | None:
        return self.virtual[dim] if dim in self.virtual else self.sizes.extent(*dim)

    def join(self, dims: Iterable[Dim]) -> bool:
        """Join axes, those of extent 1 aside; False where they are not of one known extent, so that none may be cut."""
        first: dict[int | None, Dim] = {}
        for dim in dims:
            extent = self._extent(dim)
            if extent == 1:
                continue
            leader = first.setdefault(extent, dim)
            if extent is not None and extent > 1:
                self.sets.join(dim, leader)
        return len(first) <= 1 and (None not in first)


class Constraint(Protocol):
    """What follows for some axes from what stays along others."""

    @property
    def dims(self) -> Sequence[Dim]:
        """The axes that it is about."""

    def hold(self, masks: Masks) -> None:
        """Keep what has to stay, given what stays by now."""


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """For each class of axes what has to stay of it; it only ever grows, until every constraint holds."""

    classes: AxisClasses
    kept: dict[Dim, Bools] = field(default_factory=dict)
    changed: dict[Dim, None] = field(default_factory=dict)

    def of(self, dim: Dim) -> Bools:
        """What stays of an axis. Raises ValueError where it is longer than any that reads a weight."""
        root = self.classes.sets.root(dim)
        if root not in self.kept:
            extent = self.classes.extent(root)
            if extent > LONGEST:
                raise ValueError(f"an axis of {extent} places")
            self.kept[root] = np.full(extent, extent == 1)
        return self.kept[root]

    def keep(self, dim: Dim, mask: Bools | bool = True) -> None:
        """Let these places stay, all of them if nothing is said; axes of extent 1 stay anyway."""
        if self.classes.extent(dim) == 1:
            return
        here = self.of(dim)
        grown = here | mask
        if (grown != here).any():
            root = self.classes.sets.root(dim)
            self.kept[root] = grown
            self.changed[root] = None

    def settle(self, constraints: Sequence[Constraint], *, empty: bool = False) -> None:
        """Grow the masks until every constraint holds and no axis is empty, unless an axis may be `empty`."""
        about: dict[Dim, list[Constraint]] = {}
        for constraint in constraints:
            for root in {self.classes.sets.root(dim) for dim in constraint.dims}:
                about.setdefault(root, []).append(constraint)
        # From the results to the inputs, since what has to stay follows from what reads it.
        waiting = dict.fromkeys(reversed(constraints))
        while waiting:
            queue = deque(waiting)
            waiting = {}
            while queue:
                constraint = queue.popleft()
                constraint.hold(self)
                for root in self.changed:
                    waiting.update(dict.fromkeys(about.get(root, ())))
                self.changed.clear()
            while not waiting and not empty and self.keep_one(self.classes.sets):
                for root in self.changed:
                    waiting.update(dict.fromkeys(about.get(root, ())))
                self.changed.clear()

    def keep_one(self, dims: Iterable[Dim]) -> bool:
        """Keep the first place of one of these axes of which nothing stays, if there is one: no operator takes an empty
        one.

        One axis at a time, the shortest first: what follows from it may be a place of an axis that it is a side of.
        """
        roots = dict.fromkeys(map(self.classes.sets.root, dims))
        empty = [root for root in roots if not self.of(root).any()]
        if empty:
            shortest = min(empty, key=self.classes.extent)
            self.keep(shortest, np.arange(self.classes.extent(shortest)) == 0)
        return bool(empty)
