"""A node of a region as a group of blocks sees it, before anything is emitted: what it reads, and how much of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....ir.axes.regrouping import Labels
from ....ir.graph.node import NodeView
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Indices
from ....ir.reason import Cause, Reason
from ...decompose.region import Selection

__all__ = ["BlockNode"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockNode(NodeView):
    """A node of a region and what it reads for one group of blocks.

    inside: which of its operands are computed in the region, on the features of the group alone, stacked along a new
    first axis where the group has several blocks; selected: for each value of the region what each block of the group
    owns along each axis; features_first: whether features come first.
    """

    inside: Sequence[bool]
    labels: Mapping[ir.Value, Labels]
    selected: Mapping[ir.Value, Sequence[Selection]]
    features_first: bool

    @property
    def stacked(self) -> int:
        """1 where a new first axis holds several blocks, else 0."""
        return int(len(next(iter(self.selected.values()))) > 1)

    @property
    def written(self) -> ir.Value:
        """The first output that somebody reads."""
        return next(output for output in self.node.outputs if output in self.labels)

    def of_output(self) -> tuple[int, Sequence[Selection]]:
        """Dimensions of what is written, and what each block of the group owns of it."""
        return self.labels[self.written].ndim, self.selected[self.written]

    def rank_of(self, value: ir.Value | None) -> int | None:
        """Dimensions of a value of the model, None where they are not known."""
        if value is None:
            return None
        if value in self.labels:
            return self.labels[value].ndim
        if value in self.constants:
            return len(self.constants.describe(value)[0])
        shape = shape_of(value)
        return None if shape is None else len(shape)

    def extent_of(self, value: ir.Value | None, axis: int) -> int | None:
        """The extent of a value of the model, None where it is not known."""
        shape = None if value is None else shape_of(value)
        extent = None if shape is None or axis >= len(shape) else shape[axis]
        return extent if isinstance(extent, int) else None

    def wanted(self, shape: Sequence[Any], rank: int, selections: Sequence[Selection]) -> list[list[Indices | None]]:
        """For each block and each axis of an operand what is wanted of it, None for all."""
        labels = self.labels[self.written]
        told = {axis for axis, extent in enumerate(labels.shape) if extent > 1}  # axes that tell features apart
        found = []
        for one in selections:
            row: list[Indices | None] = []
            for axis, extent in enumerate(shape):
                place = axis + rank - len(shape)
                wanted = one[place]
                known = isinstance(extent, int) and extent > 1
                row.append(wanted if known and place in told and wanted.size < extent else None)
            found.append(row)
        return found

    def places_of(self, value: ir.Value, axis: int, places: Indices) -> list[Indices]:
        """Where each block has those of some features along an axis that it owns, counted among its own."""
        found = []
        for one in self.selected[value]:
            own = places[np.isin(places, one[axis])]
            found.append(np.searchsorted(one[axis], own))
        return found

    # Why an operand cannot be had for the group

    def why_not_ranked(self, *values: ir.Value | None) -> Reason | None:
        """Why the dimensions of some values are not known."""
        for value in values:
            if self.rank_of(value) is None:
                what = "an operand is missing" if value is None else f"{value.name!r} has no known rank"
                return Reason(Cause.UNKNOWN_RANK, what)
        return None

    def why_not_sized(self, value: ir.Value | None, axis: int) -> Reason | None:
        """Why an extent is not known."""
        if self.extent_of(value, axis) is not None:
            return None
        return Reason(Cause.UNSUPPORTED, f"{'an operand' if value is None else repr(value.name)} has no known extents")

    def why_not_aligned(self, indices: Iterable[int], rank: int, selections: Sequence[Selection]) -> Reason | None:
        """Why some operands of an operator that broadcasts to `rank` axes cannot be cut down to what blocks own."""
        for index in indices:
            if reason := self._why_not_aligned(index, rank, selections):
                return reason
        return None

    def why_not_beside(self, index: int, rank: int, selections: Sequence[Selection]) -> Reason | None:
        """Why a factor from outside of a product of two values cannot be cut down."""
        value = self.node.inputs[index]
        assert value is not None
        shape = shape_of(value)
        if shape is None:
            return Reason(Cause.UNKNOWN_RANK, f"{value.name!r} has no known rank")
        return self._why_not_cut(value, [*list(shape)[:-2], 1, 1], rank, selections)

    def _why_not_aligned(self, index: int, rank: int, selections: Sequence[Selection]) -> Reason | None:
        value = self.node.inputs[index]
        if value is None or self.inside[index]:
            return None
        if value in self.constants:
            shape = self.constants.describe(value)[0]
            if self.features_first and shape[-2:-1] not in ((), (1,)):
                return Reason(Cause.LAYOUT, f"{value.name!r} tells rows apart")
            return None
        outside = shape_of(value)
        if outside is None:
            return Reason(Cause.UNKNOWN_RANK, f"{value.name!r} has no known rank")
        if self.features_first and len(outside):
            return Reason(Cause.LAYOUT, f"{value.name!r} comes from outside")
        return self._why_not_cut(value, list(outside), rank, selections)

    def _why_not_cut(
        self, value: ir.Value, shape: Sequence[Any], rank: int, selections: Sequence[Selection]
    ) -> Reason | None:
        if self.stacked and any(one is not None for row in self.wanted(shape, rank, selections) for one in row):
            return Reason(Cause.BLOCKS, f"{value.name!r} comes from outside and tells blocks apart")
        return None

    def why_not_picked(self, value: ir.Value, axis: int, places: Indices) -> Reason | None:
        """Why some features along an axis are not at the same places in every block of the group."""
        local = self.places_of(value, axis, places)
        if any(not np.array_equal(local[0], other) for other in local[1:]):
            return Reason(Cause.BLOCKS, "stacked blocks own other features of a slice")
        return None if local[0].size else Reason(Cause.BLOCKS, "a block owns nothing of a slice")
