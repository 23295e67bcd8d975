"""What is known of every value of a main graph before it runs, from its first operator to its last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....ir.axes.axis_rule import AxisRule, RuleView, Sizes
from ....ir.axes.axis_rules import axis_rule
from ....ir.errors import ModelError
from ....ir.graph.constants import Constants
from ....ir.graph.node import FLOATS
from ....ir.graph.operators import (
    ATTENTION,
    BOUNDED,
    CONVOLUTIONS,
    EXPERTS,
    INTEGER_CONVOLUTIONS,
    RECURRENT,
    ROUNDING,
    is_one_of,
)
from ....ir.onnx_ir import onnx_ir as ir
from .attention import attended, heads_of
from .cells import RecurrentCells, cells_of
from .elementwise import ELEMENTWISE
from .integers import INTEGERS
from .interval import Interval, constant, tidied, unknown
from .moving import MOVING
from .oddities import Oddities, diverges
from .packed_attention import mixed, packed_heads
from .products import PRODUCTS
from .rounding import RoundedView, nearness
from .scan import Scan
from .windows import WINDOWS

__all__ = ["Facts", "facts_of"]

SEQUENCES = 3  # axes of what a recurrent operator reads: positions, batch, features
INTEGERS_INSIDE = 4  # the accuracy level from which MatMulNBits quantises what it multiplies
MAKING_INTEGERS = ROUNDING | {"MatMulNBits"}
FEW = 8  # bounds of an operand that are compared with those of other nodes
OTHERS: dict[str, Any] = {**INTEGERS, **MOVING, **PRODUCTS, **WINDOWS}


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is known of one model: `rules` of its nodes, bounds of its values, and the extents of both.

    quantised: nodes of which something is rounded to integers later on, which makes much of what rounding makes of a
    result that is computed another way; odd: nodes that may make NaN or infinity of what constants hold; near: what
    rounding may come to; cells: recurrent operators; scans: what is known of the entries of constants.
    """

    sizes: Sizes
    rules: Mapping[ir.Node, AxisRule | str]
    quantised: Collection[ir.Node] = ()
    odd: set[ir.Node] = field(default_factory=set)
    near: float = 0.0
    bounds: dict[ir.Value, Interval] = field(default_factory=dict)
    cells: dict[ir.Node, RecurrentCells] = field(default_factory=dict)
    scans: Mapping[ir.Value, Scan] = field(default_factory=dict)
    _told: dict[tuple[Any, ...] | None, list[Interval | None] | None] = field(
        default_factory=dict
    )  # see `_transferred`
    _looks: dict[int, tuple[Interval, Any]] = field(default_factory=dict)  # by identity

    def of(self, value: ir.Value) -> Interval | None:
        """Bounds of a value; None where not even its rank is known."""
        if value in self.bounds:
            return self.bounds[value]
        extents = self.sizes.of(value)
        if extents is None:
            return None
        return self._constant(value) if value in self.sizes.constants else unknown(len(extents))

    def looks_of(self, one: Interval) -> Any:
        """What bounds look like, the same for bounds that are the same; None for many."""
        if id(one) not in self._looks:
            few = one.low.size <= FEW
            sides = (one.unit, one.low.shape, one.low.tobytes(), one.high.shape, one.high.tobytes()) if few else None
            self._looks[id(one)] = one, sides
        return self._looks[id(one)][1]

    def _constant(self, value: ir.Value) -> Interval:
        shape, kind = self.sizes.constants.describe(value)
        if kind not in FLOATS and not kind.is_integer() and kind != ir.DataType.BOOL:
            return unknown(len(shape))
        try:
            self.bounds[value] = constant(self.sizes.constants.read(value))
        except ModelError:
            self.bounds[value] = unknown(len(shape))
        return self.bounds[value]


