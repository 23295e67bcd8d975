"""Whether a model is valid ONNX: onnx's own checker, asked about the graph without its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from typing import Any

import onnx

from ..onnx_ir import onnx_ir as ir
from .load import KNOWN_DOMAINS, Model

__all__ = ["bare", "foreign", "objection", "too_many"]

SMALL = 256  # entries; larger constants say nothing of shapes
FILLER = 1 << 26  # bytes of zeros in place of weights that cannot become inputs; past that nothing is asked
UNFOLDED = 1 << 16  # nodes that functions may unfold to: two calls of one another, 20 deep, are a million
NAMED = (re.compile(r"Name: (.+?) OpType: (\S+)"), re.compile(r"op_type:(?P<op>\S+?), node name: (?P<name>[^)]+)\)"))
PLACE = re.compile(r"\[\w+Error\] |Inference error\(s\): |\(op_type:.*?\): ")  # said in front of the line instead
BEYOND = "operator set {0} is newer than the {1} that onnx {2} knows"


def objection(model: Model) -> str:
    """What onnx's checker has against a model, naming the node where it does; empty where it takes the model.

    Weights are not looked at, so the cost is that of the graph. Nodes are in order, as they are in `model.graph`.
    What the checker cannot tell is no objection: operators of other domains, and functions that unfold endlessly.
    """
    newest = onnx.defs.onnx_opset_version()
    owners: list[ir.Graph | ir.Function] = [model.graph.graph, *model.graph.functions.values()]
    for owner in owners:
        version = owner.opset_imports.get("") or 0
        if version > newest:
            return BEYOND.format(version, newest, onnx.__version__)
    if _unfolded(model.graph) > UNFOLDED:
        return ""
    proto = bare(model)
    if proto is None:
        return ""
    try:
        onnx.checker.check_model(proto.SerializeToString(), full_check=True)
    except Exception as error:  # the checker and its shape inference share no base
        return _said(str(error))
    return ""


def foreign(model: ir.Model) -> bool:
    """Whether some operator belongs to a domain that neither onnx nor ONNX Runtime nor the model itself defines.

    >>> import onnx
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n"]) for name in "xy")
    >>> node = onnx.helper.make_node("Fold", ["x"], ["y"], domain="org.example")
    >>> foreign(ir.from_proto(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y]))))
    True
    """
    own = {(domain, name) for domain, name, _ in model.functions}
    owners: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    return any(
        node.domain not in KNOWN_DOMAINS and (node.domain, node.op_type) not in own
        for owner in owners
        for node in owner.all_nodes()
    )


def bare(model: Model) -> onnx.ModelProto | None:
    """The model with its large constants as inputs of the same type and shape: a graph that is small to look at.

    Large constants of subgraphs and functions become zeros. None where those would be too many, or where the graph
    cannot be written.
    """
    source = model.graph
    proto = onnx.ModelProto(ir_version=source.ir_version or 0)
    for domain, version in source.opset_imports.items():
        proto.opset_import.add(domain=domain, version=version or 0)
    graph = source.graph
    proto.graph.name = graph.name or "graph"
    try:
        for value in graph.inputs:
            ir.serde.serialize_value_into(proto.graph.input.add(), value)
        for value in graph.initializers.values():
            if value.const_value is not None and not value.is_graph_input():
                _add(proto.graph, value.name, value.const_value)
        for node in graph:
            constant = _constant(node)
            if constant is not None and not _small(constant):
                proto.graph.input.append(_input(node.outputs[0].name, constant))
                continue
            ir.serde.serialize_node_into(proto.graph.node.add(), node)
        for value in graph.outputs:
            ir.serde.serialize_value_into(proto.graph.output.add(), value)
        for function in source.functions.values():
            ir.serde.serialize_function_into(proto.functions.add(), function, create_value_info=False)
    except Exception:  # what onnx_ir cannot write it would not have read: nothing is known then
        return None
    return proto if _fill(proto) else None


def _add(graph: onnx.GraphProto, name: Any, tensor: Any) -> None:
    if _small(tensor):
        ir.serde.serialize_tensor_into(graph.initializer.add(), tensor)
        graph.initializer[-1].name = name
    else:
        graph.input.append(_input(name, tensor))


def _constant(node: ir.Node) -> Any:
    """The tensor of a Constant node; None for anything else."""
    value = node.attributes.get("value") if node.op_type == "Constant" and node.domain == "" else None
    return value.value if value is not None and not value.is_ref() and value.type == ir.AttributeType.TENSOR else None


def _small(tensor: Any) -> bool:
    return math.prod(tensor.shape.numpy()) <= SMALL and not isinstance(tensor, ir.ExternalTensor)


def _input(name: Any, tensor: Any) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, int(tensor.dtype), tensor.shape.numpy())


def _fill(proto: onnx.ModelProto) -> bool:
    """Put zeros in place of weights that lie in files; False where they would be too many."""
    left = FILLER
    for tensor in _tensors([*proto.graph.node, *(node for function in proto.functions for node in function.node)]):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        size = math.ceil(math.prod(tensor.dims) * ir.DataType(tensor.data_type).bitwidth / 8)
        left -= size
        if left < 0:
            return False
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        tensor.raw_data = bytes(size)
    return True


def _tensors(nodes: list[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    """The tensors of attributes and of subgraphs."""
    stack = list(nodes)
    while stack:
        for attribute in stack.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graph.initializer
                stack.extend(graph.node)


def _unfolded(model: ir.Model, functions: Collection[ir.OperatorIdentifier] | None = None) -> int:
    """How many nodes there are once every call of a function, or of these, is its body; nothing is unfolded for it."""
    inlined = model.functions.keys() if functions is None else functions
    sizes: dict[ir.OperatorIdentifier, int] = {}
    stack = list(inlined)
    while stack:  # callees first; nothing calls itself, which loading refuses
        top = stack[-1]
        called = {node.op_identifier() for node in model.functions[top].all_nodes()}
        waiting = [op for op in called if op in inlined and op not in sizes]
        if waiting:
            stack += waiting
            continue
        stack.pop()
        if top not in sizes:
            sizes[top] = sum(sizes.get(node.op_identifier(), 1) for node in model.functions[top].all_nodes())
    owners: list[ir.Graph | ir.Function] = [model.graph]
    owners += [function for name, function in model.functions.items() if name not in inlined]
    return sum(sizes.get(node.op_identifier(), 1) for owner in owners for node in owner.all_nodes())


def too_many(model: ir.Model, functions: Collection[ir.OperatorIdentifier] | None = None) -> int:
    """How many nodes functions, or these, would be in the place of their calls, where that is far more than there are;
    else 0."""
    if not model.functions:
        return 0
    owners: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    there = sum(1 for owner in owners for _ in owner.all_nodes())
    count = _unfolded(model, functions)
    return count if count > UNFOLDED + 8 * there else 0


def _said(text: str) -> str:
    """The first line of what the checker says, with the node that it means in front."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "it cannot be checked")
    line = PLACE.sub("", line).strip().rstrip(".") or "it cannot be checked"
    for pattern in NAMED:
        found = pattern.search(text)
        if found:
            groups = found.groupdict() or {"name": found[1], "op": found[2]}
            return f"node {groups['name']!r} ({groups['op']}): {line}"
    return line
