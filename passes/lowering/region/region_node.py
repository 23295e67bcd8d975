"""A node of a region as blocks see it: operands cut for one block or stacked for several, and what is emitted of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.axes.regrouping import Labels
from ....ir.graph.node import NodeView
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ...decompose.region import Selection
from ..nodes.emitter import Emitter

__all__ = ["Stackable", "Unsuited"]


class Unsuited(Exception):  # noqa: N818 - no error: the region is lowered in another way
    """Why a region cannot be computed block by block in the way that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stackable(NodeView):
    """A node of a region and what it reads for one group of blocks.

    operands: what stands in the place of its inputs; inside: which of them are computed in the region, on the features
    of the group alone, stacked along a new first axis where the group has several blocks; selected: for each value of
    the region what each block of the group owns along each axis; features_first: whether features come first; shared:
    what was computed for other blocks and serves these as well, added to.
    """

    emitter: Emitter
    role: str
    operands: Sequence[ir.Value | None]
    inside: Sequence[bool]
    labels: Mapping[ir.Value, Labels]
    selected: Mapping[ir.Value, Sequence[Selection]]
    features_first: bool
    shared: dict[Any, ir.Value]

    @property
    def stacked(self) -> int:
        """1 where a new first axis holds several blocks, else 0."""
        return int(len(next(iter(self.selected.values()))) > 1)

    def rank(self, value: ir.Value | None) -> int:
        """Dimensions of a value of the model."""
        if value is None:
            raise Unsuited("an operand is missing")
        if value in self.labels:
            return self.labels[value].ndim
        if value in self.constants:
            return len(self.constants.describe(value)[0])
        shape = shape_of(value)
        if shape is None:
            raise Unsuited(f"{value.name!r} has no known rank")
        return len(shape)

    def extent(self, value: ir.Value | None, axis: int) -> int:
        """The extent of a value of the model, which has to be known."""
        shape = None if value is None else shape_of(value)
        extent = None if shape is None or axis >= len(shape) else shape[axis]
        if not isinstance(extent, int):
            raise Unsuited(f"{'an operand' if value is None else repr(value.name)} has no known extents")
        return extent

    def from_last(self, axis: int, rank: int) -> int:
        """An axis counted from the last one, negative, so that it stays right behind a new first axis."""
        return axis if axis < 0 else axis - rank

    def one(self, inputs: Sequence[ir.Value | None], **changed: Any) -> list[ir.Value | None]:
        """The same operator on other inputs, with some attributes changed, None taking one away."""
        node = self.node
        attributes = {**dict(node.attributes), **changed}
        kept = {name: value for name, value in attributes.items() if value is not None}
        unused = {i for i, output in enumerate(node.outputs) if output not in self.labels}
        made = self.emitter.node(
            node.op_type, inputs, self.role, kept, len(node.outputs), domain=node.domain, unused=unused
        )
        return [None if index in unused else value for index, value in enumerate(made)]

    def aligned(self, index: int, rank: int, selections: Sequence[Selection]) -> ir.Value | None:
        """An operand of an operator that broadcasts to `rank` axes, cut down to what the blocks own along each axis."""
        value, operand = self.node.inputs[index], self.operands[index]
        if value is None or operand is None:
            return operand
        if self.inside[index]:
            own = self.labels[value].ndim
            if self.stacked and own < rank:
                return self._unsqueezed(operand, rank - own, value)
            return operand
        if value in self.constants:
            return self._constant(index, value, rank, selections)
        return self._dynamic(value, operand, rank, selections)

    def beside(self, index: int, rank: int, selections: Sequence[Selection]) -> ir.Value:
        """A factor from outside of a product of two values, cut down along the axes before the last two."""
        value, operand = self.node.inputs[index], self.operands[index]
        assert value is not None and operand is not None
        shape = shape_of(value)
        if shape is None:
            raise Unsuited(f"{value.name!r} has no known rank")
        return self._cut(value, operand, [*list(shape)[:-2], 1, 1], rank, selections)

    def _unsqueezed(self, operand: ir.Value, count: int, like: ir.Value) -> ir.Value:
        axes = self.emitter.integers(list(range(1, count + 1)), f"{self.role}/axes")
        found = self.emitter.one("Unsqueeze", [operand, axes], self.role)
        found.type = like.type
        return found

    def _wanted(
        self, shape: Sequence[Any], rank: int, selections: Sequence[Selection]
    ) -> list[list[npt.NDArray[np.int64] | None]]:
        """For each block and each axis of an operand what is wanted of it, None for all."""
        found = []
        for one in selections:
            row: list[npt.NDArray[np.int64] | None] = []
            for axis, extent in enumerate(shape):
                place = axis + rank - len(shape)
                wanted = one[place]
                known = isinstance(extent, int) and extent > 1
                row.append(wanted if known and place in self._told and wanted.size < extent else None)
            found.append(row)
        return found

    @property
    def _told(self) -> set[int]:
        """The axes of the first output that tell features apart."""
        labels = next(self.labels[output] for output in self.node.outputs if output in self.labels)
        return {axis for axis, extent in enumerate(labels.shape) if extent > 1}

    def _constant(self, index: int, value: ir.Value, rank: int, selections: Sequence[Selection]) -> ir.Value:
        shape = self.constants.describe(value)[0]
        wanted = self._wanted(shape, rank, selections)
        if self.features_first and shape[-2:-1] not in ((), (1,)):
            raise Unsuited(f"{value.name!r} tells rows apart")
        if all(one is None for row in wanted for one in row):
            return value
        array = self.constants.read(value)
        cut = []
        for row in wanted:
            part = array
            for axis, one in enumerate(row):
                if one is not None:
                    part = np.take(part, one, axis)
            cut.append(part)
        role = f"{self.role}/operand.{index}"
        if self.features_first:
            cut = [part.reshape(-1, 1) for part in cut]
            return self.emitter.constant(np.stack(cut) if self.stacked else cut[0], role)
        if self.stacked:
            whole = np.stack(cut)
            return self.emitter.constant(whole.reshape(len(cut), *(1,) * (rank - len(shape)), *whole.shape[1:]), role)
        return self.emitter.constant(cut[0], role)

    def _dynamic(self, value: ir.Value, operand: ir.Value, rank: int, selections: Sequence[Selection]) -> ir.Value:
        shape = shape_of(value)
        if shape is None:
            raise Unsuited(f"{value.name!r} has no known rank")
        if self.features_first and len(shape):
            raise Unsuited(f"{value.name!r} comes from outside")
        return self._cut(value, operand, list(shape), rank, selections)

    def _cut(
        self, value: ir.Value, operand: ir.Value, shape: Sequence[Any], rank: int, selections: Sequence[Selection]
    ) -> ir.Value:
        wanted = self._wanted(shape, rank, selections)
        if all(one is None for row in wanted for one in row):
            return operand
        if self.stacked:
            raise Unsuited(f"{value.name!r} comes from outside and tells blocks apart")
        for axis, one in enumerate(wanted[0]):
            if one is not None:
                places = self.emitter.integers(one, f"{self.role}/outside")
                operand = self.emitter.one("Gather", [operand, places], self.role, axis=axis)
                operand.type = value.type
        return operand