def facts_of(model: ir.Model, constants: Constants, visit: Callable[[ir.Node], None] | None = None) -> Facts:
    """The facts of a main graph whose shapes were inferred; reads every weight once, one at a time.

    visit: called with each node while its weights are at hand, so that whoever reads them does not do so again.
    """
    sizes = Sizes(constants)
    rules: dict[ir.Node, AxisRule | str] = {}
    oddities = Oddities(sizes)
    quantised, near = _quantised(model.graph, constants), nearness(model.graph, constants)
    facts = Facts(sizes, rules, quantised, near=near, scans=oddities.scans)
    functions = model.functions
    for node in model.graph:
        if node.outputs and node.outputs[0] in constants:  # then all of them are
            continue
        called = bool(functions) and node.op_identifier() in functions
        rules[node] = rule = "is a local function" if called else axis_rule(node, sizes)
        with constants.reading_once():
            _learn(facts, oddities, node, rule)
            if visit is not None:
                visit(node)
    return facts


def _learn(facts: Facts, oddities: Oddities, node: ir.Node, rule: AxisRule | str) -> None:
    """What is known of the results of one node, those before it known."""
    sizes = facts.sizes
    if oddities.meets(node):
        facts.odd.add(node)
    if isinstance(rule, str) and node.op_type in ATTENTION and _attend(facts, RuleView(node, sizes.constants, sizes)):
        return
    if isinstance(rule, str) and is_one_of(node, RECURRENT):
        _recur(facts, node)
        return
    if isinstance(rule, str) and node.op_type in EXPERTS:
        _mix(facts, node)
        return
    if isinstance(rule, str):
        # A product needs no rule of its axes where the weight tells them, as that of a convolution in groups.
        if not is_one_of(node, CONVOLUTIONS | INTEGER_CONVOLUTIONS):
            return
        rule = AxisRule(same=(), ranks={})
    sizes.learn(node, rule)
    if node in facts.odd:
        return
    found = _transferred(facts, node, rule)
    if found is None:
        facts.odd.add(node)
        oddities.spread(node)
        return
    for value, one in zip(node.outputs, found, strict=False):
        if one is None or value in oddities.masked:
            continue
        extents = sizes.of(value)
        if extents is not None and one.rank <= len(extents):
            facts.bounds[value] = _of_rank(one, len(extents))


def _attend(facts: Facts, view: RuleView) -> bool:
    """Learn the extents and bounds of the result of an attention operator; whether its heads are told apart."""
    heads = heads_of(view)
    packed = packed_heads(view) if heads is None else None
    found = heads or packed
    if found is None:
        return False
    result, values = view.node.outputs[0], view.operand(0 if packed is not None else 2)
    if facts.sizes.of(result) is None:
        facts.sizes.learned[result] = found.extents
    bounds = None if values is None or view.node in facts.odd else facts.of(values)
    if bounds is not None:
        one = attended(heads, bounds) if heads is not None else mixed(packed, bounds) if packed is not None else bounds
        if not one.is_unknown:
            facts.bounds[result] = one
    return True


def _mix(facts: Facts, node: ir.Node) -> None:
    """Learn the extents of what experts make, which are those of what they read."""
    read, result = node.inputs[0] if node.inputs else None, node.outputs[0]
    extents = None if read is None else facts.sizes.of(read)
    if extents is not None and facts.sizes.of(result) is None:
        facts.sizes.learned[result] = extents


def _recur(facts: Facts, node: ir.Node) -> None:
    """Learn the extents and bounds of the results of a recurrent operator."""
    read = node.inputs[0] if node.inputs else None
    extents = None if read is None else facts.sizes.of(read)
    if read is None or extents is None or len(extents) != SEQUENCES:
        return
    known = None if node in facts.odd else facts.of(read)
    with suppress(ModelError, ValueError, IndexError, TypeError):  # an invalid node
        cells = cells_of(RuleView(node, facts.sizes.constants, facts.sizes), known)
        if cells is None:
            return
        facts.cells[node] = cells
        long, batch, _ = extents
        state = cells.count, batch, cells.hidden
        for value, one, own in zip(node.outputs, cells.bounds(), ((long, *(state)), state, state), strict=False):
            if value.name and facts.sizes.of(value) is None:
                facts.sizes.learned[value] = own
            if value.name and one is not None and node not in facts.odd and not one.is_unknown:
                facts.bounds[value] = one


