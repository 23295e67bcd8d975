"""Which operators sum over an axis, and what each reads of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...ir.axes.axis_rule import Operand, RuleView
from ...ir.axes.shared_axis import Dim
from ...ir.graph.operators import INTEGER_CONVOLUTIONS, INTEGER_PRODUCTS
from ...ir.onnx_ir import onnx_ir as ir
from .axis_classes import Constraint
from .bounds.forward import Facts
from .bounds.products import is_padded, weight_of
from .contraction import Contraction, held_along, largest_along
from .negligible import Negligible
from .quantised import integer_convolution, quantised_sums
from .sums import softmax_ignores, sum_over, sums_of

__all__ = ["contraction_of", "convolution_of"]


def contraction_of(node: ir.Node, facts: Facts, small: Negligible) -> list[Constraint] | None:
    """What has to stay of the axes that a product sums over; None where it is not known how it is summed."""
    view = RuleView(node, facts.sizes.constants, facts.sizes)
    if node.op_type in ("MatMul", "FusedMatMul"):
        return _of_matmul(view, facts, small)
    if node.op_type in ("Gemm", "FusedGemm"):
        return _of_gemm(view, facts, small)
    if node.op_type in INTEGER_PRODUCTS:
        return quantised_sums(view, facts)
    return sums_of(node, facts)


def _of_matmul(view: RuleView, facts: Facts, small: Negligible) -> list[Constraint] | None:
    node, (a, b) = view.node, (view.rank(0), view.rank(1))
    turned = [bool(view.attribute(name, 0)) for name in ("transA", "transB")]
    scale = float(view.attribute("alpha", 1.0))
    left, right = (node.inputs[index] for index in (0, 1))
    assert left is not None and right is not None
    if weight_of(view, 1) is not None and b == 2 and a >= 1:
        layout = "oi" if turned[1] else "io"
        inner = (left, a - 2 if turned[0] and a > 1 else a - 1)
        return [_constant(facts, inner, Operand(node, 1), layout=layout, at=1, small=small, scale=scale)]
    if weight_of(view, 0) is not None and a == 2 and b >= 2:
        layout = "io" if turned[0] else "oi"
        inner = (right, b - 1 if turned[1] else b - 2)
        return [_constant(facts, inner, Operand(node, 0), layout=layout, at=2, small=small, scale=scale)]
    ends = []
    for index, rank in enumerate((a, b)):
        last = (index == 0) != turned[index] or rank == 1
        ends.append((index, rank - 1 if last else rank - 2))
    return [sum_over(facts, node, ends, shifts=softmax_ignores(facts, node))]


def _of_gemm(view: RuleView, facts: Facts, small: Negligible) -> list[Constraint] | None:
    node = view.node
    x, added = node.inputs[0], view.operand(2)
    if weight_of(view, 1) is None or x is None:
        return None
    turned = [bool(view.attribute(name, 0)) for name in ("transA", "transB")]
    beta = float(view.attribute("beta", 1.0))
    folds = node not in facts.quantised and (added is None or (added in view.constants and beta == 1.0))
    scale = float(view.attribute("alpha", 1.0))
    inner, layout = (x, 0 if turned[0] else 1), "oi" if turned[1] else "io"
    found = _constant(facts, inner, Operand(node, 1), layout=layout, at=1, small=small, scale=scale)
    return [replace(found, folds=folds)]


def _constant(
    facts: Facts,
    inner: Dim,
    weight: Operand,
    *,
    layout: str,
    at: int,
    small: Negligible,
    groups: int = 1,
    scale: float = 1.0,
) -> Contraction:
    """A product with a constant, held against what is known of what it multiplies."""
    rows = 1 if layout == "oi" else 0  # the axis of the weight along what it multiplies
    shape, kind = facts.sizes.constants.describe(weight.value)
    count = shape[0] if layout == "ti" else shape[rows] * groups
    with np.errstate(invalid="ignore"):  # nothing times infinity is not known, and so nothing is swallowed
        largest = abs(scale) * largest_along(facts, inner, count)
    return Contraction(
        node=weight.node,
        inner=inner,
        outer=(weight, 1 - rows),
        result_axis=at,
        weight=weight,
        groups=groups,
        constants=held_along(facts, inner, count),
        folds=weight.node not in facts.quantised,
        tiny=small.below(facts, weight.value),
        scale=scale,
        layout=layout,
        facts=facts,
        swallowed=small.swallowed(facts, weight, largest, groups, kind),
    )


def convolution_of(node: ir.Node, facts: Facts, small: Negligible) -> Contraction | None:
    """What a convolution with constant kernels reads of its channels; None where they are not constant."""
    view = RuleView(node, facts.sizes.constants, facts.sizes)
    if node.op_type in INTEGER_CONVOLUTIONS:
        return integer_convolution(view, facts)
    x, W = node.inputs[0], weight_of(view, 1)
    if x is None or W is None or view.operand(3) is not None:
        return None
    turned = node.op_type == "ConvTranspose"
    bias = view.operand(2)
    kernel = view.constants.describe(W)[0][2:]
    exact = node not in facts.quantised and not is_padded(view, kernel) and (bias is None or bias in view.constants)
    groups = int(view.attribute("group", 1))
    layout, at = "ti" if turned else "oi", len(kernel) + 1
    found = _constant(facts, (x, 1), Operand(node, 1), layout=layout, at=at, small=small, groups=groups)
    return replace(found, folds=exact)
