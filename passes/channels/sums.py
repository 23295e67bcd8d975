"""Sums over an axis of values of which none is a matrix of weights: which of their places add nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...ir.axes.axis_rule import Operand, RuleView
from ...ir.axes.shared_axis import Dim
from ...ir.graph.operators import ADDING_UP, is_standard
from ...ir.onnx_ir import onnx_ir as ir
from .axis_classes import Constraint, Masks
from .bounds.forward import Facts
from .bounds.interval import Bools

__all__ = ["Sum", "WeighedSum", "softmax_ignores", "sum_over", "sums_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """A sum over an axis of one value, or of products of several: zeros of any add nothing."""

    dims: Sequence[Dim]  # one of each, in one class
    free: Bools | None  # places that add nothing

    def hold(self, masks: Masks) -> None:
        """Keep what adds something."""
        for dim in self.dims:
            masks.keep(dim, True if self.free is None or self.free.size != masks.classes.extent(dim) else ~self.free)


@dataclass(frozen=True, slots=True, eq=False)
class WeighedSum:
    """The same where one factor is a constant of any number of axes, which tells what the places that stay read."""

    inner: Sequence[Dim]
    free: Bools
    weight: Operand
    along: int  # the axis of the weight that is summed over
    facts: Facts

    @property
    def outer(self) -> list[Dim]:
        """The other axes of the weight."""
        rank = len(self.facts.sizes.of(self.weight) or ())
        return [(self.weight, axis) for axis in range(rank) if axis != self.along]

    @property
    def dims(self) -> Sequence[Dim]:
        """Those that are summed over, and all others of the weight."""
        return *self.inner, *self.outer

    def hold(self, masks: Masks) -> None:
        """Keep what adds something to a place that stays."""
        if all(masks.of(dim).all() for dim in self.inner):
            return
        held = self.facts.sizes.constants.read(self.weight.value)
        reads = (held != 0) | ~np.isfinite(held)
        for dim in self.outer:
            reads = np.compress(masks.of(dim), reads, axis=dim[1])
        needed = reads.any(axis=tuple(axis for _, axis in self.outer)) & ~self.free
        for dim in self.inner:
            masks.keep(dim, needed)


def sums_of(node: ir.Node, facts: Facts) -> list[Constraint] | None:
    """The sums of a node over axes that its result lacks; None where it makes something else of them."""
    rule = facts.rules[node]
    if isinstance(rule, str):
        return None
    if node.op_type == "Einsum":
        groups = [[ref for ref in group if ref in rule.mixed] for group in rule.same]
        groups += [[ref] for ref in rule.mixed if not any(ref in group for group in groups)]
        return [sum_over(facts, node, [(ref.slot, ref.axis) for ref in group]) for group in groups if group]
    if node.op_type in ADDING_UP:
        return [sum_over(facts, node, [(0, ref.axis)]) for ref in rule.mixed]
    return None


def sum_over(facts: Facts, node: ir.Node, ends: Sequence[tuple[int, int]], *, shifts: bool = False) -> Constraint:
    """A sum over one axis of some operands of a node; shifts: whether what adds the same number to all that belongs to
    one column of the second adds nothing."""
    free: Bools | None = None
    dims: list[Dim] = []
    for place, (index, axis) in enumerate(ends):
        value = node.inputs[index]
        assert value is not None
        dims.append((facts.sizes.place(node, index), axis))
        bounds, extent = facts.of(value), facts.sizes.extent(value, axis)
        if bounds is not None and extent is not None:
            low, high = bounds.along(axis, extent)
            zero = (low == 0) & (high == 0)
            if shifts and place == 1:
                zero |= (low == high) & np.isfinite(low)
            free = zero if free is None or free.size != zero.size else free | zero
    weights = [dim for dim in dims if isinstance(dim[0], Operand)]
    if len(weights) == 1 and free is not None and free.size == facts.sizes.extent(*weights[0]):
        weight, along = weights[0]
        assert isinstance(weight, Operand)
        return WeighedSum(dims, free, weight, along, facts)
    return Sum(dims, free)


def softmax_ignores(facts: Facts, node: ir.Node) -> bool:
    """Whether scores q k only go into a softmax along their last axis, so that what they all have in common is nothing.

    A feature of the keys that is one number, whatever the key, adds the same to all scores of a query. Where the second
    operand is a vector, it is one key, and the softmax is over what may be queries.
    """
    #     q k = Σ q_j k_j      k_2 = c for every key:  each score of a query has c q_2 in it,
    #                          and softmax(s + c q_2) = softmax(s)
    value, keys = node.outputs[0], node.inputs[1]
    if keys is None or len(facts.sizes.of(keys) or ()) < 2:
        return False
    while not value.is_graph_output() and len(uses := list(value.uses())) == 1:
        reader, place = uses[0].node, uses[0].idx
        if not is_standard(reader):
            return False
        view = RuleView(reader, facts.sizes.constants, facts.sizes)
        if reader.op_type == "Softmax":
            rank = len(facts.sizes.of(value) or ())
            return bool(rank) and view.softmax_axis in (-1, rank - 1)
        if reader.op_type in ("Mul", "Div"):
            scale = view.small(1 - place)
            if scale is None or scale.size != 1 or (reader.op_type == "Div" and place):
                return False
        elif reader.op_type != "Add" or place not in (0, 1):
            return False
        value = reader.outputs[0]
    return False