def _quantised(graph: ir.Graph, constants: Constants) -> set[ir.Node]:
    """The nodes from which a value comes to an operator that makes it integers."""
    found: set[ir.Node] = set()
    if MAKING_INTEGERS.isdisjoint([node.op_type for node in graph]):
        return found
    for node in reversed(graph):
        first = node.inputs[0] if node.inputs else None
        own = node.op_type in ROUNDING and first is not None and first not in constants
        level = node.attributes.get("accuracy_level")
        own = own or (node.op_type == "MatMulNBits" and level is not None and level.as_int() >= INTEGERS_INSIDE)
        if own or any(use.node in found for value in node.outputs for use in value.uses()):
            found.add(node)
    return found


def _of_rank(one: Interval, rank: int) -> Interval:
    """The same with axes of extent 1 in front."""
    lead = rank - one.rank
    if not lead:
        return one
    moved = one.moved(lambda side: side.reshape((1,) * lead + side.shape))
    return Interval(moved.low, moved.high, None if one.unit is None else one.unit + lead)


def _transferred(facts: Facts, node: ir.Node, rule: AxisRule) -> list[Interval | None] | None:
    """What is known of the results of a node, None of those of which nothing is; None where constants make them
    something that is not finite."""
    op = str(node.op_type)
    transfer = OTHERS.get(op)
    if op not in ELEMENTWISE and transfer is None:
        return []
    if op in ELEMENTWISE and _computes_integers(node, facts.sizes.constants):
        return []
    given = []
    for index, value in enumerate(node.inputs):
        if value is not None:
            weight = op in PRODUCTS and op != "Einsum" and index == 1 and value in facts.sizes.constants
            weight |= op in ("MatMul", "FusedMatMul") and index == 0 and value in facts.sizes.constants
            one = unknown(len(facts.sizes.of(value) or ())) if weight else facts.of(value)
            if one is None:
                return []
            given.append(one)
    key = _key(facts, node, given)
    if key in facts._told:
        return facts._told[key]
    found = _computed(RoundedView(node, facts.sizes.constants, facts.sizes, facts.near), rule, given)
    if key is not None:
        facts._told[key] = found
    return found


def _key(facts: Facts, node: ir.Node, given: Sequence[Interval]) -> tuple[Any, ...] | None:
    """What tells nodes apart whose results are bounded differently, where bounds are few and nothing else does."""
    if node.op_type not in BOUNDED:
        return None
    sides = [facts.looks_of(one) for one in given]
    return None if None in sides else (node.op_type, node.outputs[0].dtype, *sides)


def _computed(view: RoundedView, rule: AxisRule, given: Sequence[Interval]) -> list[Interval | None] | None:
    """What an operator makes of bounds; None where constants make something of them that is not finite."""
    op = str(view.node.op_type)
    transfer = OTHERS.get(op)
    with np.errstate(all="ignore"):
        try:
            found = ELEMENTWISE[op](view, given) if transfer is None else transfer(view, rule, given)
        except (ModelError, ValueError, IndexError, KeyError, TypeError):  # an invalid node, or a stale shape
            return []
        results: list[Interval | None] = list(found) if isinstance(found, list) else [found]
        if diverges(view.node, given, results[0]):
            return None
        tidy = [None if one is None else tidied(one) for one in results]
        return [None if one is None or one.is_unknown else one for one in tidy]


def _computes_integers(node: ir.Node, constants: Constants) -> bool:
    """Whether an operand or the result is of integers: their arithmetic is another one.

    A power is of the type of what is raised, and may be raised to an integer.
    """
    read = node.inputs[:1] if node.op_type == "Pow" else node.inputs
    kinds: set[ir.DataType | None] = {
        constants.describe(value)[1] for value in read if value is not None and value in constants
    }
    kinds.update(value.dtype for value in node.outputs[:1])
    return any(kind is not None and kind.is_integer() for kind in kinds)
