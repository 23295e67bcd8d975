"""New nodes and constants with names that cannot clash, each carrying where it came from; touches no graph."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.axes.region import Inner
from ....ir.graph.linear import Linear
from ....ir.graph.recurrent import Recurrent
from ....ir.io.tensors import graphs
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.provenance import ORIGIN, ROLE

__all__ = ["Emitter", "Names"]


class Names:
    """Every name taken in a model: values and nodes, in all graphs and functions."""

    def __init__(self, model: ir.Model) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        for graph in graphs(model):
            self._taken.update(value.name or "" for value in graph.inputs)
            self._taken.update(getattr(graph, "initializers", {}))
            for node in graph:
                self._taken.add(node.name or "")
                self._taken.update(value.name or "" for value in node.inputs if value is not None)
                self._taken.update(value.name or "" for value in node.outputs)

    def is_free(self, name: str) -> bool:
        """Whether nobody has a name."""
        return name not in self._taken

    def fresh(self, wish: str) -> str:
        """`wish`, or the first of `wish_1`, `wish_2` … that nobody has; never given twice."""
        name, number = wish, self._next.get(wish, 0)
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        self._next[wish] = number
        return name


class Emitter:
    """Collects the nodes and constants that stand in for one operator or one recurrent direction, in order."""

    def __init__(self, origin: Linear | Recurrent | Inner, names: Names) -> None:
        self.origin = origin
        self.opset = origin.opset
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []
        self.names = names
        self._base = origin.node.name or origin.output.name or origin.op

    @property
    def linear(self) -> Linear:
        """The linear that is taken apart."""
        assert isinstance(self.origin, Linear)
        return self.origin

    @property
    def cell(self) -> Recurrent:
        """The direction of a recurrent operator that is taken apart."""
        assert isinstance(self.origin, Recurrent)
        return self.origin

    def node(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        role: str,
        attributes: dict[str, Any] | None = None,
        outputs: int = 1,
        domain: str = "",
        unused: Container[int] = (),
    ) -> list[ir.Value]:
        """Append a node named `<origin>/<role>/<op>`; returns its output values, those `unused` without a name."""
        name = self.names.fresh(f"{self._base}/{role}/{op}")
        # Value names follow the node's, so that a viewer groups them alike.
        values = [
            ir.Value(name="")
            if index in unused
            else ir.Value(name=self.names.fresh(f"{name}_output_{index}"), type=self._type(op))
            for index in range(outputs)
        ]
        self.nodes.append(
            ir.Node(
                domain,
                op,
                inputs,
                [
                    attribute if isinstance(attribute, ir.Attr) else _attr(key, attribute)
                    for key, attribute in (attributes or {}).items()
                ],
                outputs=values,
                name=name,
                doc_string=self.origin.node.doc_string,
                metadata_props={**self.origin.node.metadata_props, ORIGIN: self.origin.address, ROLE: role},
            )
        )
        return values

    def one(self, op: str, inputs: Sequence[ir.Value | None], role: str, **attributes: Any) -> ir.Value:
        """Append a node with one output and return that."""
        return self.node(op, inputs, role, attributes)[0]

    def constant(self, array: npt.NDArray[Any], role: str) -> ir.Value:
        """A new constant; the rewrite decides whether it becomes an initializer or a Constant node."""
        name = self.names.fresh(f"{self._base}/{role}")
        array = np.ascontiguousarray(array).reshape(array.shape)
        tensor = ir.Tensor(array, name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        self.constants.append(value)
        return value

    def integers(self, values: Sequence[int] | npt.NDArray[np.int64], role: str) -> ir.Value:
        """A one-dimensional int64 constant."""
        return self.constant(np.asarray(values, np.int64).reshape(-1), role)

    def _type(self, op: str) -> ir.TensorType | None:
        kind = ir.DataType.INT64 if op == "Shape" else self.origin.dtype
        return None if kind is None else ir.TensorType(kind)


def _attr(name: str, value: Any) -> ir.Attr:
    return ir.convenience.convert_attribute(name, value)
