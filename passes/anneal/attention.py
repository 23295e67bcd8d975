"""Attention: which linears compute queries and keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...ir.graph.linear import Linear
from ...ir.graph.operators import AFFINE, ATTENTION, MOVING, NORMS, RESHAPING, is_one_of
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["queries_and_keys"]

# Operators that hand on what a linear made: moved, scaled, normalised or added to.
PASSED = AFFINE | {"Where"} | RESHAPING | MOVING | NORMS


def queries_and_keys(linears: Sequence[Linear]) -> frozenset[str]:
    """Addresses of the linears whose results meet in a product before a softmax, or in an attention operator."""
    made = {value: way.address for way in linears for value in (way.output, way.node.outputs[0])}
    found: set[str] = set()
    for graph in {way.node.graph for way in linears}:
        for node in graph or ():
            if node.op_type == "Softmax":
                products = _behind(node.inputs[:1], made)[1]
            elif node.op_type in ATTENTION and len(node.inputs) > 1:
                products = [node]
            else:
                continue
            for product in products:
                sides = [_behind([value], made)[0] for value in product.inputs[:2]]
                found |= sides[0] | sides[1] if all(sides) else set()
    return frozenset(found)


def _behind(values: Iterable[ir.Value | None], made: dict[ir.Value, str]) -> tuple[set[str], list[ir.Node]]:
    """(Linears, other products) whose results these values are, however these were moved, scaled or added to."""
    stack = list(values)
    seen: set[ir.Value] = set()
    found: set[str] = set()
    products: list[ir.Node] = []
    while stack:
        value = stack.pop()
        if value is None or value in seen:
            continue
        seen.add(value)
        node = value.producer()
        if value in made:
            found.add(made[value])
        elif node is not None and node.op_type == "MatMul":
            products.append(node)
        elif node is not None and is_one_of(node, PASSED):
            stack += node.inputs
    return found, products
