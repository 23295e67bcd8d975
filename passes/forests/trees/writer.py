"""New nodes and constants that stand in for a forest, named after it; touches no graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.provenance import ORIGIN, ROLE
from ...lowering.nodes.emitter import Names
from .forest import Array

__all__ = ["Writer"]

AXES_ARE_OPERANDS = {"ReduceSum": 13, "ReduceMin": 18, "ReduceMax": 18}  # since which operator set


class Writer:
    """Collects nodes and constants in order; base: what they are named after; origin: the address that they bear;
    opset: of the standard operators; notes: the metadata of what they stand in for, which they bear too."""

    def __init__(
        self, names: Names, base: str, origin: str, opset: int, notes: Mapping[str, str] | None = None
    ) -> None:
        self.opset = opset
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []
        self._names, self._base, self._notes = names, base, {**(notes or {}), ORIGIN: origin}

    def op(
        self, op: str, inputs: Sequence[ir.Value], role: str, *, domain: str = "", outputs: int = 1, **attributes: Any
    ) -> list[ir.Value]:
        """Append a node named `<base>/<role>/<op>`; returns its outputs."""
        name = self._names.fresh(f"{self._base}/{role}/{op}")
        values = [ir.Value(name=self._names.fresh(f"{name}_output_{index}")) for index in range(outputs)]
        attrs = [ir.convenience.convert_attribute(key, value) for key, value in attributes.items()]
        told = {**self._notes, ROLE: role}
        self.nodes.append(ir.Node(domain, op, inputs, attrs, outputs=values, name=name, metadata_props=told))
        return values

    def one(self, op: str, inputs: Sequence[ir.Value], role: str, **attributes: Any) -> ir.Value:
        """Append a node with one output and return that."""
        return self.op(op, inputs, role, **attributes)[0]

    def reduced(self, op: str, value: ir.Value, axis: int, role: str, *, keepdims: bool = False) -> ir.Value:
        """ReduceSum, ReduceMin or ReduceMax along one axis, which is an attribute or an operand."""
        keep = int(keepdims)
        if self.opset < AXES_ARE_OPERANDS[op]:
            return self.one(op, [value], role, axes=[axis], keepdims=keep)
        return self.one(op, [value, self.constant(np.array([axis]), f"{role}/axis")], role, keepdims=keep)

    def constant(self, array: Array | Sequence[int], role: str) -> ir.Value:
        """A new constant; Python numbers become int64."""
        held = np.asarray(array)
        name = self._names.fresh(f"{self._base}/{role}")
        texts = held.dtype == object
        tensor: ir.TensorProtocol = (
            ir.StringTensor([str(one).encode() for one in held], shape=ir.Shape(held.shape), name=name)
            if texts
            else ir.Tensor(np.ascontiguousarray(held).reshape(held.shape), name=name)
        )
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(held.shape), const_value=tensor)
        self.constants.append(value)
        return value
