"""A node of a region as it is emitted for a group of blocks: operands cut for one block or stacked for several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Reason
from ...decompose.region import Selection
from ..nodes.emitter import Emitter
from .block_node import BlockNode

__all__ = ["Stackable", "Unsuited"]


class Unsuited(Exception):  # noqa: N818 - no error: the region is lowered in another way
    """A region cannot be computed block by block in the way that was asked for; reason: why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stackable(BlockNode):
    """A node of a region, to be emitted for one group of blocks, of which nothing speaks against that.

    operands: what stands in the place of its inputs; shared: what was computed for other blocks and serves these as
    well, added to.
    """

    emitter: Emitter
    role: str
    operands: Sequence[ir.Value | None]
    shared: dict[Any, ir.Value]

    def rank(self, value: ir.Value | None) -> int:
        """Dimensions of a value of the model, which are known."""
        found = self.rank_of(value)
        assert found is not None, "asked before"
        return found

    def extent(self, value: ir.Value | None, axis: int) -> int:
        """The extent of a value of the model, which is known."""
        found = self.extent_of(value, axis)
        assert found is not None, "asked before"
        return found

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
        shape = shape_of(value)
        assert shape is not None, "asked before"
        return self._cut(value, operand, list(shape), rank, selections)

    def beside(self, index: int, rank: int, selections: Sequence[Selection]) -> ir.Value:
        """A factor from outside of a product of two values, cut down along the axes before the last two."""
        value, operand = self.node.inputs[index], self.operands[index]
        assert value is not None and operand is not None
        shape = shape_of(value)
        assert shape is not None, "asked before"
        return self._cut(value, operand, [*list(shape)[:-2], 1, 1], rank, selections)

    def _unsqueezed(self, operand: ir.Value, count: int, like: ir.Value) -> ir.Value:
        axes = self.emitter.integers(list(range(1, count + 1)), f"{self.role}/axes")
        found = self.emitter.one("Unsqueeze", [operand, axes], self.role)
        found.type = like.type
        return found

    def _constant(self, index: int, value: ir.Value, rank: int, selections: Sequence[Selection]) -> ir.Value:
        shape = self.constants.describe(value)[0]
        wanted = self.wanted(shape, rank, selections)
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

    def _cut(
        self, value: ir.Value, operand: ir.Value, shape: Sequence[Any], rank: int, selections: Sequence[Selection]
    ) -> ir.Value:
        wanted = self.wanted(shape, rank, selections)
        if all(one is None for row in wanted for one in row):
            return operand
        for axis, one in enumerate(wanted[0]):
            if one is not None:
                places = self.emitter.integers(one, f"{self.role}/outside")
                operand = self.emitter.one("Gather", [operand, places], self.role, axis=axis)
                operand.type = value.type
        return operand
