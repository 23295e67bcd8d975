"""Other numbers in the weights of a model, such as those that training made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from ....ir.errors import ModelError
from ....ir.io.tensors import fill_slot
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.provenance import RETRAINED

__all__ = ["put_weights"]


def put_weights(model: ir.Model, weights: Mapping[str, npt.NDArray[Any]], note: str = "") -> ir.Model:
    """A copy of the model in which constants of the main graph hold other numbers; all else is as it was.

    weights: arrays of the shape and type stored, by the name of an initializer or of what a Constant node makes;
    note: how they came about, for the metadata.
    Raises ModelError where the main graph has no such constant, or one of another shape or type.

    >>> import numpy as np
    >>> from onnx import helper, numpy_helper
    >>> W = numpy_helper.from_array(np.zeros((2, 2), np.float32), "W")
    >>> model = ir.from_proto(helper.make_model(helper.make_graph([], "g", [], [], [W])))
    >>> put_weights(model, {"W": np.eye(2, dtype=np.float32)}).graph.initializers["W"].const_value.numpy()[0]
    array([1., 0.], dtype=float32)
    """
    copy = model.clone()
    slots = {name: (holder, key, tensor) for name, holder, key, tensor in _constants(copy.graph)}
    for name, array in weights.items():
        if name not in slots:
            raise ModelError(f"{name}: the model has no such constant to put other numbers into")
        holder, key, tensor = slots[name]
        made = ir.Tensor(array, name=tensor.name, doc_string=tensor.doc_string)
        old, new = ((tuple(one.shape.numpy()), one.dtype.name) for one in (tensor, made))
        if old != new:
            raise ModelError(
                f"{name}: holds {old[1]} of shape {old[0]}, which {new[1]} of shape {new[0]} cannot replace"
            )
        fill_slot(holder, key, made)
    if note:
        copy.metadata_props[RETRAINED] = note
    return copy


def _constants(graph: ir.Graph) -> Iterator[tuple[str, Any, str | None, Any]]:
    """(Name, holder, key, tensor) of every constant of a graph, for `fill_slot`."""
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            yield name, value, None, value.const_value
    for node in graph:
        if node.op_type == "Constant" and "value" in node.attributes and not node.attributes["value"].is_ref():
            yield str(node.outputs[0].name), node, "value", node.attributes["value"].value
