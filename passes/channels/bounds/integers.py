"""Bounds through quantisation, and through products of integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ....ir.axes.axis_rule import AxisRule, RuleView
from ....ir.onnx_ir import onnx_ir as ir
from .interval import Bools, Interval, where_sure
from .products import weight_of
from .rounding import RoundedView

__all__ = ["INTEGERS"]

Transfer: TypeAlias = "Callable[[RoundedView, AxisRule, Sequence[Interval]], Interval | list[Interval] | None]"

NEAR_HALF = 1e-3  # of a step: nearer to the middle of two integers, rounding may decide which it is


def _quantise(view: RoundedView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """To integers, where rounding cannot decide which."""
    x, scale, zero = _scaled(view, given)
    with np.errstate(invalid="ignore"):
        ratio = np.where(x.known, x.low / scale.low, 0.0)
    margin = np.maximum(NEAR_HALF, view.near * np.abs(ratio))
    sure = x.known & scale.known & zero.known & (np.abs(np.abs(ratio - np.floor(ratio)) - 0.5) > margin)
    whole = np.rint(ratio) + zero.low
    info = _integers(view)
    sure &= (whole >= info[0]) & (whole <= info[1])
    return where_sure(sure, whole)


def _dequantise(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    x, scale, zero = _scaled(view, given)
    sure = x.known & scale.known & zero.known
    value = np.where(sure, (x.low - zero.low) * scale.low, 0.0)
    return where_sure(sure, value)


def _scaled(view: RuleView, given: Sequence[Interval]) -> tuple[Interval, Interval, Interval]:
    """What is scaled, the scale and the zero point, each along the axis that they are for."""
    x = given[0]
    axis = view.axis(x.rank, 1) if x.rank > 1 else 0

    def along(one: Interval) -> Interval:
        shape = [1] * x.rank
        if one.low.size != 1:
            shape[axis] = one.low.size
        return one.moved(lambda side: side.reshape(shape))

    scale = along(given[1])
    return x, scale, along(given[2]) if len(given) > 2 else scale.moved(np.zeros_like)


def _integers(view: RuleView) -> tuple[float, float]:
    """The least and the largest integer that a QuantizeLinear makes: those of its zero point's type, or of the one that
    it names; raises ValueError where they are not known."""
    zero = view.operand(2)
    if zero is None:
        kind = ir.DataType(int(view.attribute("output_dtype", 0)) or ir.DataType.UINT8)
    elif zero in view.constants:
        kind = view.constants.describe(zero)[1]
    else:
        raise ValueError("a zero point that is computed")
    info = np.iinfo(kind.numpy())
    return float(info.min), float(info.max)


def _product(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    """A column of zeros makes zero, which a QLinearMatMul writes as its zero point."""
    linear = view.node.op_type == "QLinearMatMul"
    weight, point = weight_of(view, 3 if linear else 1), view.operand(5 if linear else 3)
    if weight is None:
        return None
    stored = view.constants.read(weight)
    if point is not None and point not in view.constants:
        return None
    zero: Bools = np.asarray((stored == (0 if point is None else view.constants.read(point))).all(axis=0))
    made = _written_zero(view) if linear else 0.0
    if made is None:
        return None
    return where_sure(zero.reshape((1,) * (view.rank(0) - 1) + zero.shape), made)


def _convolution(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    """A kernel that reads nothing but zeros makes zero, which a QLinearConv without a bias writes as its zero point."""
    linear = view.node.op_type == "QLinearConv"
    weight, point, bias = weight_of(view, 3 if linear else 1), view.operand(5 if linear else 3), view.operand(8)
    if weight is None or any(one is not None and one not in view.constants for one in (point, bias)):
        return None
    stored = view.constants.read(weight)
    shift = 0 if point is None else view.constants.read(point).reshape(-1, *[1] * (stored.ndim - 1))
    reads = np.asarray((stored != shift).reshape(*stored.shape[:2], -1).any(axis=-1))  # (out, in of a group)
    groups = int(view.attribute("group", 1))
    held = view.small(2) if view.operand(2) is not None else np.zeros(1)
    low, high = given[0].along(1, stored.shape[1] * groups)
    speaks = (low != high) | (held is None or held.size != 1 or low != held.reshape(-1)[0])
    by_group = reads.reshape(groups, -1, stored.shape[1]) & speaks.reshape(groups, 1, -1)
    zero: Bools = ~by_group.any(axis=-1).reshape(-1)
    made = _written_zero(view) if linear else 0.0
    if made is None:
        return None
    if linear and bias is not None:
        zero &= view.constants.read(bias) == 0
    return where_sure(zero.reshape(1, -1, *[1] * (stored.ndim - 2)), made)


def _written_zero(view: RuleView) -> float | None:
    """The zero point that a QLinear operator writes for zero; None where it is not known."""
    own = view.small(7)
    return float(own.item()) if own is not None and own.size == 1 else None


def _packed(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    """A product of a packed weight whose columns have a scale, or entries that are all the zero point."""
    scales = weight_of(view, 2)
    if scales is None or view.rank(2) != 2:
        return None
    zero: Bools = np.asarray((view.constants.read(scales) == 0).all(axis=1))
    low, high = np.where(zero, 0.0, -np.inf), np.where(zero, 0.0, np.inf)
    if view.operand(5) is not None:
        bias = weight_of(view, 5)
        if bias is None:
            return None
        low, high = (side + view.constants.read(bias).astype(np.float64) for side in (low, high))
    led = (1,) * (view.rank(0) - 1)
    return Interval(low.reshape(led + low.shape), high.reshape(led + high.shape))


INTEGERS: dict[str, Transfer] = {
    **dict.fromkeys(("ConvInteger", "QLinearConv"), _convolution),
    **dict.fromkeys(("MatMulInteger", "QLinearMatMul"), _product),
    "DequantizeLinear": _dequantise,
    "MatMulNBits": _packed,
    "QuantizeLinear": _quantise,
}
