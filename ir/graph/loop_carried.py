"""Hidden-to-hidden linears: products inside a Loop or Scan whose features are the states that the body carries on.

Such a weight is a graph over one set of states, not a bipartite one: output j becomes input j of the next turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..io.tensors import every_node
from ..onnx_ir import onnx_ir as ir
from .linear import Linear
from .operators import LOOPS, POINTWISE, is_one_of

__all__ = ["hidden_to_hidden"]


def hidden_to_hidden(model: ir.Model, linears: Iterable[Linear]) -> frozenset[str]:
    """The addresses of square linears in Loop and Scan bodies that map a state of the body to itself.

    Their activation comes from a state that enters the body, and their result reaches the same state where it leaves,
    both through elementwise operators alone.
    """
    inside: dict[ir.Graph, list[Linear]] = {}
    for linear in linears:
        graph = linear.node.graph
        if linear.shape[0] == linear.shape[1] and isinstance(graph, ir.Graph) and graph is not model.graph:
            inside.setdefault(graph, []).append(linear)
    if not inside:
        return frozenset()
    found: set[str] = set()
    for node in _nodes(model):
        body = node.attributes.get("body") if node.op_type in LOOPS else None
        if body is None or body.is_ref() or body.value not in inside:
            continue
        for enters, leaves in _states(node, body.value):
            after = _closure(enters, _forward)
            before = _closure(leaves, _backward)
            found |= {
                linear.address
                for linear in inside[body.value]
                if linear.activation in after and linear.node.outputs[0] in before and _keeps_axis(linear)
            }
    return frozenset(found)


def _nodes(model: ir.Model) -> Iterable[ir.Node]:
    yield from every_node(model.graph)
    for function in model.functions.values():
        yield from every_node(function)


def _states(node: ir.Node, body: ir.Graph) -> list[tuple[ir.Value, ir.Value]]:
    """(as it enters, as it leaves) of each state that a Loop or Scan carries from one turn to the next."""
    if node.op_type == "Loop":  # trip count and condition come before the states
        return list(zip(body.inputs[2 : len(node.inputs)], body.outputs[1 : len(node.inputs) - 1], strict=False))
    scanned = node.attributes.get("num_scan_inputs")
    if scanned is None or scanned.is_ref() or not 0 <= scanned.as_int() <= len(body.inputs):
        return []
    count = len(body.inputs) - scanned.as_int()
    return list(zip(body.inputs[:count], body.outputs[:count], strict=False))


def _closure(start: ir.Value, step: Callable[[ir.Value], Iterable[ir.Value]]) -> set[ir.Value]:
    found, stack = {start}, [start]
    while stack:
        new = set(step(stack.pop())) - found
        found |= new
        stack += new
    return found


def _forward(value: ir.Value) -> Iterable[ir.Value]:
    """What elementwise operators make of a value."""
    return (node.outputs[0] for node in value.consumers() if is_one_of(node, POINTWISE))


def _backward(value: ir.Value) -> Iterable[ir.Value]:
    """What an elementwise operator makes a value of."""
    node = value.producer()
    return (v for v in node.inputs if v is not None) if node is not None and is_one_of(node, POINTWISE) else ()


def _keeps_axis(linear: Linear) -> bool:
    """Whether features lie on the same axis of the result as of the activation."""
    return linear.layout.kind != "axes" or linear.layout.axis_in == linear.layout.axis_out
