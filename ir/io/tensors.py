"""Tensors of a graph wherever they stand: found, read and put in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..files.reading import DATA, open_file
from ..onnx_ir import onnx_ir as ir

__all__ = ["constant_tensors", "fill_slot", "graphs", "read", "tensor_slots"]


def graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    """The main graph, every subgraph and every function, outermost first."""
    yield model.graph
    yield from model.graph.subgraphs()
    for function in model.functions.values():
        yield function
        yield from function.subgraphs()


def constant_tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every constant tensor of the model: initializers and tensor attributes, in all graphs and functions."""
    return (tensor for _, _, tensor in tensor_slots(model))


def tensor_slots(model: ir.Model) -> Iterator[tuple[Any, Any, Any]]:
    """(holder, key, tensor) of every constant tensor: key None for the value of an initializer, else an attribute."""
    for graph in graphs(model):
        for value in list(getattr(graph, "initializers", {}).values()):
            if value.const_value is not None:
                yield value, None, value.const_value
        for node in graph:
            for attribute in list(node.attributes.values()):
                if attribute.is_ref():
                    continue
                if attribute.type == ir.AttributeType.TENSOR:
                    yield node, attribute.name, attribute.value
                elif attribute.type == ir.AttributeType.TENSORS:
                    for index, tensor in enumerate(attribute.value):
                        yield node, (attribute.name, index), tensor


def fill_slot(holder: Any, key: Any, tensor: ir.TensorProtocol) -> None:
    """Put another tensor where `tensor_slots` found one."""
    if key is None:
        holder.const_value = tensor
    elif isinstance(key, str):
        doc = holder.attributes[key].doc_string
        holder.attributes[key] = ir.Attr(key, ir.AttributeType.TENSOR, tensor, doc_string=doc)
    else:
        name, index = key
        held = holder.attributes[name]
        tensors = list(held.value)
        tensors[index] = tensor
        holder.attributes[name] = ir.Attr(name, ir.AttributeType.TENSORS, tensors, doc_string=held.doc_string)


def read(tensor: Any) -> npt.NDArray[Any]:
    """The tensor as an array of its own, in ONNX shape and type; what it costs is freed with the array.

    Raises ModelError when the file behind it cannot be read any more, or when its bytes do not fit its shape.
    """
    try:
        return _read(tensor)
    except (OSError, ValueError, TypeError, IndexError, AssertionError) as error:
        where = f"{tensor.path}: " if isinstance(tensor, ir.ExternalTensor) else ""
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"{where}weight {tensor.name!r} cannot be read: {why}; export the model again") from error


def _read(tensor: Any) -> npt.NDArray[Any]:
    if not isinstance(tensor, ir.ExternalTensor) or tensor.dtype.bitwidth < 8:
        return np.asarray(tensor.numpy())
    data: npt.NDArray[np.uint8] = np.empty(tensor.nbytes, np.uint8)
    with open_file(tensor.path, DATA) as file:
        file.seek(tensor.offset or 0)
        filled = file.readinto(data.data)
    if filled != data.size:
        raise OSError(0, "the file became shorter")
    return data.view(np.dtype(tensor.dtype.numpy())).reshape(tensor.shape.numpy())
