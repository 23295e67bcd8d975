"""Convolutions of one channel as sums in double precision: frames are cut in single precision, which is exact.

x (B, 1, T) ─ Conv with ones ─► frames (B, n, F) ─ in double: MatMul (n, outputs), bias ─► (B, outputs, F), rounded
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import scopes
from ....ir.graph.node import NodeView
from ....ir.graph.operators import is_standard
from ....ir.onnx_ir import onnx_ir as ir
from ...lowering.nodes.emitter import Names

__all__ = ["framing", "widen_frames"]

LARGEST = 2048  # samples of a frame that are cut by a convolution


def framing(model: ir.Model, addresses: Collection[str]) -> list[ir.Node]:
    """The convolutions of one channel of the main graph that are at these addresses and whose weights are known."""
    return list(_framing(model, addresses, Constants(model)))


def widen_frames(model: ir.Model, addresses: Collection[str], names: Names) -> None:
    """Compute those in double precision, and round once; changes the model."""
    constants = Constants(model)
    for node in [*_framing(model, addresses, constants)]:
        _widen(model, node, constants, names)


def _framing(model: ir.Model, addresses: Collection[str], constants: Constants) -> Iterator[ir.Node]:
    scope = next(scopes(model))
    for node in model.graph:
        if node.op_type != "Conv" or not is_standard(node) or scope.addresses[node] not in addresses:
            continue
        weight = node.inputs[1]
        if weight is None or weight not in constants or NodeView(node, constants).attribute("group", 1) != 1:
            continue
        shape, dtype = constants.describe(weight)
        if dtype == ir.DataType.FLOAT and len(shape) == 3 and shape[1] == 1 and 0 < shape[2] <= LARGEST:
            yield node


def _widen(model: ir.Model, node: ir.Node, constants: Constants, names: Names) -> None:
    """Put nodes of the same result in the place of a convolution."""
    nodes: list[ir.Node] = []

    def one(op: str, inputs: Sequence[ir.Value | None], dtype: ir.DataType, **attributes: Any) -> ir.Value:
        result = ir.Value(name=names.fresh(f"{node.outputs[0].name}/exact"), type=ir.TensorType(dtype))
        nodes.append(ir.node(op, inputs, attributes, outputs=[result], name=names.fresh(f"{node.name}/exact/{op}")))
        return result

    def held(array: np.ndarray[Any, Any]) -> ir.Value:
        name = names.fresh(f"{node.name}/exact")
        tensor = ir.Tensor(np.ascontiguousarray(array), name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
        model.graph.register_initializer(value)
        return value

    narrow, wide = ir.DataType.FLOAT, ir.DataType.DOUBLE
    weight = node.inputs[1]
    assert weight is not None
    whole = np.asarray(constants.read(weight), np.float64)[:, 0].T
    value = one("Conv", [node.inputs[0], held(np.eye(len(whole), dtype=np.float32)[:, None])], narrow)
    nodes[-1].attributes.update(node.attributes)
    value = one("Transpose", [one("Cast", [value], wide, to=int(wide))], wide, perm=[0, 2, 1])
    value = one("MatMul", [value, held(whole)], wide)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        value = one("Add", [value, one("Cast", [bias], wide, to=int(wide))], wide)
    value = one("Cast", [one("Transpose", [value], wide, perm=[0, 2, 1])], narrow, to=int(narrow))
    output = node.outputs[0]
    value.shape, value.type = output.shape, output.type
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], nodes, [output], [value])
