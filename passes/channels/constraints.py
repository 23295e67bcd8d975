"""What has to stay of some axes when something stays of others: equal places, places of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.axes.shared_axis import Dim
from ...ir.onnx_ir import onnx_ir as ir
from .axis_classes import Masks

__all__ = ["CutPlaces", "Grid", "Pinned"]


@dataclass(frozen=True, slots=True, eq=False)
class Pinned:
    """Axes of which everything stays; by: the node that needs all of it, None where that is outside of the model."""

    dims: Sequence[Dim]
    by: ir.Node | None = None

    def hold(self, masks: Masks) -> None:
        """Keep all of them."""
        for dim in self.dims:
            masks.keep(dim)


@dataclass(frozen=True, slots=True, eq=False)
class CutPlaces:
    """An axis each place of which is a place of another: taken[i] of `source` is place i of `target`."""

    target: Dim
    source: Dim
    taken: npt.NDArray[np.int64]
    start: int = 0  # of the first of them along `target`

    @property
    def dims(self) -> Sequence[Dim]:
        """Both."""
        return self.target, self.source

    def hold(self, masks: Masks) -> None:
        """A place stays where it stays on the other side."""
        extents = masks.classes.extent(self.target), masks.classes.extent(self.source)
        window = slice(self.start, self.start + self.taken.size)
        if extents[1] > 1:
            here = masks.of(self.target)[window] if extents[0] > 1 else np.ones(self.taken.size, bool)
            back = np.zeros(extents[1], bool)
            back[self.taken[here]] = True
            masks.keep(self.source, back)
        if extents[0] > 1:
            forth = np.zeros(extents[0], bool)
            forth[window] = masks.of(self.source)[self.taken] if extents[1] > 1 else True
            masks.keep(self.target, forth)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """An axis whose places are those of a grid of other axes, row by row: only whole rows and whole columns can go."""

    #     hidden 0 … 11         heads (3)           what stays of `hidden` is always a grid of
    #     ○ ○ ○ ○ | ● ● ● ● |   ○ 0  ● 1  ● 2       heads that stay and of places in a head that stay,
    #     ● ● ● ● |             places (4) ● ● ● ●  so that it still is a grid when rows of it are gone
    whole: Dim
    parts: Sequence[Dim | int]  # an axis, or the extent of one that is never cut

    @property
    def dims(self) -> Sequence[Dim]:
        """All of them."""
        return self.whole, *(part for part in self.parts if not isinstance(part, int))

    def hold(self, masks: Masks) -> None:
        """What stays of the grid decides of its sides, and those of it."""
        shape = [part if isinstance(part, int) else masks.classes.extent(part) for part in self.parts]
        grid = masks.of(self.whole).reshape(shape)
        stays = np.ones(shape, bool)
        for axis, part in enumerate(self.parts):
            if not isinstance(part, int) and shape[axis] > 1:
                others = tuple(other for other in range(len(shape)) if other != axis)
                masks.keep(part, np.asarray(grid.any(axis=others)))
                stays = stays & masks.of(part).reshape([-1 if own == axis else 1 for own in range(len(shape))])
        masks.keep(self.whole, stays.reshape(-1))
