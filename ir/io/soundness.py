"""What no runtime can run, told from the graph alone: no operator, no such operator set, functions in circles."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any

import onnx

from ..onnx_ir import onnx_ir as ir
from .tensors import every_node
from .written import Written

__all__ = ["as_counted", "mistyped", "unsound"]

STANDARD = frozenset({"", "ai.onnx"})
NEWEST = (1 << 31) - 1  # what any runtime counts to


def as_counted(version: int) -> int:
    """The operator set that ONNX Runtime takes a number in a model for: it sees the lower 32 bits. Else that number.

    >>> as_counted(17), as_counted((1 << 32) + 17), as_counted(-1)
    (17, 17, -1)
    """
    seen = version & ((1 << 32) - 1)
    return seen if 1 <= seen <= NEWEST else version


def unsound(model: ir.Model) -> str:
    """What is wrong with the model and what to do about it, in one line; empty where nothing is.

    >>> import onnx
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n"]) for name in "xy")
    >>> graph = onnx.helper.make_graph([onnx.NodeProto(name="odd", input=["x"], output=["y"])], "g", [x], [y])
    >>> unsound(ir.from_proto(onnx.helper.make_model(graph)))
    "node 'odd' has no operator; export the model again"
    """
    owners: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for owner in owners:
        for domain, version in owner.opset_imports.items():
            if domain in STANDARD and version is not None and not 1 <= version <= NEWEST:
                which = "a newer one" if version < 1 else "an older one"
                return f"operator set {version} does not exist; export the model again with {which}"
        if borrowed := _borrowed(owner):
            return (
                f"node {borrowed.name or borrowed.op_type!r} ({borrowed.op_type}) takes its graph from an attribute of "
                "its function, which nothing here can follow; put the function in the place of its calls first "
                "(onnx.inliner.inline_local_functions)"
            )
        for index, node in enumerate(every_node(owner)):
            if not node.op_type:
                return f"node {node.name or f'number {index}'!r} has no operator; export the model again"
    circle = _circle(model)
    if circle:
        names = " → ".join(f"{domain}.{name}" if domain else name for domain, name, _ in circle)
        return f"functions call each other in a circle ({names}), so none can run; export the model again"
    return ""


@functools.lru_cache(maxsize=4096)
def _types(op: str, version: int) -> Mapping[str, str]:
    """What the types of the attributes of a standard operator are called; nothing where ONNX knows no such operator."""
    try:
        schema = onnx.defs.get_schema(op, version)
    except onnx.defs.SchemaError:
        return {}
    kinds: dict[str, Any] = {name: one.type for name, one in schema.attributes.items()}
    return {name: kind.name for name, kind in kinds.items()}


def mistyped(proto: onnx.ModelProto, there: Collection[Written]) -> str:
    """Which attribute of a standard operator is of another type than that has, which every runtime refuses; else ''.

    there: the `bodies` of the model. Those of functions that nothing calls are not looked at, as no runtime does.
    """
    called = {(node.domain, node.op_type) for one in there for node in one.nodes} if proto.functions else set()
    held: dict[int | None, list[Written]] = {}
    for one in there:
        held.setdefault(one.function, []).append(one)
    functions = [place for place, one in enumerate(proto.functions) if (one.domain, one.name) in called]
    for place in (None, *functions):
        opsets = proto.opset_import if place is None else proto.functions[place].opset_import
        imports = {one.domain: one.version for one in opsets}
        version = min(as_counted(imports.get("", imports.get("ai.onnx", 1))), NEWEST)
        for node in (node for body in held[place] for node in body.telling if node.domain in STANDARD):
            types = _types(node.op_type, version)
            for one in node.attribute:
                kind = onnx.AttributeProto.AttributeType.Name(one.type)
                if not one.ref_attr_name and types.get(one.name, kind) != kind:
                    where = f"node {node.name or node.op_type!r} ({node.op_type})"
                    told = f"of the type {kind.lower()} instead of {types[one.name].lower()}"
                    return f"{where}: attribute {one.name!r} is {told}"
    return ""


def _borrowed(owner: ir.Graph | ir.Function) -> ir.Node | None:
    """A node whose body is a reference to an attribute of the function that it stands in; None where there is none."""
    stack = [iter(owner)]
    while stack:
        for node in stack.pop():
            for attribute in node.attributes.values() if node.attributes else ():
                if attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
                    continue
                if attribute.is_ref():
                    return node
                bodies = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else attribute.value
                stack += [iter(body) for body in bodies]
    return None


def _circle(model: ir.Model) -> list[ir.OperatorIdentifier]:
    """Functions each of which calls the next and the last the first; nothing where calls go one way only."""
    called = {
        identifier: list(dict.fromkeys(node.op_identifier() for node in function.all_nodes()))
        for identifier, function in model.functions.items()
    }
    done: set[ir.OperatorIdentifier] = set()
    for start in called:
        path, open_ = [start], [iter(called[start])]
        while path and start not in done:
            for callee in open_[-1]:
                if callee in path:
                    return [*path[path.index(callee) :], callee]
                if callee in called and callee not in done:
                    path.append(callee)
                    open_.append(iter(called[callee]))
                    break
            else:
                done.add(path.pop())
                open_.pop()
    return []
