"""Attention as one operator: which heads it has, and what is known of its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....ir.axes.axis_rule import RuleView
from ....ir.axes.regrouping import Extents
from ....ir.graph.operators import is_standard
from .interval import Floats, Interval

__all__ = ["MICROSOFT", "Heads", "attended", "heads_of", "is_alike", "lacks"]

MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """An attention operator of queries, keys and values (batch, positions, heads × features), or with heads in front.

    queries, keys: how many heads there are, of which each of the keys serves as many of the queries; front: whether
    heads are an axis of their own, the second; only_zero: whether a value that is one number need not come out as it.
    """

    view: RuleView
    queries: int
    keys: int
    front: bool
    only_zero: bool

    @property
    def axis(self) -> int:
        """The axis that heads lie on."""
        return 1 if self.front else 2

    def features(self, index: int) -> int:
        """How many features each head has of an operand."""
        extent = self.view.extents(index)[-1]
        heads = self.queries if index == 0 else self.keys
        assert isinstance(extent, int)
        return extent if self.front else extent // heads

    @property
    def extents(self) -> Extents:
        """The extents of the result."""
        batch, *others = self.view.extents(0)
        features = self.features(2)
        return (batch, *others[:-1], features) if self.front else (batch, others[0], self.queries * features)


def heads_of(view: RuleView) -> Heads | None:
    """The heads of an attention operator; None where it is none, or one of a form whose heads are not told apart."""
    read = FORMS.get((MICROSOFT if view.node.domain == MICROSOFT else "", view.node.op_type))
    if read is None or (read is _standard) != is_standard(view.node):
        return None
    operands = [view.operand(index) for index in range(3)]
    if any(value is None or view.sizes.of(value) is None for value in operands):
        return None
    ranks = {view.rank(index) for index in range(3)}
    lasts = [extent for index in range(3) if isinstance(extent := view.extents(index)[-1], int)]
    results = [value for value in view.node.outputs[1:] if value.uses() or value.is_graph_output()]
    if ranks not in ({3}, {4}) or len(lasts) < 3 or results:
        return None
    found = read(view, ranks == {4})
    if found is None or found.keys < 1 or found.queries % found.keys:
        return None
    heads = found.queries, found.keys, found.keys
    whole = found.front or all(last % count == 0 for last, count in zip(lasts, heads, strict=True))
    return found if whole else None


def lacks(view: RuleView, indices: range | tuple[int, ...]) -> bool:
    """Whether operands are left out."""
    return all(view.operand(index) is None for index in indices)


def is_alike(view: RuleView, index: int) -> bool:
    """Whether what is added to the scores is the same for all heads."""
    value = view.operand(index)
    if value is None:
        return True
    extents = view.sizes.of(value)
    return extents is not None and (len(extents) < 3 or extents[-3] == 1)


def _multi_head(view: RuleView, front: bool) -> Heads | None:
    """MultiHeadAttention of three operands without a cache and without a bias of its own."""
    heads = int(view.attribute("num_heads", 0))
    if front or not lacks(view, (3, 6, 7, 8, 9)) or not is_alike(view, 5):
        return None
    return Heads(view, heads, heads, front, only_zero=not lacks(view, (4, 5)))


def _grouped(view: RuleView, front: bool) -> Heads | None:
    """GroupQueryAttention of three operands without a cache."""
    if front or not lacks(view, (3, 4, *range(11, 16))) or not is_alike(view, 10):
        return None
    queries, keys = (int(view.attribute(name, 0)) for name in ("num_heads", "kv_num_heads"))
    return Heads(view, queries, keys, front, only_zero=True)  # positions behind a sequence are anything


def _standard(view: RuleView, front: bool) -> Heads | None:
    """Attention of ONNX, without a cache."""
    if not lacks(view, (4, 5, 6)) or not is_alike(view, 3):
        return None
    masked = view.operand(3) is not None
    if front:
        counts = [view.extents(index)[1] for index in range(3)]
        if not all(isinstance(count, int) for count in counts) or counts[1] != counts[2]:
            return None
        return Heads(view, int(counts[0] or 0), int(counts[1] or 0), front, only_zero=masked)
    queries, keys = (int(view.attribute(name, 0)) for name in ("q_num_heads", "kv_num_heads"))
    return Heads(view, queries, keys, front, only_zero=masked)


FORMS: dict[tuple[str, str], Callable[[RuleView, bool], Heads | None]] = {
    ("", "Attention"): _standard,
    (MICROSOFT, "GroupQueryAttention"): _grouped,
    (MICROSOFT, "MultiHeadAttention"): _multi_head,
}


def attended(heads: Heads, values: Interval) -> Interval:
    """Bounds of a result: weights of values add up to one, so that it lies between the least and the largest."""
    over = [0, 2] if heads.front else [0, 1]
    x = values.hull(over)
    each = heads.queries // heads.keys
    low, high = (_repeated(side, heads, each) for side in (x.low, x.high))
    if heads.only_zero:
        zero = (low == 0) & (high == 0)
        low, high = np.where(zero, low, -np.inf), np.where(zero, high, np.inf)
    return Interval(low, high)


def _repeated(side: Floats, heads: Heads, each: int) -> Floats:
    """What belongs to a head of the values, once for each head of the queries that it serves."""
    if side.shape[heads.axis] == 1 or each == 1:
        return side
    if heads.front:
        return np.repeat(side, each, axis=1)
    split = side.reshape(1, 1, heads.keys, -1)
    return np.repeat(split, each, axis=2).reshape(1, 1, -1)
