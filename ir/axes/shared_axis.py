"""Shared axes: features that many values of the main graph carry in one order, which nobody outside need ever see.

The hidden units of a feed-forward network are one, and so is the residual stream of a transformer. Where nothing pins
the order, it can be any other, at no cost at run time: the constants along the shared axis are permuted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from ..disjoint_sets import DisjointSets
from ..errors import ModelError
from ..graph.linear import Linear
from ..graph.operators import MEASURING, is_one_of
from ..graph.survey import Survey
from ..io.tensors import graphs_within
from ..onnx_ir import onnx_ir as ir
from .axis_rule import Operand, Place, Sizes
from .axis_rules import axis_rule, is_pointwise
from .constant_permutation import problem

__all__ = ["Dim", "SharedAxis", "axis_groups", "find_shared_axes"]

Dim: TypeAlias = "tuple[Place, int]"  # an axis of a value or constant, counted from the first, 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedAxis:
    """Axes of values and constants whose features are in one order, counted from the first, 0.

    value, axis: the first of its members, by name, and the axis that the features lie on; size: how many features;
    members: all of them; constants: those that another order would permute, each as one node reads it; readers,
    writers: addresses of the linears whose inputs, or whose outputs, the features are; pinned: why they have to stay in
    their order, empty where they need not.
    """

    value: str
    axis: int
    size: int
    members: tuple[tuple[ir.Value, int], ...]
    constants: tuple[tuple[Operand, int], ...]
    readers: tuple[str, ...]
    writers: tuple[str, ...]
    pinned: str = ""


def find_shared_axes(found: Survey, model: ir.Model) -> tuple[SharedAxis, ...]:
    """The shared axes of the main graph that linears read or write, in the order of those; `found` is of this model.

    What leaves the main graph is pinned: inputs and outputs, values that bodies and functions read. So is what an
    operator does to features when it is not known, or a rank. Best after shape inference; reads no large weight.

    >>> import onnx
    >>> from ..graph.shapes import infer_shapes
    >>> from ..graph.survey import survey
    >>> nodes = [onnx.helper.make_node(*n) for n in (("MatMul", "xu", "a"), ("Relu", "a", "b"), ("MatMul", "bv", "y"))]
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> weights = [onnx.helper.make_tensor(n, 1, shape, range(8)) for n, shape in (("u", [2, 4]), ("v", [4, 2]))]
    >>> graph = onnx.helper.make_graph(nodes, "g", [x], [y], weights)
    >>> model = ir.from_proto(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]))
    >>> infer_shapes(model)
    >>> [(axis.value, axis.size, axis.pinned) for axis in find_shared_axes(survey(model), model)]
    [('x', 2, 'x is an input of the model'), ('a', 4, ''), ('y', 2, 'y is an output of the model')]
    """
    links = _Links(Sizes(found.constants))
    _pin_outside(links, model)
    for node in model.graph:
        _link(links, node, model)
    here = [linear for linear in found.linears if linear.node.graph is model.graph]
    sides: dict[Dim, tuple[list[str], list[str]]] = {}
    for linear in here:
        for dim, side in zip(_dims(linear), (0, 1), strict=True):
            if dim in links.sets:
                sides.setdefault(links.sets.root(dim), ([], []))[side].append(linear.address)
    members = links.sets.groups()
    reasons = links.reasons(members)
    shared_axes = [_shared_axis(links, members[root], reasons.get(root, ""), *sides[root]) for root in sides]
    return tuple(shared_axis for shared_axis in shared_axes if shared_axis is not None)


def axis_groups(node: ir.Node, sizes: Sizes) -> list[tuple[Dim, ...]] | str:
    """The axes of what one node reads and makes that have their features in one order, whatever order that is.

    A group of one axis alone is one whose order does not matter. Text is the reason why nothing is known of it. What is
    in no group has to stay in its order, for all that is known. Learns the extents of results that ONNX does not infer.
    """
    rule = axis_rule(node, sizes)
    if isinstance(rule, str):
        return rule
    sizes.learn(node, rule)
    alone = rule.mixed.difference(*rule.same)
    places: dict[tuple[bool, int], Place] = {(True, index): value for index, value in enumerate(node.outputs)}
    for index, value in enumerate(node.inputs):
        if value is not None:
            places[False, index] = sizes.place(node, index)
    return [
        tuple((places[ref.is_result, ref.slot], ref.axis) for ref in group)
        for group in (*rule.same, *((ref,) for ref in sorted(alone)))
    ]


def _shared_axis(
    links: _Links, dims: list[Dim], pinned: str, readers: list[str], writers: list[str]
) -> SharedAxis | None:
    values = [(place, axis) for place, axis in dims if isinstance(place, ir.Value)]
    named = [(place.name, axis) for place, axis in values if place.name]
    sizes = {extent for dim in dims if (extent := links.sizes.extent(*dim)) is not None}
    if not named:
        return None
    return SharedAxis(
        value=named[0][0],
        axis=named[0][1],
        size=max(sizes),
        members=tuple(values),
        constants=tuple((place, axis) for place, axis in dims if isinstance(place, Operand)),
        readers=tuple(readers),
        writers=tuple(writers),
        pinned=pinned,
    )


def _dims(linear: Linear) -> tuple[Dim, Dim]:
    """The axes of a linear's weight along its inputs and along its outputs: its first two, behind a stack."""
    weight = Operand(linear.node, list(linear.node.inputs).index(linear.factor))
    first = 0 if linear.layout.kind == "conv" else len(linear.slices)
    rows, columns = (weight, first), (weight, first + 1)
    return (columns, rows) if linear.transposed else (rows, columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Links:
    """Dimensions joined into sets, and what speaks against moving them."""

    sizes: Sizes
    sets: DisjointSets[Dim] = field(default_factory=DisjointSets)
    pins: dict[Dim, str] = field(default_factory=dict)
    whole: dict[Place, str] = field(default_factory=dict)
    checked: dict[Operand, str] = field(default_factory=dict)

    def tie(self, dims: tuple[Dim, ...]) -> None:
        """Join dimensions; those with a single feature have no order."""
        dims = tuple(dim for dim in dims if self.sizes.extent(*dim) != 1)
        for dim in dims:
            if isinstance(dim[0], Operand) and (why := self._problem(dim[0])):
                self.pins.setdefault(dim, why)
            self.sets.join(dim, dims[0])

    def pin(self, place: Place, why: str, but: frozenset[Dim] = frozenset()) -> None:
        """Keep all dimensions of a value in their order, but some."""
        extents = self.sizes.of(place)
        if extents is None:
            self.whole.setdefault(place, why)
            return
        for axis, extent in enumerate(extents):
            if extent != 1 and (place, axis) not in but:
                self.pins.setdefault((place, axis), why)

    def reasons(self, members: dict[Dim, list[Dim]]) -> dict[Dim, str]:
        """Why sets are pinned, those that are."""
        found: dict[Dim, str] = {}
        for dim, why in self.pins.items():
            if dim in self.sets:
                found.setdefault(self.sets.root(dim), why)
        for root, dims in members.items():
            sizes = sorted({extent for dim in dims if (extent := self.sizes.extent(*dim)) is not None})
            unknown = [self.whole[place] for place, _ in dims if place in self.whole]
            if unknown:
                found.setdefault(root, unknown[0])
            elif len(sizes) != 1:
                found.setdefault(root, f"extents {', '.join(map(str, sizes)) or 'unknown'} along one dimension")
        return found

    def _problem(self, operand: Operand) -> str:
        if operand not in self.checked:
            try:
                self.checked[operand] = problem(operand.value, self.sizes.constants)
            except ModelError as error:
                self.checked[operand] = str(error)
        return self.checked[operand]


def _pin_outside(links: _Links, model: ir.Model) -> None:
    """Pin what is not the main graph's own business."""
    main = model.graph
    for value in main.inputs:
        links.pin(value, f"{value.name} is an input of the model")
    for value in main.outputs:
        links.pin(value, f"{value.name} is an output of the model")
    inside = graphs_within(main)
    for graph in inside:
        for value in graph.outputs:
            links.pin(value, f"{value.name} leaves a branch or loop")
    if not inside:
        return
    values = [*main.inputs, *main.initializers.values(), *(value for node in main for value in node.outputs)]
    for value in values:
        if any(use.node.graph is not main for use in value.uses()):
            links.pin(value, f"{value.name} is read inside a branch or loop")


def _link(links: _Links, node: ir.Node, model: ir.Model) -> None:
    """Join and pin what one node reads and makes."""
    constants = links.sizes.constants
    if node.outputs and node.outputs[0] in constants:  # then all of them are
        return  # a constant is looked at where it is read
    called = bool(model.functions) and node.op_identifier() in model.functions
    if not called and is_pointwise(node, links.sizes) and _link_aligned(links, node):
        return
    results = [value for value in node.outputs if value.uses() or value.is_graph_output()]
    operands = [value for value in node.inputs if value is not None and value not in constants]
    if is_one_of(node, MEASURING):
        operands = []
        found = axis_groups(node, links.sizes)
    elif called:
        found = "is a local function"
    else:
        found = axis_groups(node, links.sizes)
    label = f"{node.name} ({node.op_type})" if node.name else str(node.op_type)
    if isinstance(found, str):
        for value in (*operands, *results):
            links.pin(value, f"{label} {found}")
        return
    for tie in found:
        links.tie(tie)
    tied = frozenset(dim for tie in found for dim in tie)
    for value in (*operands, *results):
        links.pin(value, f"{label} needs its features where they are", but=tied)


def _link_aligned(links: _Links, node: ir.Node) -> bool:
    """Join what a node reads and makes that computes element by element, every axis being one of others, so that none
    is pinned; whether it is so."""
    sizes = links.sizes
    rule = axis_rule(node, sizes)
    if isinstance(rule, str) or len(node.outputs) != 1:
        return False
    sizes.learn(node, rule)
    made = sizes.of(node.outputs[0])
    if made is None or len(made) != len(rule.same):
        return False
    places: list[Place | None] = [
        None if value is None else sizes.place(node, index) for index, value in enumerate(node.inputs)
    ]
    for group in rule.same:
        dims = [(node.outputs[slot] if is_result else places[slot], axis) for is_result, slot, axis in group]
        links.tie(tuple((place, axis) for place, axis in dims if place is not None))
    return True
