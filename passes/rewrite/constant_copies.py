"""Constants that a change of a graph makes: copies with other places along their axes, numbers, sums of biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.constant_permutation import operand_orders, problem
from ...ir.graph.constants import Constants
from ...ir.graph.node import FLOATS
from ...ir.graph.survey import Survey
from ...ir.io.tensors import read
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.decomposition import Indices
from ...ir.provenance import ORIGIN, ROLE
from ..lowering.nodes.emitter import Names
from .edit import INITIALIZERS_ARE_INPUTS, inherit

__all__ = ["Copies", "NewConstants"]


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Copies of the constants of one model under new names; equal ones are made once.

    role: what they are for, as their names and metadata say it; addresses: of all nodes of the model.
    """

    model: ir.Model
    found: Survey
    names: Names
    role: str
    addresses: Mapping[ir.Node, str]
    made: dict[Any, ir.Value] = field(default_factory=dict)

    def taken(self, value: ir.Value, places: Mapping[int, Indices]) -> ir.Value:
        """A constant with only these places along some of its axes, in this order; read when it is written.

        Operators over constants that keep every place apart get a twin; others are computed.
        """
        key = (value, tuple((axis, places[axis].tobytes()) for axis in sorted(places)))
        if key in self.made:
            return self.made[key]
        node = value.producer()
        extents = [*self.found.constants.describe(value)[0]]
        for axis, taken in places.items():
            extents[axis] = taken.size
        new = ir.Value(name=self.names.fresh(f"{value.name}/{self.role}"), type=value.type, shape=ir.Shape(extents))
        twin = node is not None and node.op_type != "Constant" and not problem(value, self.found.constants)
        if node is None or not twin:
            new.const_value = self._lazily(value, places, extents, new.name or "")
            new.type = new.type or ir.TensorType(new.const_value.dtype)
            self.model.graph.register_initializer(new)
            if (self.model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
                self.model.graph.inputs.append(new)
        else:
            self._twin(node, new, value, places)
        inherit(new, value)
        new.meta.clear()  # what was inferred of the other
        self.made[key] = new
        return new

    def _twin(self, node: ir.Node, new: ir.Value, value: ir.Value, places: Mapping[int, Indices]) -> None:
        needed = operand_orders(node, places, self.found.constants)
        assert needed is not None and node.graph is not None  # or there were a problem
        operands = [
            self.taken(operand, needed[index]) if operand and index in needed else operand
            for index, operand in enumerate(node.inputs)
        ]
        twin = ir.Node(
            node.domain,
            node.op_type,
            operands,
            list(node.attributes.values()),
            outputs=[new],
            name=self.names.fresh(f"{node.name or value.name}/{self.role}/{node.op_type}"),
            doc_string=node.doc_string,
            metadata_props={**node.metadata_props, ORIGIN: self.addresses[node], ROLE: self.role},
        )
        node.graph.insert_after(node, twin)

    def _lazily(self, value: ir.Value, places: Mapping[int, Indices], extents: list[int], name: str) -> ir.LazyTensor:
        """What is stored, its places taken whenever it is read: what is large stays in its file until then."""
        dtype = self.found.constants.describe(value)[1]
        stored = value.const_value
        array = self.found.constants.read(value) if stored is None else None

        def taken() -> ir.TensorProtocol:
            held = read(stored) if array is None else array
            for axis, order in places.items():
                held = np.take(held, order, axis=axis)
            return ir.Tensor(held, dtype=dtype, name=name)

        return ir.LazyTensor(taken, dtype, ir.Shape(extents), name=name)


@dataclass(frozen=True, slots=True, eq=False)
class NewConstants:
    """New initializers of a model; role: what they are for, as their names say it."""

    model: ir.Model
    names: Names
    role: str

    def array(self, numbers: npt.NDArray[Any], wish: str, dtype: ir.DataType | None = None) -> ir.Value:
        """An array as an initializer."""
        name = self.names.fresh(f"{wish}/{self.role}")
        tensor = ir.Tensor(numbers, dtype=dtype, name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(numbers.shape), const_value=tensor)
        self.model.graph.register_initializer(value)
        if (self.model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
            self.model.graph.inputs.append(value)
        return value

    def integers(self, numbers: Sequence[int], wish: str) -> ir.Value:
        """A vector of int64."""
        return self.array(np.asarray(numbers, np.int64).reshape(-1), wish)

    def is_constant(self, value: ir.Value) -> bool:
        """Whether a value is a constant of the model as it is by now."""
        return value in Constants(self.model)

    def is_float(self, value: ir.Value) -> bool:
        """Whether a value is one of floats."""
        constants = Constants(self.model)
        return value in constants and constants.describe(value)[1] in FLOATS

    def is_plain(self, value: ir.Value) -> bool:
        """Whether it is one that is stored."""
        return value.const_value is not None and self.is_constant(value)

    def sum_of(self, bias: ir.Value | None, added: npt.NDArray[np.float64], *, like: ir.Value | None) -> ir.Value:
        """A constant and what is added to it, in float64 and rounded once; alone, of the type of another constant."""
        constants = Constants(self.model)
        source = bias if bias is not None else like
        assert source is not None
        kind = constants.describe(source)[1]
        total = added if bias is None else constants.read(bias).astype(np.float64) + added
        return self.array(total.astype(kind.numpy()), f"{source.name}/sum", kind)
