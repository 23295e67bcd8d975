"""Bounds through pools, padding, resizing, norms and sums over axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np

from ....ir.axes.axis_rule import AxisRule, RuleView
from ....ir.graph.operators import SUMS_OF_SIZES
from ....ir.onnx_ir import onnx_ir as ir
from .interval import Floats, Interval, unknown, where_sure
from .moving import by_groups

__all__ = ["WINDOWS"]

Transfer: TypeAlias = "Callable[[RuleView, AxisRule, Sequence[Interval]], Interval | None]"

ENTRIES = 1 << 16  # of constants that are normalised
CLEAR = 1e3  # roots of a mean square that constants are above zero at most
NOISE = 1e-4  # of what a norm makes, which rounding may come to where all that it is of is one number


def _extreme(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """Means, largest and smallest lie between the bounds of what they are of."""
    return by_groups(view, rule, [given[0].hull(ref.axis for ref in rule.mixed)])


def _pool(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    """Windows of one channel; zeros that are counted beside it are among what they are of.

    A window that is nowhere on it makes anything, such as the least number there is.
    """
    if not _are_on_it(view):
        return None
    x = given[0].hull(range(2, given[0].rank))
    if view.node.op_type == "AveragePool" and view.attribute("count_include_pad", 0):
        x = Interval(np.minimum(x.low, 0), np.maximum(x.high, 0))
    return x


def _are_on_it(view: RuleView) -> bool:
    """Whether every window of a pool has a place on what it is over, for all that its attributes tell."""
    kernel = [int(extent) for extent in view.attribute("kernel_shape", ())]
    count = len(kernel)
    auto = str(view.attribute("auto_pad", "NOTSET"))
    pads = [int(pad) for pad in view.attribute("pads", ()) or [0] * 2 * count]
    padded, ceil = any(pads) or auto.startswith("SAME"), bool(view.attribute("ceil_mode", 0))
    if any(step != 1 for step in view.attribute("dilations", ())):
        return not padded and not ceil
    strides = [int(step) for step in view.attribute("strides", ()) or [1] * count]
    # The first window ends at kernel - pad - 1, and must not before 0. The last one starts before extent + pad - kernel
    # + 1, or a stride less one behind where what is left over makes another one, and must not behind extent - 1.
    ends = zip(pads[:count], pads[count:], kernel, strides, strict=True)
    return all(before < extent and after + (step if ceil else 1) <= extent for before, after, extent, step in ends)


def _length(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """A length is not negative, and zero where all of it is."""
    x = given[0].hull([ref.axis for ref in rule.mixed] or range(2, given[0].rank))
    zero = (x.low == 0) & (x.high == 0)
    found = Interval(np.zeros_like(x.low), np.where(zero, 0.0, np.inf))
    return by_groups(view, rule, [found])


def _sum(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    """Sums over axes, of numbers or of what each makes; a count that is not known makes any sum of what is not zero."""
    x = given[0]
    if view.node.op_type in SUMS_OF_SIZES:
        ends = np.abs(x.low), np.abs(x.high)
        least = np.where((x.low < 0) & (x.high > 0), 0.0, np.minimum(*ends))
        most = np.maximum(*ends)
        x = Interval(least, most) if view.node.op_type == "ReduceL1" else Interval(least**2, most**2)
    low, high, extents = x.low, x.high, view.extents(0)
    for axis in (ref.axis for ref in rule.mixed):
        count = extents[axis]
        if low.shape[axis] != 1:
            low, high = low.sum(axis, keepdims=True), high.sum(axis, keepdims=True)
        elif isinstance(count, int):
            low, high = low * count, high * count
        else:
            low, high = np.where(low < 0, -np.inf, 0.0), np.where(high > 0, np.inf, 0.0)
    if view.node.op_type == "ReduceL2":
        low, high = np.sqrt(low), np.sqrt(high)
    return by_groups(view, rule, [Interval(low, high)])


def _product(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """A product over axes of which one factor is zero."""
    x = given[0]
    over = tuple(ref.axis for ref in rule.mixed)
    zero = ((x.low == 0) & (x.high == 0)).any(over, keepdims=True)
    return by_groups(view, rule, [where_sure(zero, 0.0)])


def _pad(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """What stands around a value is a constant, or some of its own."""
    going_on = {ref.axis for group in rule.same for ref in group if not ref.is_result}
    x = given[0].hull(axis for axis in range(given[0].rank) if axis not in going_on)
    if view.attribute("mode", "constant") != "constant" or len(going_on) == x.rank:
        return x
    told = view.operand(2)
    held = view.small(2)
    if told is not None and (held is None or held.size != 1):
        return unknown(x.rank)
    around = float(held.item()) if held is not None else float(view.attribute("value", 0.0))
    return Interval(np.minimum(x.low, around), np.maximum(x.high, around))


def _resize(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """Weights of neighbours add up to one; those of a cubic are negative in part."""
    going_on = {ref.axis for group in rule.same for ref in group if not ref.is_result}
    x = given[0].hull(axis for axis in range(given[0].rank) if axis not in going_on)
    if view.attribute("mode", "nearest") != "cubic" or len(going_on) == x.rank:
        return x
    return where_sure(x.known, x.low, x.high)


def _repeated(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """The same elements several times along some axes."""
    going_on = {ref.axis for group in rule.same for ref in group if not ref.is_result}
    return given[0].hull(axis for axis in range(given[0].rank) if axis not in going_on)


def _sampled(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    """Places between those of a picture, zeros around it."""
    if view.attribute("mode", "linear") in ("cubic", "bicubic"):
        return None
    x = given[0].hull(range(2, given[0].rank))
    return Interval(np.minimum(x.low, 0), np.maximum(x.high, 0))


def _batch_norm(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    x, scale, bias, mean, variance = (
        one if index == 0 else _channels(one, given[0].rank) for index, one in enumerate(given)
    )
    if not all(one.known.all() for one in (scale, bias, mean, variance)):
        return unknown(x.rank)
    factor = scale.low / np.sqrt(variance.low + float(view.attribute("epsilon", 1e-5)))
    ends = [np.where(factor == 0, 0.0, (side - mean.low) * factor) + bias.low for side in (x.low, x.high)]
    return Interval(np.minimum(*ends), np.maximum(*ends))


def _channels(one: Interval, rank: int) -> Interval:
    """A vector along the second of some axes."""
    return one.moved(lambda side: side.reshape(1, -1, *[1] * (rank - 2)))


def _instance_norm(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    x = given[0]
    over = range(2, x.rank)
    scale, bias = (_channels(one, x.rank) for one in given[1:])
    return _scaled(_normed(view, x, over, centred=True), scale, bias)


def _norm(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    """LayerNormalization and RMSNormalization, scale and bias along the last axes."""
    if len(view.results) > 1:
        return None
    x = given[0]
    over = sorted(ref.axis for ref in rule.mixed)
    z = _normed(view, x, over, centred=view.node.op_type == "LayerNormalization")
    scale, bias = given[1], given[2] if len(given) > 2 else None
    lead = [_led(one, x.rank) for one in (scale, bias) if one is not None]
    return _scaled(z, lead[0], lead[1] if bias is not None else None)


def _led(one: Interval, rank: int) -> Interval:
    return one.moved(lambda side: side.reshape((1,) * (rank - side.ndim) + side.shape))


def _normed(view: RuleView, x: Interval, over: Iterable[int], *, centred: bool) -> Interval:
    """Bounds of numbers over their root mean square: of n numbers, none is more than √n, or √(n-1) of their mean."""
    over = tuple(over)
    extents = [view.extents(0)[axis] for axis in over]
    count = math.prod(extent for extent in extents if isinstance(extent, int))
    most = math.sqrt(max(count - centred, 0)) if all(isinstance(extent, int) for extent in extents) else np.inf
    # A mean of n numbers may lose n half steps of them, and what it loses is all that is left of one number n times.
    lost = _rounding(view) * max(count, 1)
    epsilon = float(view.attribute("epsilon", 1e-5))
    still = NOISE * math.sqrt(max(epsilon, 0.0)) / lost if np.isfinite(most) else 0.0
    low, high = x.hull(over).low, x.hull(over).high
    flat = (low == high) & (np.abs(low) <= (still if centred else 0.0))
    found = Interval(np.where(flat, 0.0, -most), np.where(flat, 0.0, most))
    return found if flat.all() or not np.isfinite(most) else _met(found, _of_constants(view, x, over, centred, lost))


def _rounding(view: RuleView) -> float:
    """Half a step between numbers around 1, in the type of the scale."""
    scale = view.operand(1)
    kind = view.constants.describe(scale)[1] if scale is not None and scale in view.constants else None
    return {ir.DataType.FLOAT: 2.0**-24, ir.DataType.DOUBLE: 2.0**-53}.get(kind or ir.DataType.FLOAT16, 2.0**-8)


def _of_constants(view: RuleView, x: Interval, over: tuple[int, ...], centred: bool, lost: float) -> Interval | None:
    """Constants over their root mean square, where what rounding may lose of them is far below it; None for others."""
    extents = [int(view.extents(0)[axis] or 1) if axis in over else x.low.shape[axis] for axis in range(x.rank)]
    if not x.known.all() or math.prod(extents) > ENTRIES:
        return None
    held = np.broadcast_to(x.low, extents)
    held = held - held.mean(over, keepdims=True) if centred else held
    root = np.sqrt((held**2).mean(over, keepdims=True) + float(view.attribute("epsilon", 1e-5)))
    sure = np.abs(x.low).max() <= root * min(CLEAR, NOISE / lost)
    z = np.where(sure, held / root, 0.0)
    return where_sure(sure, z)


def _met(one: Interval, other: Interval | None) -> Interval:
    """What both say."""
    return one if other is None else Interval(np.maximum(one.low, other.low), np.minimum(one.high, other.high))


def _scaled(z: Interval, scale: Interval, bias: Interval | None) -> Interval:
    """z scale + bias, the scale a constant; where it is zero, whatever z is."""
    if not scale.known.all():
        return unknown(z.rank)
    ends = [np.where((scale.low == 0) | (side == 0), 0.0, side * scale.low) for side in (z.low, z.high)]
    low, high = np.minimum(*ends), np.maximum(*ends)
    return Interval(low, high) if bias is None else Interval(low + bias.low, high + bias.high)


def _lp_norm(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """None is longer than all of them together; what is zero stays zero."""
    x = given[0]
    return Interval(np.where(x.low >= 0, 0.0, -1.0), np.where(x.high <= 0, 0.0, 1.0))


def _below_zero(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """Logarithms of numbers of which none is above 1."""
    zeros: Floats = np.zeros((1,) * given[0].rank)
    return Interval(zeros - np.inf, zeros)


WINDOWS: dict[str, Transfer] = {
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "GlobalAveragePool", "GlobalMaxPool"), _extreme),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("GlobalLpPool", "LpPool"), _length),
    **dict.fromkeys(("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"), _sum),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"), _norm),
    "BatchNormalization": _batch_norm,
    "GridSample": _sampled,
    "InstanceNormalization": _instance_norm,
    "LogSoftmax": _below_zero,
    "LpNormalization": _lp_norm,
    "Pad": _pad,
    "ReduceProd": _product,
    "Tile": _repeated,
}
