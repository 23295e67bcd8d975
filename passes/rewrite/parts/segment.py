"""A stretch of a model from some of its values to others, as a model of its own."""

from __future__ import annotations

from collections.abc import Collection

from ....ir.graph.node import subgraphs
from ....ir.io.tensors import every_node
from ....ir.onnx_ir import onnx_ir as ir
from ..edit import drop_unread

__all__ = ["drop_dead", "segment"]


def segment(model: ir.Model, start: str | None, end: str | None, outputs: Collection[str] | None = None) -> ir.Model:
    """What a model computes between two values of its main graph; changes nothing.

    start: the name of a value that it is given beside the inputs that it still needs, these alone where None; end: of
    the one that it makes, its outputs where None; outputs: those of the model that it makes too; by default
    all where there is no end, else none.
    """
    copy = model.clone()
    graph = copy.graph
    made = {value.name: value for node in graph for value in node.outputs}
    if outputs is None:
        outputs = {value.name or "" for value in graph.outputs} if end is None else ()
    kept = [value for value in graph.outputs if value.name in outputs]
    if end is not None and made[end] not in kept:
        kept.append(made[end])
    graph.outputs.clear()
    graph.outputs.extend(kept)
    if start is not None:
        old = made[start]
        given = ir.Value(name=start, type=old.type, shape=old.shape)
        ir.convenience.replace_all_uses_with(old, given)
        old.name = f"{start}/before"
        graph.inputs.append(given)
    drop_dead(copy)
    return copy


def drop_dead(model: ir.Model) -> None:
    """Remove what does not lead to the outputs of a model, its inputs too."""
    graph = model.graph
    live: set[ir.Node] = set()
    stack = [*graph.outputs]
    while stack:
        node = stack.pop().producer()
        if node is None or node in live:
            continue
        live.add(node)
        inside = [one for _, _, body in subgraphs(node) for one in every_node(body)]
        stack += [value for one in (node, *inside) for value in one.inputs if value is not None]
        stack += [value for _, _, body in subgraphs(node) for value in body.outputs]
    dead = [node for node in graph if node not in live]
    for node in reversed(dead):
        for within in [one for _, _, body in subgraphs(node) for one in every_node(body)]:
            for index in range(len(within.inputs)):
                within.replace_input_with(index, None)
        graph.remove(node, safe=True)
    for value in [value for value in graph.inputs if not value.uses() and not value.is_initializer()]:
        graph.inputs.remove(value)
    for value in [*graph.initializers.values()]:
        drop_unread(model, value)
