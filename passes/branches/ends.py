"""Where branches end: operators that read the values of several, and what is read of single ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...ir.graph.linear import only_use
from ...ir.graph.node import from_first
from ...ir.onnx_ir import onnx_ir as ir
from .packing.packed import Pack, Packed
from .packing.recipe import Fixed, Made, Ref, copied, integers, turned_back
from .rules.reducing import axes_are_operands
from .summing import products_of, scaled, summed

__all__ = ["End", "across", "ended", "ends_of", "left"]

# Max and Min are none of them: runtimes differ in what the reducing operators make of NaN.
CHAINED = {"Add": "ReduceSum", "Mul": "ReduceProd"}
MATRIX = 2
VARIADIC = {"Sum": "ReduceSum", "Mean": "ReduceMean"}


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """Nodes that join the values of some branches into one: the last of them, all of them, and the branches in order.

    op: 'Concat', or the operator that reduces.
    """

    node: ir.Node
    nodes: tuple[ir.Node, ...]
    lanes: tuple[int, ...]
    op: str


def ends_of(values: Sequence[ir.Value], positions: Mapping[ir.Node, int]) -> list[End]:
    """What joins these values: operators that read nothing else, and chains of operators of two operands."""
    lane = {value: index for index, value in enumerate(values)}
    found = list(_variadic(lane, positions))
    for op, reducing in CHAINED.items():
        found += _chains(lane, op, reducing, positions)
    return sorted(found, key=lambda end: positions[end.node])


def _variadic(lane: Mapping[ir.Value, int], positions: Mapping[ir.Node, int]) -> Iterator[End]:
    readers = dict.fromkeys(
        reader for value in lane for reader in value.consumers() if reader in positions and len(reader.inputs) > 1
    )
    for node in readers:
        if node.domain not in ("", "ai.onnx") or (node.op_type not in VARIADIC and node.op_type != "Concat"):
            continue
        lanes = [lane.get(value) if value is not None else None for value in node.inputs]
        known = [one for one in lanes if one is not None]
        if len(known) == len(lanes) == len(set(known)):
            yield End(node, (node,), tuple(known), VARIADIC.get(node.op_type, "Concat"))


def _chains(lane: Mapping[ir.Value, int], op: str, reducing: str, positions: Mapping[ir.Node, int]) -> Iterator[End]:
    """Trees of operators of two operands whose leaves are the values, each read there alone."""
    parts: dict[ir.Value, tuple[tuple[int, ...], tuple[ir.Node, ...]]] = {}
    parts.update((value, ((index,), ())) for value, index in lane.items())
    stack = list(lane)
    while stack:
        for node in stack.pop().consumers():
            operands = [value for value in node.inputs if value is not None]
            if node.op_type != op or node not in positions or node.domain not in ("", "ai.onnx") or len(operands) != 2:
                continue
            if node.outputs[0] in parts or not all(one in parts and only_use(one) is not None for one in operands):
                continue
            (one, before), (other, after) = (parts[value] for value in operands)
            if set(one).isdisjoint(other):
                parts[node.outputs[0]] = (*one, *other), (*before, *after, node)
                stack.append(node.outputs[0])
    inner = {value for _, nodes in parts.values() for node in nodes[-1:] for value in node.inputs}
    for value, (lanes, nodes) in parts.items():
        if nodes and value not in inner:
            yield End(nodes[-1], nodes, lanes, reducing)


def ended(pack: Pack, packed: Packed, ends: Sequence[End]) -> Packed | None:
    """The results of ends that share out all branches evenly, a branch each; the result itself where it is one end.

    None where their branches do not lie one after another, or shapes are not known enough.
    """
    order = [lane for end in ends for lane in end.lanes]
    count, each = len(ends), len(ends[0].lanes)
    if len(order) != count * each or sorted(order) != list(range(len(packed.values))):
        return None
    outputs = tuple(end.node.outputs[0] for end in ends)
    op = ends[0].op
    if op == "Concat":
        ref = _joined(pack, packed, ends, order)
        return None if ref is None else Packed(outputs, "same", ref)
    products = products_of(packed)
    products = None if products is None else scaled(products, op, each)
    if products is not None and count == 1 and packed.rank == MATRIX:
        return Packed(outputs, "same", summed(pack, products, outputs[0]))
    ref = _reduced(pack, packed, op, count, each, order)
    return None if ref is None else Packed(outputs, "same" if count == 1 else "stack", ref, products=products)


def _ordered(pack: Pack, value: Ref, order: Sequence[int], like: ir.Value) -> Ref:
    if list(order) == list(range(len(order))):
        return value
    return pack.made("Gather", value, integers(order, "order"), like=like, axis=0)


def _reduced(pack: Pack, packed: Packed, op: str, count: int, each: int, order: Sequence[int]) -> Ref:
    shape, like = packed.shape, packed.values[0]
    if shape is None:
        return None
    rank = len(shape)
    if packed.kind == "join" and count == 1 and shape[-1] is not None:
        apart = integers((*(0,) * (rank - 1), pack.lanes, shape[-1]), "shape")
        value: Ref = pack.made("Reshape", packed.ref, apart, like=like)
        return _reduce(pack, op, value, rank - 1, like)
    stacked = pack.stacked(packed)
    if stacked is None:
        return None
    if count == 1:
        return _reduce(pack, op, stacked, 0, like)
    if shape.count(None) > 1:
        return None
    rest = [-1 if one is None else one for one in shape]
    if across(order, count, each):
        return _reduce(
            pack, op, pack.made("Reshape", stacked, integers([each, count, *rest], "shape"), like=like), 0, like
        )
    value = _ordered(pack, stacked, order, like)
    return _reduce(pack, op, pack.made("Reshape", value, integers([count, each, *rest], "shape"), like=like), 1, like)


def across(order: Sequence[int], count: int, each: int) -> bool:
    """Whether `count` ends take every `count`-th branch, beginning with the first of them.

    >>> across([0, 2, 4, 1, 3, 5], 2, 3), across([0, 1, 2, 3, 4, 5], 2, 3)
    (True, False)
    """
    return list(order) == [place * count + end for end in range(count) for place in range(each)]


def _reduce(pack: Pack, op: str, value: Ref, axis: int, like: ir.Value) -> Ref:
    if axes_are_operands(op, pack.opset):
        return pack.made(op, value, integers([axis], "axes"), like=like, keepdims=0)
    return pack.made(op, value, like=like, axes=[axis], keepdims=0)


def _joined(pack: Pack, packed: Packed, ends: Sequence[End], order: Sequence[int]) -> Ref:
    """What Concat of all branches makes, of one end only: Transpose and Reshape, fewer where an axis was just made."""
    shape, like = packed.shape, packed.values[0]
    if shape is None or len(ends) != 1:
        return None
    rank = len(shape)
    axis = from_first(int(ends[0].node.attributes["axis"].value), rank)
    if packed.kind == "join" and axis == rank - 1 and list(order) == list(range(len(order))):
        return packed.ref
    stacked = pack.stacked(packed)
    if stacked is None:
        return None
    made = packed.ref
    if isinstance(made, Made) and made.op == "Unsqueeze" and _axes(made) == [axis + 1]:
        inner = _ordered(pack, made.inputs[0], order, like)
        return _at(pack, inner, axis, rank, like)
    behind = shape[axis + 1 :]
    rest = [-1 if one is None else one for one in behind]
    own = shape[axis]
    if own is None and rest.count(-1):
        return None
    if rest.count(-1) > 1:
        return None
    along = -1 if own is None else own * pack.lanes
    before = copied(shape[:axis], [along, *rest])
    if before is None:
        return None
    turned = _at(pack, _ordered(pack, stacked, order, like), axis, rank + 1, like)
    return pack.made("Reshape", turned, integers([*before, along, *rest], "shape"), like=like)


def _axes(made: Made) -> list[int]:
    if "axes" in made.attributes:
        return list(made.attributes["axes"])
    axes = made.inputs[1]
    return [] if axes is None or isinstance(axes, ir.Value | Made) else [int(one) for one in axes.make()]


def _at(pack: Pack, value: Ref, axis: int, rank: int, like: ir.Value) -> Ref:
    """The first axis moved to another place."""
    if axis == 0:
        return value
    order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
    if (before := turned_back(value, order)) is not None:
        return before
    return pack.made("Transpose", value, like=like, perm=order)


def left(pack: Pack, packed: Packed, lane: int) -> Ref:
    """The value of one branch by itself, for whoever else reads it."""
    like = packed.values[lane]
    if packed.kind == "join":
        shape = packed.shape
        if shape is None or shape[-1] is None:
            return None
        start, last = lane * shape[-1], len(shape) - 1
        if pack.opset < 10:
            bounds = {"starts": [start], "ends": [start + shape[-1]], "axes": [last]}
            return Made("Slice", (packed.ref,), like, 1, bounds)
        operands = (integers([start], "start"), integers([start + shape[-1]], "end"), integers([last], "axis"))
        return Made("Slice", (packed.ref, *operands), like, 1)
    place = Fixed((), lambda: np.asarray(lane, np.int64), "place")
    own = Made("Gather", (packed.ref, place), like, 1, {"axis": 0})
    return Made("Transpose", (own,), like, 1, {"perm": [1, 0]}) if packed.kind == "turned" else own
