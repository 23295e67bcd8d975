"""Hidden units of experts: they lie on no value of the graph, and go out of the weights of all experts together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rule import Operand, RuleView
from ...ir.axes.shared_axis import Dim
from ...ir.graph.node import FLOATS
from .axis_classes import AxisClasses, Constraint
from .bounds.forward import Facts
from .bounds.products import weight_of
from .constraints import Grid, Pinned
from .contraction import Contraction
from .negligible import Negligible

__all__ = ["MICROSOFT", "RESULTS", "Experts", "experts_of", "relate_experts", "rows_of", "second_product", "width_of"]

UP, UP_BIAS, DOWN, DOWN_BIAS, GATE = 2, 3, 4, 5, 6  # operands
RESULTS = -1  # the axis of the results of all experts, which no value has
MICROSOFT = "com.microsoft"
AT_ZERO = frozenset({"gelu", "identity", "relu", "silu"})  # functions that are zero there
PAIRED = "swiglu"  # of two rows for each unit, beside one another, zero where both of them are


@dataclass(frozen=True, slots=True, eq=False)
class Experts:
    """An operator of experts, of which each has `hidden` units between two products; rows: of the first for each."""

    view: RuleView
    count: int
    hidden: int
    rows: int

    def idle(self) -> npt.NDArray[np.bool_]:
        """Units that are zero whatever they are fed, in every expert."""
        zero = np.ones(self.hidden, bool)
        for index in (UP, UP_BIAS):
            if self.view.operand(index) is not None:
                zero &= ~self._by_unit(index).any(axis=(0, 2))
        return zero

    def is_finite(self) -> bool:
        """Whether every weight is a number, so that a unit of which nothing is read makes no other than that."""
        there = (self.view.operand(index) for index in (UP, UP_BIAS, DOWN))
        return all(np.isfinite(self.view.constants.read(value)).all() for value in there if value is not None)

    def _by_unit(self, index: int) -> npt.NDArray[Any]:
        """What the first product has for each unit, (experts, units, numbers)."""
        value = self.view.operand(index)
        assert value is not None
        return self.view.constants.read(value).reshape(self.count, self.hidden, -1)


def experts_of(view: RuleView) -> Experts | None:
    """An operator of experts whose weights are known; None for any other, and where it cannot be told how they lie."""
    #     up     (experts, rows × hidden, width)    rows: 1, or 2 where one of them gates the other, (…, u0 u0 u1 u1 …)
    #     down   (experts, width, hidden)
    #
    # Both turned, as they were before release 1.22 and still run, are of the same shapes with the numbers exchanged:
    # only what is not a weight tells how wide the values are, and of a square one none can tell.
    if view.node.op_type != "MoE" or view.node.domain != MICROSOFT or view.operand(GATE) is not None:
        return None
    up, down = (weight_of(view, index) for index in (UP, DOWN))
    beside = [view.operand(index) for index in (UP_BIAS, DOWN_BIAS)]
    if up is None or down is None or any(value is not None and value not in view.constants for value in beside):
        return None
    (shape, kind), (other, other_kind) = view.constants.describe(up), view.constants.describe(down)
    if len(shape) != 3 or len(other) != 3 or kind not in FLOATS or other_kind not in FLOATS:
        return None
    count, width, hidden = other
    rows = rows_of(view)
    if not rows or shape != (count, rows * hidden, width) or rows * hidden == width:
        return None
    if width_of(view, DOWN_BIAS) != width:
        return None
    found = Experts(view, count, hidden, rows)
    return found if found.is_finite() else None


def rows_of(view: RuleView) -> int:
    """How many rows of the first product make a unit, by functions that are zero where all of them are; 0 by others."""
    function = view.attribute("activation_type", "relu")
    if function == PAIRED and view.attribute("swiglu_fusion", 0) == 1:
        return 2
    return 1 if function in AT_ZERO else 0


def width_of(view: RuleView, bias: int) -> int | None:
    """The features of what experts read, which are those of what they make; None where nothing or no one tells.

    bias: the operand that is added to what they make.
    """
    told = [view.operand(0), view.node.outputs[0], view.operand(bias)]
    lasts = {extents[-1] for value in told if value is not None and (extents := view.sizes.of(value))}
    known = {last for last in lasts if isinstance(last, int)}
    return known.pop() if len(known) == 1 else None


def relate_experts(
    classes: AxisClasses, facts: Facts, experts: Experts, small: Negligible
) -> tuple[list[Constraint], list[Contraction]]:
    """What holds of the axes of an operator of experts, and the product of its hidden units."""
    view, node = experts.view, experts.view.node
    weight = Operand(node, DOWN)
    hidden: Dim = (weight, 2)
    units: list[Dim] = [(Operand(node, index), 1) for index in (UP, UP_BIAS) if view.operand(index) is not None]
    found: list[Constraint] = []
    if experts.rows == 1:
        classes.join([hidden, *units])
    else:
        found += [Grid(unit, [hidden, experts.rows]) for unit in units]
    tiny = small.below(facts, weight.value)
    product = second_product(weight, lambda: view.constants.read(weight.value), experts.idle(), hidden, facts, tiny)
    classes.virtual[product.outer] = int(np.prod(view.constants.describe(weight.value)[0][:2]))
    there = [facts.sizes.place(node, index) for index in range(len(node.inputs)) if view.operand(index) is not None]
    told = {hidden, *units}
    dims = [(place, axis) for place in (*there, *node.outputs) for axis in range(len(facts.sizes.of(place) or ()))]
    rest = [dim for dim in (*dims, product.outer) if dim not in told and classes.extent(dim) > 1]
    found.append(Pinned(rest, node))
    return found, [product]


def second_product(
    weight: Operand,
    numbers: Callable[[], npt.NDArray[Any]],
    idle: npt.NDArray[np.bool_],
    unit: Dim,
    facts: Facts,
    tiny: float = 0.0,
) -> Contraction:
    """The second product of all experts, as one with the results of all of them beside one another.

    numbers: reads its weight, (experts, results, units); idle: units that are zero whatever they are fed; unit: their
    axis; tiny: an entry below this counts as zero.
    """

    def matrix() -> npt.NDArray[Any]:
        return np.transpose(numbers(), (2, 0, 1)).reshape(idle.size, -1)

    return Contraction(
        node=weight.node,
        inner=unit,
        outer=(weight, RESULTS),
        result_axis=1,
        weight=weight,
        groups=1,
        constants=np.where(idle, 0.0, np.nan),
        folds=False,
        tiny=tiny,
        scale=1.0,
        layout="io",
        facts=facts,
        matrix=matrix,
    )
