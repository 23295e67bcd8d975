"""Graphs of onnx_graphsurgeon as models, and models as such graphs, with what that library would lose on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, helper, numpy_helper

from ..errors import ModelError

__all__ = ["SurgeonGraph", "exported", "imported", "is_surgeon_graph"]

LIBRARY = "onnx_graphsurgeon"
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

    Values of 4 bits that were made in Python are packed, which the library's own exporter does not do. Raises
    ModelError for what it cannot export, such as an output without a type.
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
    return model


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
    graphs. Metadata have no place in such a graph: what a rewritten node came from is in its name and in the plan.
    """
    library = sys.modules[LIBRARY]
    graph = library.import_onnx(model)
    _carry(graph, model.graph)
    for function, written in zip(graph.functions, model.functions, strict=True):
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
    _carry_attributes(graph.nodes, written.node)


def _carry_attributes(nodes: Sequence[Any], written: Sequence[NodeProto]) -> None:
    for node, proto in zip(nodes, written, strict=True):
        for attribute in proto.attribute:
            if attribute.ref_attr_name:
                continue
            if attribute.type == AttributeProto.GRAPH:
                _carry(node.attrs[attribute.name], attribute.g)
            elif attribute.name not in node.attrs:
                node.attrs[attribute.name] = helper.get_attribute_value(attribute)
