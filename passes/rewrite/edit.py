"""The edits that every rewrite is made of: constants come in, values take the place of others, what is unread goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ir.graph.linear import Linear
from ...ir.graph.recurrent import Recurrent
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.provenance import ORIGIN, ROLE
from ..lowering.nodes.emitter import Names
from ..lowering.nodes.sharing import Sharing

__all__ = ["INITIALIZERS_ARE_INPUTS", "adopt", "drop_unread", "inherit", "name_by_address", "register"]

INITIALIZERS_ARE_INPUTS = 4  # before this IR version every initializer had to be a graph input


def name_by_address(linears: Iterable[Linear], names: Names) -> None:
    """Give nodes without a name of their own the one in their address, which counts nodes: new ones would shift it."""
    for linear in linears:
        wish = linear.address.rpartition("/")[2]
        if (not linear.node.name or not linear.address.endswith(linear.node.name)) and names.is_free(wish):
            linear.node.name = names.fresh(wish)


def inherit(result: ir.Value, output: ir.Value) -> None:
    """Give a value the notes of the one whose place it takes."""
    result.doc_string = output.doc_string
    result.metadata_props.update(output.metadata_props)
    result.meta.update(output.meta)


def register(
    model: ir.Model,
    linear: Linear | Recurrent | None,
    graph: Any,
    constants: Iterable[ir.Value],
    names: Names,
    sharing: Sharing | None,
) -> None:
    """New constants become initializers of the main graph, visible everywhere, and before IR version 4 its inputs as
    well, as all others are (Constant nodes held only floats then); in functions, which have no initializers, they
    become Constant nodes in front of all others. linear: whose they are, None for those of the main graph; sharing:
    what is stored there already, and read from there; None for what no two operators share."""
    for value in constants:
        # ONNX Runtime fuses a DequantizeLinear with its product only where nobody else reads its operands.
        alone = any(node.op_type == "DequantizeLinear" for node in value.consumers())
        place = None if linear is None or not linear.in_function else graph
        first = value if alone or sharing is None else sharing.first(value, place)
        if first is not value:
            ir.convenience.replace_all_uses_with(value, first)
            continue
        if linear is None or not linear.in_function:
            model.graph.register_initializer(value)
            if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
                model.graph.inputs.append(value)
            continue
        tensor = value.const_value
        value.const_value = None
        node = ir.Node(
            "",
            "Constant",
            [],
            [ir.Attr("value", ir.AttributeType.TENSOR, tensor)],
            outputs=[value],
            name=names.fresh(f"{value.name}/Constant"),
            metadata_props={**linear.node.metadata_props, ORIGIN: linear.address, ROLE: "constant"},
        )
        graph.insert_before(graph[0], node)


def drop_unread(model: ir.Model, value: ir.Value) -> None:
    """Remove a constant that nobody reads, and what it was computed from."""
    inputs_override = (model.ir_version or 0) >= INITIALIZERS_ARE_INPUTS  # such an input belongs to the interface
    pending = [value]
    while pending:
        value = pending.pop()
        if value.uses() or value.is_graph_output():
            continue
        node = value.producer()
        if node is not None:
            if node.graph is None or any(output.uses() or output.is_graph_output() for output in node.outputs):
                continue
            inputs = [v for v in node.inputs if v is not None]
            node.graph.remove(node, safe=True)
            pending.extend(inputs)
        elif value.is_initializer() and value.graph is not None:
            graph = value.graph
            if value.is_graph_input():
                if inputs_override:
                    continue
                graph.inputs.remove(value)
            del graph.initializers[value.name or ""]


def adopt(model: ir.Model, changed: ir.Model) -> None:
    """Make a model what `changed`, a copy of it that nobody else uses, is; the graph that it had is left as it was.

    >>> from onnx import helper
    >>> graphs = [helper.make_graph([], name, [], []) for name in ("old", "new")]
    >>> made = [ir.from_proto(helper.make_model(graph, ir_version=10)) for graph in graphs]
    >>> adopt(*made)
    >>> made[0].graph.name
    'new'
    """
    model.graph = changed.graph
    model.functions.clear()
    model.functions.update(changed.functions)
    model.ir_version = changed.ir_version
    model.metadata_props.clear()
    model.metadata_props.update(changed.metadata_props)
    for name in ("doc_string", "domain", "model_version", "producer_name", "producer_version"):
        setattr(model, name, getattr(changed, name))
