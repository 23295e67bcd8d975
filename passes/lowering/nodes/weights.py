"""The weights of blocks, cut out of the weight of a linear; a quantised weight stays quantised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block, Decomposition, Indices, PlanError
from ....ir.reason import Cause, Reason
from .emitter import Emitter
from .quantisation_groups import group_size, groups_of, in_groups

__all__ = ["BlockWeights", "loses_format"]

Array = npt.NDArray[Any]
Ends: TypeAlias = "tuple[Indices, Indices]"


class BlockWeights:
    """Cuts block weights out of a linear's weight; a weight behind DequantizeLinear stays quantised.

    outputs_first: whether blocks are stored (outputs, inputs), as features-first products read them.
    """

    def __init__(self, linear: Linear, constants: Constants, *, outputs_first: bool) -> None:
        self._outputs_first = outputs_first
        node = linear.weight.producer()
        self._quantised = _Quantised.of(node, linear, constants) if node is not None else None
        self._linear = linear
        self._stored = None if self._quantised else linear.stored(constants)
        self._windows = (1,) * (linear.layout.rank - 2) if linear.layout.kind == "conv" and linear.layout.rank else ()

    def block(self, emitter: Emitter, role: str, block: Block, inputs: Indices | None = None) -> ir.Value:
        """One block's weight, as a constant or behind its own DequantizeLinear; inputs: in the order of this."""
        ends = (block.inputs if inputs is None else inputs, block.outputs)
        if self._quantised is not None:
            return self._quantised.block(emitter, role, ends, self._outputs_first)
        assert self._stored is not None
        if self._linear.slices:
            stack = emitter.constant(_cut_slices(self._stored, self._linear, ends), f"{role}/weight")
            picked = self._linear.picked
            return stack if picked is None else emitter.one("Gather", [stack, picked.inputs[1]], role, axis=0)
        part = _cut(self._linear.as_matrix(self._stored), ends, self._outputs_first)
        return emitter.constant(part.reshape(part.shape + self._windows), f"{role}/weight")


def loses_format(linear: Linear, found: Decomposition | None = None) -> Reason | None:
    """Why the blocks of a quantised weight would have to be stored in floating point; None where they need not be.

    Matrices of 8-bit integers with one scale, or one for each row or column, can be cut as they are, and those of 4 and
    8 bits with one for each group of inputs where blocks are whole groups (`in_groups`). found: the blocks.
    """
    node = linear.weight.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    values = node.inputs[0]
    kind = values.dtype or (values.const_value.dtype if values.const_value is not None else None)
    if node.attributes.get("block_size") is not None:
        if (own := group_size(linear)) and (found is None or in_groups(found, own) == found):
            return None
        size = node.attributes["block_size"].as_int()
        how = f"in groups of {size} entries with a scale each, which its blocks would cut"
    elif kind is not None and kind not in (ir.DataType.INT8, ir.DataType.UINT8):
        how = f"as {kind.name.lower()}"
    else:
        return None
    times = linear.dtype.bitwidth / kind.bitwidth if kind is not None else 0
    larger = f", {times:g} times as large" if times > 1 else ""
    told = f"{how}: blocks would have to be stored as {linear.dtype.name.lower()}{larger}"
    return Reason(Cause.QUANTISED, told)


def _cut(canonical: Array, ends: Ends, outputs_first: bool) -> Array:
    """The part of a canonical matrix (K, N) between some inputs and outputs."""
    inputs, outputs = ends
    if outputs_first:
        return np.ascontiguousarray(canonical.T[np.ix_(outputs, inputs)])
    return np.ascontiguousarray(canonical[np.ix_(inputs, outputs)])


def _cut_slices(stored: Array, linear: Linear, ends: Ends) -> Array:
    """The part of all matrices of a stored weight between some inputs and outputs, as it is stored."""
    first = 0 if linear.layout.kind == "conv" else len(linear.slices)
    rows, columns = reversed(ends) if linear.transposed else ends
    return np.ascontiguousarray(np.take(np.take(stored, rows, axis=first), columns, axis=first + 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Quantised:
    """The operands of the DequantizeLinear that makes a weight; axis: of the scales, in canonical (K, N), or None;
    group: how many inputs share a scale where there is one for each group of them and each output, else None."""

    values: Array
    scale: Array
    zero: Array | None
    axis: int | None
    group: int | None
    attributes: dict[str, Any]

    @staticmethod
    def of(node: ir.Node, linear: Linear, constants: Constants) -> _Quantised | None:
        group = group_size(linear)
        if node.op_type != "DequantizeLinear" or (node.attributes.get("block_size") is not None and group is None):
            return None
        values, scale, *rest = (None if v is None else constants.read(v) for v in node.inputs)
        if values is None or scale is None or values.ndim != 2:
            return None
        if group is not None:
            zero = rest[0] if rest else None
            if linear.transposed:
                values, scale, zero = values.T, scale.T, None if zero is None else zero.T
            return _Quantised(values, scale, zero, 0, group, dict(node.attributes))
        if values.dtype not in (np.int8, np.uint8):
            return None
        axis = node.attributes.get("axis")
        stored_axis = (axis.as_int() if axis else 1) % 2
        return _Quantised(
            values.T if linear.transposed else values,
            scale,
            rest[0] if rest else None,
            None if scale.size == 1 else stored_axis ^ linear.transposed,
            None,
            {k: v for k, v in node.attributes.items() if k != "axis"},
        )

    def block(self, emitter: Emitter, role: str, ends: Ends, outputs_first: bool) -> ir.Value:
        """A DequantizeLinear of one block's part of the operands. Raises PlanError for a block that cuts a group."""
        scaled = ends
        if self.group is not None:
            groups = groups_of(ends[0], self.group, self.values.shape[0])
            if groups is None:
                what = f"a block cuts a group of {self.group} inputs that share a scale"
                raise PlanError(f"{emitter.linear.address}: {what}; make a new plan")
            scaled = groups, ends[1]
        inputs = [emitter.constant(_cut(self.values, ends, outputs_first), f"{role}/quantised")]
        for name, array in (("scale", self.scale), ("zero_point", self.zero)):
            if array is not None:
                inputs.append(emitter.constant(self._scaled(array, scaled, outputs_first), f"{role}/{name}"))
        attributes = self.attributes | ({} if self.axis is None else {"axis": self.axis ^ outputs_first})
        return emitter.node("DequantizeLinear", inputs, role, attributes)[0]

    def _scaled(self, array: Array, ends: Ends, outputs_first: bool) -> Array:
        """The part of scales or zero points that stands between some inputs, or groups of them, and outputs."""
        if self.group is not None:
            return _cut(array, ends, outputs_first)
        return array if self.axis is None else array[ends[self.axis]]
