"""The rule of each operator: how features along the axes of its operands come to lie along those of its results.

Two readings are made of this one table: whole axes that share an order, over a graph (`shared_axis`), and single
features followed through axes that are cut (`feature_ids`). An operator that computes element by element has its rule
once `graph.operators` names it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

from ..errors import ModelError
from ..graph.node import ONE_AXIS, from_first
from ..graph.operators import NORMS, POINTWISE, QUANTISING, REDUCING, SKIP_NORMS, SOFTMAX, is_one_of
from ..onnx_ir import onnx_ir as ir
from .axis_rule import AxisRule, RuleView, Sizes, UnknownRuleError, aligned, kept, lined_up, reads
from .moving_rules import MOVING_RULES
from .product_rules import PRODUCT_RULES
from .window_rules import WINDOW_RULES

__all__ = ["RULES", "axis_rule", "is_pointwise"]

BROADCASTS = 7  # the operator set from which operands line up as they do in numpy


def axis_rule(node: ir.Node, sizes: Sizes) -> AxisRule | str:
    """The rule of one node; text is the reason why nothing is known of it.

    >>> x, w, y = (ir.Value(name=name, shape=ir.Shape(shape)) for name, shape in zip("xwy", ([5, 2], [2, 3], [5, 3])))
    >>> model = ir.Model(ir.Graph([x, w], [y], nodes=[], opset_imports={"": 17}), ir_version=8)
    >>> from ..graph.constants import Constants
    >>> rule = axis_rule(ir.Node("", "MatMul", [x, w], outputs=[y]), Sizes(Constants(model)))
    >>> [["xwy"[ref.slot + 2 * ref.is_result] + str(ref.axis) for ref in group] for group in rule.same]
    [['x0', 'y0'], ['w1', 'y1'], ['x1', 'w0']]
    """
    if why := _why_not(node, sizes):
        return why
    try:
        return RULES[node.op_type](RuleView(node, sizes.constants, sizes))
    except UnknownRuleError as error:
        return str(error)
    except IndexError:
        return "names an axis that is not there"
    except (ModelError, ValueError, TypeError):  # an invalid node
        return "cannot be understood"


def is_pointwise(node: ir.Node, sizes: Sizes) -> bool:
    """Whether a node computes element by element, of operands that broadcast as they do in numpy, and has a rule."""
    return RULES.get(node.op_type) is _pointwise and not _why_not(node, sizes)


def _why_not(node: ir.Node, sizes: Sizes) -> str:
    """Why nothing is known of a node, whatever it reads; empty where it has a rule."""
    if not is_one_of(node, RULES):
        return "may depend on their order"
    attributes = node.attributes
    # Before broadcasting was numpy's, 'broadcast' went with an attribute that told which axes line up.
    if sizes.constants.opset < BROADCASTS or "broadcast" in attributes:
        return f"is of an operator set before {BROADCASTS}"
    if attributes and any(attribute.is_ref() for attribute in attributes.values()):
        return "depends on the caller of its function"
    return ""


def _pointwise(view: RuleView) -> AxisRule:
    """Element by element, with operands that broadcast."""
    given = enumerate(view.node.inputs)
    return _of_ranks(tuple((index, view.rank(index)) for index, value in given if value is not None))


# Models have thousands of such nodes and a handful of ranks: the rule is made once for each, and shared.
@functools.lru_cache(1 << 12)
def _of_ranks(ranks: tuple[tuple[int, int], ...]) -> AxisRule:
    """The rule of all nodes that compute element by element of operands of these ranks."""
    same = lined_up(ranks, (0,), max(rank for _, rank in ranks))
    return AxisRule(same=same, ranks={0: len(same)})


def _dropout(view: RuleView) -> AxisRule:
    """Element by element while it draws nothing, the mask as well."""
    training = view.small(2)
    if view.operand(2) is not None and (training is None or training.any()):
        raise UnknownRuleError("draws random numbers")
    same = aligned(view, (0,), view.results)
    return AxisRule(same=same, ranks=dict.fromkeys(view.results, len(same)))


def _quantise(view: RuleView) -> AxisRule:
    """QuantizeLinear and its inverse, in one scale, or one for each feature of an axis."""
    if view.attribute("block_size", 0):
        raise UnknownRuleError("quantises in blocks")
    rank = view.rank(0)
    # A vector is quantised along its only axis, though the attribute's default names the second.
    axis = view.axis(rank, 1) if rank > 1 else 0
    several = [index for index in view.present[1:] if any(extent != 1 for extent in view.extents(index))]
    same = tuple(
        (*group, *(reads(0, index) for index in several if place == axis))
        for place, group in enumerate(aligned(view, (0,)))
    )
    return AxisRule(same=same, ranks={0: rank})


def _quantise_all(view: RuleView) -> AxisRule:
    """In one scale, which is that of the largest and the smallest of all: two more results."""
    rank = view.rank(0)
    return AxisRule(same=aligned(view, (0,)), mixed=frozenset(map(reads, range(rank))), ranks={0: rank, 1: 0, 2: 0})


def _norm(view: RuleView) -> AxisRule:
    """A norm over an axis and all behind it: features go on, each scaled by what all of them come to."""
    rank = view.rank(0)
    over = range(view.axis(rank, -1), rank)
    # Scale and bias lie along the axes of the norm, the last ones, as operands that broadcast do.
    return AxisRule(same=aligned(view, view.present), mixed=frozenset(map(reads, over)), ranks={0: rank})


def _skip_norm(view: RuleView) -> AxisRule:
    """A norm over the last axis of a sum, which is a result as well."""
    # Results 1 and 2 are means and deviations, which training alone reads.
    rank, results = view.rank(0), [index for index in view.results if index in (0, 3)]
    same = aligned(view, view.present, results)
    mixed = frozenset(reads(rank - 1, index) for index in (0, 1))
    return AxisRule(same=same, mixed=mixed, ranks=dict.fromkeys(results, rank))


def _softmax(view: RuleView) -> AxisRule:
    """Features go on, each over the sum of all."""
    # Before, the value was taken for a matrix that was cut in front of the axis, 1 if nothing was said:
    #     (a, b, c) along axis 1      sums over b, one for each a and c      before: over b and c, one for each a
    rank = view.rank(0)
    axis = from_first(view.softmax_axis, rank)
    over = range(axis, axis + 1 if view.constants.opset >= ONE_AXIS else rank)
    return AxisRule(same=aligned(view, (0,)), mixed=frozenset(map(reads, over)), ranks={0: rank})


def _reduce(view: RuleView) -> AxisRule:
    """Axes that are summed up, or reduced otherwise, have no order; the others go on."""
    rank, axes = view.rank(0), view.told("axes", 1)
    # No axes are all axes, unless an attribute says that they are none.
    if not axes:
        axes = [] if view.attribute("noop_with_empty_axes", 0) else list(range(rank))
    over = {from_first(axis, rank) for axis in axes}
    stay = [axis for axis in range(rank) if axis not in over]
    keeps = bool(view.attribute("keepdims", 1))
    same = kept(stay, stay if keeps else range(len(stay)))
    return AxisRule(same=same, mixed=frozenset(map(reads, over)), ranks={0: rank if keeps else len(stay)})


Rule: TypeAlias = Callable[[RuleView], AxisRule]
RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(QUANTISING, _quantise),
    **dict.fromkeys(NORMS, _norm),
    **dict.fromkeys(SKIP_NORMS, _skip_norm),
    **dict.fromkeys(SOFTMAX, _softmax),
    **dict.fromkeys(REDUCING, _reduce),
    "Dropout": _dropout,
    "DynamicQuantizeLinear": _quantise_all,
    **MOVING_RULES,
    **PRODUCT_RULES,
    **WINDOW_RULES,
}
