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
    own = {id(value) for value in read.graph.initializers.values() if not value.metadata_props and not value.meta}
    heavy = [holder for holder, _, tensor in tensor_slots(read) if _is_heavy(tensor)]
    if not read.functions and own.issuperset(map(id, heavy)):
        return _beside(read)  # of a hundred thousand nodes no other is made
    graph = read.clone()  # of functions it leaves out what is written of them
    for holder, key, tensor in tensor_slots(graph):
        if _is_heavy(tensor):
            fill_slot(holder, key, _light(tensor))
    return graph


def _is_heavy(tensor: Any) -> bool:
    return isinstance(tensor, SparseTensor) or (not isinstance(tensor, ir.ExternalTensor) and tensor.nbytes > LARGE)


def _light(tensor: Any) -> ir.ExternalTensor:
    """What stands for a tensor that is heavy."""
    return tensor.reference() if isinstance(tensor, SparseTensor) else reference(tensor, "/unedited", None, None)


def _beside(read: ir.Model) -> ir.Model:
    """The nodes of a model, which stay its own, beside initializers of which none is large; those that are have no
    metadata."""
    graph = read.graph
    stubs = []
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None or not _is_heavy(tensor):
            stubs.append(value)
            continue
        light, words = _light(tensor), value.doc_string
        stubs.append(ir.Value(name=value.name, type=value.type, shape=value.shape, doc_string=words, const_value=light))
    beside: Any = ir.GraphView(
        graph.inputs,
        graph.outputs,
        nodes=graph,
        initializers=stubs,
        doc_string=graph.doc_string,
        opset_imports=graph.opset_imports,
        name=graph.name,
        metadata_props=graph.metadata_props,
    )
    return ir.Model(
        beside,
        ir_version=read.ir_version,
        producer_name=read.producer_name,
        producer_version=read.producer_version,
        domain=read.domain,
        model_version=read.model_version,
        doc_string=read.doc_string,
        metadata_props=dict(read.metadata_props),
        device_configurations=read.device_configurations,
    )


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
