"""Attention as one operator that reads queries, keys and values as parts of one axis: which heads lie where on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....ir.axes.axis_rule import RuleView
from ....ir.axes.regrouping import Extents
from .attention import MICROSOFT, is_alike, lacks
from .interval import Floats, Interval
from .products import times, weight_of

__all__ = ["BIAS", "WEIGHT", "PackedHeads", "mixed", "packed_heads"]

WEIGHT, BIAS = 1, 2  # operands of an Attention with a product of its own


@dataclass(frozen=True, slots=True, eq=False)
class PackedHeads:
    """An attention operator whose queries, keys and values lie behind one another along one axis, of such widths.

    queries, keys: how many heads there are; weighed: whether the axis is that of a weight of the operator's own, not of
    what it reads; only_zero: whether a value that is one number need not come out as it.
    """

    #     columns    q 0 … 31 | q 32 … 63 | k 0 … 31 | k 32 … 63 | v 0 … 31 | v 32 … 63      widths 64, 64, 64
    view: RuleView
    queries: int
    keys: int
    widths: tuple[int, int, int]
    weighed: bool
    only_zero: bool

    @property
    def each(self) -> tuple[int, int, int]:
        """Features of a head of each of the three."""
        q, k, v = self.widths
        return q // self.queries, k // self.keys, v // self.keys

    @property
    def extents(self) -> Extents:
        """The extents of the result."""
        batch, positions, _ = self.view.extents(0)
        return batch, positions, self.queries * self.each[2]


def packed_heads(view: RuleView) -> PackedHeads | None:
    """The heads of an attention operator of one packed operand; None where it is another one."""
    node = view.node
    x = view.operand(0)
    if node.domain != MICROSOFT or x is None or x in view.constants or view.sizes.of(x) is None or view.rank(0) != 3:
        return None
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return None
    read = {"Attention": _own_product, "GroupQueryAttention": _one_operand}.get(node.op_type)
    found = None if read is None else read(view)
    if found is None or min(found.queries, found.keys) < 1 or found.queries % found.keys:
        return None
    counts = found.queries, found.keys, found.keys
    return (
        found if all(width and not width % count for width, count in zip(found.widths, counts, strict=True)) else None
    )


def _own_product(view: RuleView) -> PackedHeads | None:
    """Attention of ONNX Runtime: a product with a weight (features, queries + keys + values), and a bias."""
    weight, bias = weight_of(view, WEIGHT), weight_of(view, BIAS)
    if (
        weight is None
        or bias is None
        or not lacks(view, (4, 6))
        or not is_alike(view, 5)
        or view.attribute("do_rotary", 0)
    ):
        return None
    shape, _ = view.constants.describe(weight)
    if len(shape) != 2 or view.constants.describe(bias)[0] != shape[1:] or view.extents(0)[-1] != shape[0]:
        return None
    told = view.attribute("qkv_hidden_sizes", ()) or [shape[1] // 3] * 3
    heads = int(view.attribute("num_heads", 0))
    if len(told) != 3 or sum(told) != shape[1] or told[0] != told[1]:
        return None
    widths = int(told[0]), int(told[1]), int(told[2])
    masked = view.attribute("unidirectional", 0) or not lacks(view, (3, 5))
    return PackedHeads(view, heads, heads, widths, weighed=True, only_zero=bool(masked))


def _one_operand(view: RuleView) -> PackedHeads | None:
    """GroupQueryAttention whose keys and values lie behind the queries, without a cache."""
    if not lacks(view, (1, 2, 3, 4, *range(11, 16))) or not is_alike(view, 10):
        return None
    queries, keys = (int(view.attribute(name, 0)) for name in ("num_heads", "kv_num_heads"))
    width = view.extents(0)[-1]
    if not isinstance(width, int) or queries + 2 * keys < 1 or width % (queries + 2 * keys):
        return None
    each = width // (queries + 2 * keys)
    return PackedHeads(view, queries, keys, (queries * each, keys * each, keys * each), weighed=False, only_zero=True)


def mixed(heads: PackedHeads, x: Interval) -> Interval:
    """Bounds of the result: it lies between the least and the largest of the values of its head and feature."""
    start = heads.widths[0] + heads.widths[1]
    if heads.weighed:
        weight, bias = (heads.view.operand(index) for index in (WEIGHT, BIAS))
        assert weight is not None and bias is not None
        W, b = (heads.view.constants.read(value) for value in (weight, bias))
        found = times(x.hull([0, 1]), W[:, start:], 1.0, 3)
        low, high = (side.reshape(-1) + b[start:].astype(np.float64) for side in (found.low, found.high))
    else:
        ends = x.along(2, sum(heads.widths))
        low, high = (side[start:] for side in ends)
    low, high = (_served(side, heads) for side in (low, high))
    if heads.only_zero:
        zero = (low == 0) & (high == 0)
        low, high = np.where(zero, 0.0, -np.inf), np.where(zero, 0.0, np.inf)
    return Interval(low.reshape(1, 1, -1), high.reshape(1, 1, -1))


def _served(side: Floats, heads: PackedHeads) -> Floats:
    """What belongs to a head of the values, once for each head of the queries that it serves."""
    return np.repeat(side.reshape(heads.keys, -1), heads.queries // heads.keys, axis=0).reshape(-1)
