"""Graphs of onnx_graphsurgeon as models, and models as such graphs, with what that library would lose on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, helper, numpy_helper

from ..errors import ModelError

__all__ = ["SurgeonGraph", "exported", "imported", "is_surgeon_graph"]

LIBRARY = "onnx_graphsurgeon"
NOTES = "_scission_notes"  # what such a graph or node has no place for, beside it
OF_MODELS = ("doc_string", "domain", "model_version", "metadata_props", "training_info", "configuration")
OF_GRAPHS = ("metadata_props", "quantization_annotation")
OF_NODES = ("doc_string", "metadata_props", "device_configurations")
OF_FUNCTIONS = ("metadata_props",)
OF_TENSORS = ("doc_string", "metadata_props")
NARROW = frozenset(  # several of them share a byte in a file, and none does in numpy
    np.dtype(getattr(ml_dtypes, name))
    for name in ("int4", "uint4", "float4_e2m1fn", "int2", "uint2")
    if hasattr(ml_dtypes, name)
)


class SurgeonGraph(Protocol):
    """An onnx_graphsurgeon.Graph, as far as it is asked for."""

    inputs: Any
    import_domains: Any

    def tensors(self) -> Any:
        """All tensors, by name."""


def is_surgeon_graph(source: Any) -> bool:
    """Whether this is a graph of onnx_graphsurgeon, which then is imported already.

    >>> is_surgeon_graph("model.onnx")
    False
    """
    library = sys.modules.get(LIBRARY)
    return library is not None and isinstance(source, library.Graph)


def exported(graph: Any) -> onnx.ModelProto:
    """The model that an onnx_graphsurgeon.Graph says; the graph stays as it is.

    Values of 4 bits that were made in Python are packed, which the library's own exporter does not do, and metadata
    that `imported` put aside are written again. Raises ModelError for what it cannot export, such as an output without
    a type.
    """
    library = sys.modules[LIBRARY]
    domains = graph.import_domains
    graph.import_domains = None if domains is None else list(domains)  # the exporter adds to them
    try:
        with _packed(graph):
            model: onnx.ModelProto = library.export_onnx(graph)
    except Exception as error:  # asserts, UnboundLocalError and its own class: whatever stopped it
        told = str(error).strip() or type(error).__name__
        raise ModelError(
            f"graph {graph.name!r}: onnx_graphsurgeon cannot export it: {told}; give inputs and outputs a dtype, or "
            "give the onnx.ModelProto that it was imported from"
        ) from error
    finally:
        graph.import_domains = domains
    model.MergeFrom(vars(graph).get(NOTES, onnx.ModelProto()))
    _note(graph, model.graph)
    for function, written in zip(graph.functions, model.functions, strict=True):
        written.MergeFrom(vars(function).get(NOTES, onnx.FunctionProto()))
        _note_nodes(function.nodes, written.node)
    return model


def _note(graph: Any, written: GraphProto) -> None:
    """Write down again what was put aside of a graph and of its nodes."""
    written.MergeFrom(vars(graph).get(f"{NOTES}_of_graph", GraphProto()))
    tensors = _tensors(graph)
    for one in _named(written):
        if (held := vars(tensors[one.name]).get(_of_kind(one))) is not None:
            one.ClearField("metadata_props")  # the library writes values that nobody has read as they came
            one.MergeFrom(held)
    _note_nodes(graph.nodes, written.node)


def _named(written: GraphProto) -> Iterator[Any]:
    """What a graph says of its tensors by their names."""
    return chain(written.input, written.output, written.value_info, written.initializer)


def _tensors(graph: Any) -> dict[str, Any]:
    """The tensors of a graph by name, with inputs and outputs that no node has."""
    return {**graph.tensors(), **{tensor.name: tensor for tensor in (*graph.inputs, *graph.outputs)}}


def _of_kind(written: Any) -> str:
    """Under which name a tensor holds what was said of it, as an input that has a default is said to be twice."""
    return f"{NOTES}_of_{type(written).__name__}"


def _note_nodes(nodes: Sequence[Any], written: Sequence[NodeProto]) -> None:
    for node, proto in zip(nodes, written, strict=True):
        proto.MergeFrom(vars(node).get(NOTES, NodeProto()))
        for attribute in proto.attribute:
            if attribute.type == AttributeProto.GRAPH and not attribute.ref_attr_name:
                _note(node.attrs[attribute.name], attribute.g)


def _aside(written: Any, fields: Sequence[str]) -> Any:
    """The same message with nothing but some of its fields."""
    held = type(written)()
    for name in fields:
        if name not in written.DESCRIPTOR.fields_by_name:
            continue
        value = getattr(written, name)
        if hasattr(value, "add"):
            getattr(held, name).MergeFrom(value)
        elif written.HasField(name):
            setattr(held, name, value)
    return held


@contextmanager
def _packed(graph: Any) -> Iterator[None]:
    """A graph whose narrow constants are for a while as a file has them, several values in a byte."""
    library, lazy = sys.modules[LIBRARY], sys.modules[f"{LIBRARY}.ir.tensor"].LazyValues
    graphs = [graph, *graph.subgraphs(recursive=True), *graph.functions]
    constants = [one for part in graphs for one in part.tensors().values() if isinstance(one, library.Constant)]
    swapped = []
    try:
        for one in constants:
            values = one._values  # `values` would read what lies in the model's file still
            if isinstance(values, np.ndarray) and values.dtype in NARROW:
                swapped.append((one, values))
                one.values = lazy(numpy_helper.from_array(values, one.name))
        yield
    finally:
        for one, values in reversed(swapped):
            one.values = values


def imported(model: onnx.ModelProto) -> Any:
    """The onnx_graphsurgeon.Graph of a model, with what its importer passes over.

    That is initializers that are inputs too, and attributes that are types, sparse tensors or lists of tensors or
    graphs. Metadata and doc strings have no place in such a graph: they lie beside it, its nodes and its tensors, where
    `exported` finds them, and where copies that the library itself makes have none.
    """
    library = sys.modules[LIBRARY]
    graph = library.import_onnx(model)
    setattr(graph, NOTES, _aside(model, OF_MODELS))
    _carry(graph, model.graph)
    for function, written in zip(graph.functions, model.functions, strict=True):
        setattr(function, NOTES, _aside(written, OF_FUNCTIONS))
        _carry_attributes(function.nodes, written.node)
    return graph


def _carry(graph: Any, written: GraphProto) -> None:
    """Give a graph what its importer passed over, in it and in the graphs that its nodes hold."""
    tensors = graph.tensors()
    given = {tensor.name: tensor for tensor in written.initializer}
    known = {tensor.name for tensor in graph.inputs}
    if any(one.name not in known for one in written.input):
        by_name = {**tensors, **{tensor.name: tensor for tensor in graph.inputs}}
        library = sys.modules[LIBRARY]
        graph.inputs = [
            by_name.get(one.name) or library.Constant(one.name, numpy_helper.to_array(given[one.name]))
            for one in written.input
        ]
    setattr(graph, f"{NOTES}_of_graph", _aside(written, OF_GRAPHS))
    tensors = _tensors(graph)
    for one in _named(written):
        if one.name in tensors:
            setattr(tensors[one.name], _of_kind(one), _aside(one, OF_TENSORS))
    _carry_attributes(graph.nodes, written.node)


def _carry_attributes(nodes: Sequence[Any], written: Sequence[NodeProto]) -> None:
    for node, proto in zip(nodes, written, strict=True):
        setattr(node, NOTES, _aside(proto, OF_NODES))
        for attribute in proto.attribute:
            if attribute.ref_attr_name:
                continue
            if attribute.type == AttributeProto.GRAPH:
                _carry(node.attrs[attribute.name], attribute.g)
            elif attribute.name not in node.attrs:
                node.attrs[attribute.name] = helper.get_attribute_value(attribute)
