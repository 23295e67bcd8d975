"""Extents that a model computes while it runs, as exporters write the targets of an Expand or Reshape."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..graph.node import NodeView
from ..graph.operators import OF_SIZES, RESHAPING, is_standard
from ..onnx_ir import onnx_ir as ir
from .axis_rule import Sizes

__all__ = ["Extent", "computed_extents"]

Extent: TypeAlias = "int | str | None"  # a name, which is no negative number; None where it is not known

OF_TWO: dict[str, Callable[[int, int], int]] = {
    "Add": operator.add,
    "Equal": operator.eq,
    "Mul": operator.mul,
    "Sub": operator.sub,
}
LONGEST = 64  # entries of a shape
DEEPEST = 48  # operators one after another
INTEGERS = (6, 7)  # int32, int64 in ONNX's own numbers
SAME = (RESHAPING - {"Flatten"}) | {"Identity"}  # of a vector or a number
Known: TypeAlias = "dict[ir.Value, list[Extent] | None]"


def computed_extents(value: ir.Value, sizes: Sizes) -> list[Extent] | None:
    """The entries of a vector of extents, one of a number; None where nothing is known of it.

    Raises ModelError when a constant cannot be read.
    """
    #     Shape(x) → Gather 0 → Concat with [6, 2, 32] → Where(Equal(·, -1), 1, ·)         ['n', 6, 2, 32]
    return _followed(value, sizes, DEEPEST, {})


def _followed(value: ir.Value, sizes: Sizes, depth: int, known: Known) -> list[Extent] | None:
    """The same, each value looked at once: what a model computes of extents meets again and again."""
    if value not in known:
        known[value] = None
        known[value] = _entries(value, sizes, depth, known)
    return known[value]


def _entries(value: ir.Value, sizes: Sizes, depth: int, known: Known) -> list[Extent] | None:
    node = value.producer()
    if value in sizes.constants:
        shape, kind = sizes.constants.describe(value)
        few = len(shape) < 2 and sum(shape) <= LONGEST and (kind.is_integer() or kind == ir.DataType.BOOL)
        return [int(number) for number in sizes.constants.read(value).reshape(-1)] if few else None
    if node is None or not is_standard(node) or node.op_type not in OF_SIZES or not depth or not node.inputs:
        return None
    if (own := sizes.of(value)) is None or len(own) > 1:  # of a matrix nothing is told: Gather takes its rows
        return None
    first = node.inputs[0]
    if node.op_type == "Shape" and first is not None:
        return _measured(node, sizes.of(first))
    given = [None if one is None else _followed(one, sizes, depth - 1, known) for one in node.inputs]
    if given[0] is None or len(given[0]) > LONGEST:
        return None
    if node.op_type in SAME or (node.op_type == "Cast" and node.attributes["to"].as_int() in INTEGERS):
        return given[0]
    if any(one is None for one in given):
        return None
    return _made(NodeView(node, sizes.constants), [one for one in given if one is not None])


def _measured(node: ir.Node, extents: Sequence[Extent] | None) -> list[Extent] | None:
    if extents is None:
        return None
    start, end = (node.attributes[name].as_int() if name in node.attributes else None for name in ("start", "end"))
    return list(extents)[start:end]


def _made(view: NodeView, given: list[list[Extent]]) -> list[Extent] | None:
    """What an operator makes of vectors of which something is known."""
    first, *rest = given
    if view.node.op_type == "Concat":
        return [entry for one in given for entry in one]
    if view.node.op_type == "Gather":
        places = [place for place in rest[0] if isinstance(place, int) and -len(first) <= place < len(first)]
        return [first[place] for place in places] if len(places) == len(rest[0]) else None
    if view.node.op_type == "Slice":
        ends = [one[0] if len(one) == 1 else None for one in rest]
        whole = len(ends) in (2, 3) or (len(ends) == 4 and ends[3] == 1)
        start, end = ends[:2] if whole else (None, None)
        return first[start:end] if isinstance(start, int) and isinstance(end, int) else None
    if view.node.op_type == "ConstantOfShape" and len(first) == 1 and isinstance(first[0], int):
        held = view.node.attributes.get("value")
        whole = held is not None and held.as_tensor().dtype.is_integer() and 0 <= first[0] <= LONGEST
        return [int(held.as_tensor().numpy().item())] * first[0] if held is not None and whole else None
    return _elementwise(view.node.op_type, given)


def _elementwise(op: str, given: list[list[Extent]]) -> list[Extent] | None:
    longest = max(map(len, given))
    fit = all(len(one) in (1, longest) for one in given) and longest
    if (op not in OF_TWO and op != "Where") or not fit:
        return None
    return [_of(op, entries) for entries in zip(*(one * (longest // len(one)) for one in given), strict=True)]


def _of(op: str, entries: Sequence[Extent]) -> Extent:
    if op == "Where":
        chosen, yes, no = entries
        return (yes if chosen else no) if isinstance(chosen, int) else yes if yes == no else None
    a, b = entries
    if isinstance(a, int) and isinstance(b, int):
        return int(OF_TWO[op](a, b))
    if op == "Mul" and 1 in entries:
        return b if a == 1 else a
    numbers = [entry for entry in entries if isinstance(entry, int)]
    if op == "Equal" and None not in entries and (a == b or (numbers and numbers[0] < 0)):
        return int(a == b)
    return None
