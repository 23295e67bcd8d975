"""Bounds through products: matrix products and convolutions, whose weights are constant or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.axes.axis_rule import AxisRule, RuleView
from ....ir.graph.operators import CONVOLUTIONS
from ....ir.onnx_ir import onnx_ir as ir
from .interval import Bools, Floats, Interval, where_sure

__all__ = ["PRODUCTS", "is_padded", "weight_of"]

ROWS = 64  # of bounds that a product is computed of; where there are more, they are taken together
MANY = 1 << 15  # entries of a weight
FEW = 32  # entries of a column that are looked at first


def weight_of(view: RuleView, index: int) -> ir.Value | None:
    """An operand that is constant; None for any other."""
    value = view.operand(index)
    return value if value is not None and value in view.constants else None


def _matmul(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    a, b = (weight_of(view, index) for index in (0, 1))
    if view.attribute("transA", 0) or view.attribute("transB", 0):
        return None
    scale = float(view.attribute("alpha", 1.0))
    if b is not None and len(view.constants.describe(b)[0]) == 2:
        W = view.constants.read(b)
        return times(_rows(given[0]), W, scale, given[0].rank)
    if a is not None and len(view.constants.describe(a)[0]) == 2 and given[1].rank >= 2:
        turned = given[1].moved(lambda side: np.swapaxes(side, -1, -2))
        found = times(_rows(turned), view.constants.read(a).T, scale, given[1].rank)
        return found.moved(lambda side: np.swapaxes(side, -1, -2))
    return _of_activations(given[0], given[1]) if scale == 1.0 else None


def _gemm(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    b = weight_of(view, 1)
    if b is None or view.node.op_type != "Gemm":
        return None
    x = given[0].moved(np.transpose) if view.attribute("transA", 0) else given[0]
    W = view.constants.read(b)
    found = times(_rows(x), W.T if view.attribute("transB", 0) else W, float(view.attribute("alpha", 1.0)), 2)
    if len(given) < 3:
        return found
    beta = float(view.attribute("beta", 1.0))
    ends = [np.where(beta == 0, 0.0, beta * side) for side in (given[2].low, given[2].high)]
    return Interval(found.low + np.minimum(*ends), found.high + np.maximum(*ends))


def _rows(x: Interval) -> Interval:
    """Bounds of rows, few of them."""
    lead = x.low.shape[:-1]
    return x.hull(range(x.rank - 1)) if np.prod(lead, dtype=np.int64) > ROWS else x


def times(x: Interval, W: npt.NDArray[Any], scale: float, rank: int) -> Interval:
    """Bounds of x W, x with its features on the last axis.

    A column of W of which every entry is zero, or stands beside a constant, makes a constant. Most often nothing is
    known of x at all, and W is read once, to look for columns of zeros.
    """
    K, N = W.shape
    shape = x.low.shape[:-1]
    low, high = (np.broadcast_to(side, (*shape, K)).reshape(-1, K) for side in (x.low, x.high))
    out = np.full((2, low.shape[0], N), np.inf)
    out[0] *= -1
    for row in range(low.shape[0]):
        least, most = low[row], high[row]
        open_ = _open(least, most, W.size)
        closed = ~_reads(W, np.flatnonzero(open_))
        if not closed.any():
            continue
        own = W[:, closed][~open_].astype(np.float64) * scale
        least, most = least[~open_], most[~open_]
        up, down = np.maximum(own, 0), np.minimum(own, 0)
        # `closed` columns have zeros beside whatever has no bounds, which count as nothing.
        bottom, top = least @ up + most @ down, most @ up + least @ down
        sure = ~own[least != most].any(axis=0)
        out[0, row, closed], out[1, row, closed] = bottom, np.where(sure, bottom, top)
    return Interval(out[0].reshape(*shape, N), out[1].reshape(*shape, N))


def _open(least: Floats, most: Floats, entries: int) -> Bools:
    """Inputs of a product that count as having no bounds: beside many entries all but those that are constants.

    What bounds say of a large product is hardly ever narrow, and to find it takes as long as to compute the product.
    """
    open_: Bools = np.isinf(least) | np.isinf(most)
    return open_ if entries <= MANY else open_ | (least != most)


def _reads(W: npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> Bools:
    """Where a column is not zero in some rows; most often the first of them tell."""
    whole = rows.size == len(W)
    found: Bools = np.asarray((W[:FEW] if whole else W[rows[:FEW]]).any(axis=0))
    if not found.all():
        left = np.flatnonzero(~found)
        found[left] = (W[:, left] if whole else W[np.ix_(rows, left)]).any(axis=0)
    return found


def _of_activations(a: Interval, b: Interval) -> Interval | None:
    """a b, neither of them constant: zeros make zeros, and rows that add up to one pass on what is the same in all."""
    if a.rank < 2 or b.rank < 2:
        return None
    rank = max(a.rank, b.rank)
    zero_a = (_is_zero(a)).all(axis=-1, keepdims=True)  # (…, rows, 1)
    zero_b = (_is_zero(b)).all(axis=-2, keepdims=True)  # (…, 1, columns)
    zero = zero_a | zero_b
    low, high = np.where(zero, 0.0, -np.inf), np.where(zero, 0.0, np.inf)
    if a.unit == a.rank - 1:
        # Each row weighs what stands at the same place of all rows of b: it lies between the least and the largest.
        mixed = b.hull([b.rank - 2])
        low, high = np.maximum(low, mixed.low), np.minimum(high, mixed.high)
    low, high = (side.reshape((1,) * (rank - side.ndim) + side.shape) for side in np.broadcast_arrays(low, high))
    return Interval(low, high)


def _is_zero(x: Interval) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (x.low == 0) & (x.high == 0)
    return found


def _conv(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval | None:
    W = weight_of(view, 1)
    if W is None:
        return None
    turned = view.node.op_type == "ConvTranspose"
    x, weight, groups = given[0], view.constants.read(W), int(view.attribute("group", 1))
    if x.rank != weight.ndim:
        return None
    low, high = x.along(1, weight.shape[0] if turned else weight.shape[1] * groups)
    if is_padded(view, weight.shape[2:]):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    found = _windows(low, high, weight, groups, turned)
    bias = given[2] if len(given) > 2 else None
    if bias is not None:
        found = Interval(found.low + bias.low, found.high + bias.high)
    return found.moved(lambda side: side.reshape(1, -1, *[1] * (x.rank - 2)))


def _windows(low: Floats, high: Floats, weight: npt.NDArray[Any], groups: int, turned: bool) -> Interval:
    """Bounds of sums over windows and channels, each channel within the same bounds wherever it is."""
    flat = weight.reshape(*weight.shape[:2], -1)
    if turned:  # (in, out of a group, …), else (out, in of a group, …)
        by_group = np.swapaxes(flat.reshape(groups, -1, *flat.shape[1:]), 1, 2)
    else:
        by_group = flat.reshape(groups, -1, *flat.shape[1:])
    least, most = low.reshape(groups, 1, -1), high.reshape(groups, 1, -1)
    open_ = _open(least, most, weight.size)
    reads = by_group.any(axis=-1)  # (groups, out, in)
    closed = ~(reads & open_).any(axis=-1)
    out = np.full((2, *closed.shape), np.inf)
    out[0] *= -1
    if closed.any():
        wide = by_group.astype(np.float64)
        up, down = np.maximum(wide, 0).sum(-1), np.minimum(wide, 0).sum(-1)
        least, most = np.where(open_, 0.0, least), np.where(open_, 0.0, most)
        bottom, top = (least * up + most * down).sum(-1), (most * up + least * down).sum(-1)
        sure = ~(reads & (least != most)).any(axis=-1)
        out[0][closed], out[1][closed] = bottom[closed], np.where(sure, bottom, top)[closed]
    return Interval(out[0].reshape(-1), out[1].reshape(-1))


def _einsum(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """Zero where one factor of every product is."""
    ranks = [one.rank for one in given]
    places = {ref: index for index, group in enumerate(rule.same) for ref in group}
    over = [index for index, group in enumerate(rule.same) if not any(ref.is_result for ref in group)]
    zero: Bools = np.zeros((1,) * len(rule.same), bool)
    for slot, (one, rank) in enumerate(zip(given, ranks, strict=True)):
        axes = [next(at for ref, at in places.items() if ref == (False, slot, axis)) for axis in range(rank)]
        if len(set(axes)) < rank:  # a diagonal
            continue
        shape = [1] * zero.ndim
        for axis, at in enumerate(axes):
            shape[at] = one.low.shape[axis]
        order = np.argsort(axes)
        zero = zero | np.transpose(_is_zero(one), order).reshape(shape)
    zero = np.asarray(zero.all(axis=tuple(over), keepdims=True))
    out = sorted((ref.axis, places[ref]) for ref in places if ref.is_result)
    turned = np.transpose(zero, [*(at for _, at in out), *over]).reshape([zero.shape[at] for _, at in out])
    return where_sure(turned, 0.0)


def is_padded(view: RuleView, kernel: Sequence[int]) -> bool:
    """Whether windows may reach beyond the edge, where zeros are, or leave places out."""
    if view.node.op_type == "ConvTranspose":  # a window at the edge, or of another phase, reads fewer places
        shifted = any(extent != 1 for extent in (*kernel, *view.attribute("strides", ())))
        return shifted or any(view.attribute("output_padding", ())) or "output_shape" in view.node.attributes
    auto = view.attribute("auto_pad", "NOTSET")
    if auto in ("NOTSET", b"NOTSET"):
        return any(view.attribute("pads", ()))
    return auto not in ("VALID", b"VALID") and any(extent != 1 for extent in kernel)


PRODUCTS = {
    **dict.fromkeys(("MatMul", "FusedMatMul"), _matmul),
    **dict.fromkeys(("Gemm", "FusedGemm"), _gemm),
    **dict.fromkeys(CONVOLUTIONS, _conv),
    "Einsum": _einsum,
}
