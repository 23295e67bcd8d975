"""From the edited graph back to protobuf, with everything that onnx_ir cannot hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import onnx

from ..errors import ModelError
from ..onnx_ir import onnx_ir as ir
from ..onnx_ir import quiet
from .load import InlineTensor, Model, first_line
from .put_back import put_back
from .stand_in import SparseTensor, restore
from .tensors import fill_slot, tensor_slots

__all__ = ["Swap", "home_of", "reference", "swapped", "to_proto"]

Swap: TypeAlias = "tuple[Any, Any, Any, Any]"  # where it is, as `tensor_slots` says; a tensor; the other one

LARGE = 1 << 14  # bytes of a tensor that is not held twice for a comparison


def to_proto(model: Model, graph: ir.Model) -> onnx.ModelProto:
    """Serialise `graph`, an edited copy of `model`, with everything that onnx_ir drops as `model` had it.

    Inline tensors of the source file stay references to it.
    """
    kept = model.kept
    with swapped(graph, _sparse_references(graph) if kept.carried else ()):
        proto = _written(model, graph)
    if kept.proto is not None:
        put_back(proto, _written(model, _unedited(model.graph)), kept.proto)
        restore(proto, kept)
    return proto


def _written(model: Model, graph: ir.Model) -> onnx.ModelProto:
    try:
        with quiet():
            return ir.to_proto(graph)
    except Exception as error:  # onnx_ir raises whatever its parts raise
        raise ModelError(f"{model.name}: the graph cannot be written: {first_line(error)}") from error


def _unedited(read: ir.Model) -> ir.Model:
    """A model as the passes would clone it, which nobody edits; no large tensor is in it a second time."""
    graph = read.clone()
    for holder, key, tensor in tensor_slots(graph):
        if isinstance(tensor, SparseTensor):
            fill_slot(holder, key, tensor.reference())
        elif not isinstance(tensor, ir.ExternalTensor) and tensor.nbytes > LARGE:
            fill_slot(holder, key, reference(tensor, "/unedited", None, None))
    return graph


def reference(tensor: Any, location: str, offset: int | None, length: int | None) -> ir.ExternalTensor:
    """A tensor that says the same of itself and lies elsewhere."""
    return ir.ExternalTensor(
        location,
        offset,
        length,
        tensor.dtype,
        shape=tensor.shape,
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )


def _sparse_references(graph: ir.Model) -> Iterator[Swap]:
    for holder, key, tensor in tensor_slots(graph):
        if isinstance(tensor, SparseTensor):
            yield holder, key, tensor, tensor.reference()


@contextmanager
def swapped(graph: ir.Model, swaps: Iterable[Swap]) -> Iterator[None]:
    """Other tensors in the graph, for as long as the context lasts."""
    done = list(swaps)
    try:
        for holder, key, _, other in done:
            fill_slot(holder, key, other)
        yield
    finally:
        for holder, key, tensor, _ in done:
            fill_slot(holder, key, tensor)


def home_of(model: Model, graph: ir.Model) -> str | None:
    """The file in which inline tensors of `graph` lie, a path without links; None when there are none."""
    if model.home is not None:
        return str(model.home.file)
    return next((tensor.file for _, _, tensor in tensor_slots(graph) if isinstance(tensor, InlineTensor)), None)
