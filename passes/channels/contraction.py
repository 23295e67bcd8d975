"""Axes that are summed over: which of their places add something that depends on what the model is fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rule import Operand
from ...ir.axes.shared_axis import Dim
from ...ir.graph.node import FLOATS
from ...ir.onnx_ir import onnx_ir as ir
from .axis_classes import Masks
from .bounds.forward import Facts
from .bounds.interval import Bools, Floats
from .bounds.scan import FEW
from .negligible import Negligible, Swallowed

__all__ = ["Contraction", "FoldedConstant", "held_along", "largest_along", "own_product"]

ROWS_AXIS = {"io": 0, "oi": 1}  # by layout: the axis of a weight along what it multiplies


@dataclass(frozen=True, slots=True, eq=False)
class FoldedConstant:
    """What places that go added to a product, the same wherever it is: along `axis` of its result, in float64.

    Of a recurrent operator (directions, rows).
    """

    node: ir.Node
    axis: int  # counted from the last, 1
    added: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """A product with a constant, which is read as a stack of matrices (groups, in, out), windows aside.

    inner: the axis of what is multiplied; outer: that of the weight along the results; constants: what each place of
    `inner` always holds, NaN where that is not known; layout: how the weight is stored, 'io' in × out, 'oi' out × in of
    a group, 'ti' in × out of a group; recurrence: what the results of the step before are multiplied by, as well.
    """

    node: ir.Node
    inner: Dim
    outer: Dim
    result_axis: int  # of the features in the result, counted from the last, 1
    weight: Operand
    groups: int
    constants: Floats
    folds: bool  # whether what constants add can be added to the result
    tiny: float  # an entry below this counts as zero
    scale: float  # that the product is multiplied by
    layout: str
    facts: Facts
    matrix: Callable[[], npt.NDArray[Any]] | None = None  # reads a weight that is stored otherwise, of `layout`
    recurrence: Operand | None = None  # (…, …, hidden)
    swallowed: Swallowed | None = None  # what the rounding of a bias is larger than

    @property
    def dims(self) -> Sequence[Dim]:
        """The axes of both sides."""
        return self.inner, self.outer

    def hold(self, masks: Masks) -> None:
        """Keep what adds to a result that stays something that depends on what the model is fed."""
        inner = masks.of(self.inner)
        if not inner.all():
            masks.keep(self.inner, self.needed(masks.of(self.outer)))

    def needed(self, outer: Bools) -> Bools:
        """The places of `inner` that have to stay where these results do."""
        held = self.constants
        adds = np.isnan(held) if self.folds else held != 0
        # Most often a few results read everything that there is, and a large weight need not be read again.
        if adds.all() and outer[:FEW].all() and self._is_full():
            return np.ones(held.size, bool)
        stack, own = self.stack(), outer.reshape(self.groups, 1, -1)
        if (self._reads(stack, own, FEW)[0] & adds).all():
            return np.ones(held.size, bool)
        if self.groups == 1 and self.swallowed is None and self._is_finite():
            few = stack[:, :, np.flatnonzero(outer)]  # what other results read does not matter, and may be much
            reads, odd = self._reads(few, np.ones((1, 1, few.shape[2]), bool), few.shape[2])
        else:
            reads, odd = self._reads(stack, own, own.size)
        return (reads & adds) | odd

    def _is_finite(self) -> bool:
        """Whether every entry is known to be."""
        scan = self.facts.scans.get(self.weight.value)
        return scan is not None and scan.is_finite and self.matrix is None and self.recurrence is None

    def _reads(self, stack: npt.NDArray[Any], outer: Bools, few: int) -> tuple[Bools, Bools]:
        """What a few results read of a stack (groups, in, out, window): the inputs that count, those with odd entries.

        An entry counts where it is neither zero nor so small that it may be flushed to zero, or that a bias swallows
        it; one that is not finite is odd: whatever that makes of zeros, it stays.
        """
        sizes = np.abs(stack[:, :, :few])
        largest = sizes.max(axis=-1)  # (groups, in, out)
        counts = (largest > self.tiny) & outer[:, :, :few]
        if self.swallowed is not None and counts.any():
            counts &= ~self.swallowed.spares(sizes.sum(axis=-1, dtype=np.float64), few)
        return counts.any(axis=-1).reshape(-1), (~np.isfinite(largest)).any(axis=-1).reshape(-1)

    def _is_full(self) -> bool:
        """Whether each place of what is multiplied is known to add to one of the first results."""
        scan = self.facts.scans.get(self.weight.value)
        sizes = None if scan is None else scan.largest.get(ROWS_AXIS.get(self.layout, -1))
        if sizes is None or self.matrix is not None or self.groups != 1:
            return False
        counts = sizes > self.tiny
        if self.swallowed is not None:
            with np.errstate(invalid="ignore"):  # of what has no bounds nothing is spared
                counts &= ~(sizes * self.swallowed.largest.reshape(-1) <= self.swallowed.ceiling[:, :, :FEW].max())
        return bool(counts.all())

    def constant_count(self, masks: Masks) -> int:
        """How many places that go are constants that are not zero."""
        return int((~masks.of(self.inner) & (np.nan_to_num(self.constants) != 0)).sum())

    def tiny_count(self, masks: Masks) -> int:
        """How many places that go, and are no constants, are read, but by entries that are too small to matter."""
        gone = ~masks.of(self.inner) & np.isnan(self.constants)
        if not gone.any() or (not self.tiny and self.swallowed is None):
            return 0
        entries = self.stack().any(axis=-1) & masks.of(self.outer).reshape(self.groups, 1, -1)
        return int((gone & entries.any(axis=-1).reshape(-1)).sum())

    def extents(self, masks: Masks) -> tuple[int, int, int, int]:
        """In and out of the product as one dense one, before and once what goes has gone; windows count as inputs."""
        shape, _ = self.facts.sizes.constants.describe(self.weight.value)
        window = int(np.prod(shape[2:], dtype=np.int64)) if self.matrix is None or self.layout != "io" else 1
        sides = [masks.of(self.inner), masks.of(self.outer)]
        if self.recurrence is not None:
            sides[0] = np.concatenate([sides[0], masks.of((self.recurrence, 2))])
        # Each group is a product of its own: all of them together count as many multiply-adds as one of them alone.
        sizes = [side.size for side in sides] + [int(side.sum()) for side in sides]
        return tuple(  # type: ignore[return-value]
            max(1, size * window // self.groups) if place % 2 == 0 else size for place, size in enumerate(sizes)
        )

    @property
    def itemsize(self) -> int:
        """Bytes of an entry of the weight."""
        kind = self.facts.sizes.constants.describe(self.weight.value)[1]
        return int(kind.itemsize) if kind in FLOATS else 4  # what is predicted is the product of floats

    def stored(self) -> npt.NDArray[Any]:
        """The weight as it is stored, that of the step before beside it."""
        read = self.facts.sizes.constants.read
        weight = read(self.weight.value)
        return weight if self.recurrence is None else np.concatenate([weight, read(self.recurrence.value)], axis=-1)

    def stack(self) -> npt.NDArray[Any]:
        """The weight as (groups, in, out, window)."""
        weight = self.stored() if self.matrix is None else self.matrix()
        flat = weight.reshape(*weight.shape[:2], -1)
        if self.layout == "io":
            return flat[None]
        if self.layout == "ti":
            return flat.reshape(self.groups, -1, *flat.shape[1:])
        return np.swapaxes(flat.reshape(self.groups, -1, *flat.shape[1:]), 1, 2)

    def fold(self, masks: Masks) -> FoldedConstant | None:
        """What the places that go added to the results that stay; None where that is nothing."""
        held = np.where(masks.of(self.inner), 0.0, np.nan_to_num(self.constants)).reshape(self.groups, -1, 1)
        if not held.any():
            return None
        if self.recurrence is not None:  # (in, out, directions), each with a bias of its own
            each = np.einsum("i,iod->do", held.reshape(-1), self.stack()[0].astype(np.float64))[:, masks.of(self.outer)]
            return FoldedConstant(self.node, self.result_axis, each) if each.any() else None
        stack = self.stack().astype(np.float64).sum(axis=-1)  # (groups, in, out)
        added = self.scale * np.where(held != 0, stack * held, 0.0).sum(axis=1).reshape(-1)[masks.of(self.outer)]
        return FoldedConstant(self.node, self.result_axis, added) if added.any() else None


def own_product(
    node: ir.Node, facts: Facts, small: Negligible, matrix: Callable[[], npt.NDArray[Any]] | None = None
) -> Contraction:
    """The product of the features (…, …, features) that an operator reads with a weight of its own, its operand 1.

    matrix: reads that weight as (features, results, …) where it is stored otherwise.
    """
    weight, x = Operand(node, 1), node.inputs[0]
    assert x is not None
    inner: Dim = (x, 2)
    features = facts.sizes.constants.describe(weight.value)[0][0 if matrix is None else 2]
    return Contraction(
        node=node,
        inner=inner,
        outer=(weight, 1),
        result_axis=1,
        weight=weight,
        groups=1,
        constants=held_along(facts, inner, features),
        folds=node not in facts.quantised,
        tiny=small.below(facts, weight.value),
        scale=1.0,
        layout="io",
        facts=facts,
        matrix=matrix,
    )


def held_along(facts: Facts, inner: Dim, count: int) -> Floats:
    """What each place of an axis of a value always holds, NaN where that is not known."""
    low, high = _bounds_along(facts, inner, count)
    return np.where((low == high) & np.isfinite(low), low, np.nan)


def largest_along(facts: Facts, inner: Dim, count: int) -> Floats:
    """How large each place of an axis of a value is at most, infinite where that is not known."""
    low, high = _bounds_along(facts, inner, count)
    return np.maximum(np.abs(low), np.abs(high))


def _bounds_along(facts: Facts, inner: Dim, count: int) -> tuple[Floats, Floats]:
    place, axis = inner
    assert isinstance(place, ir.Value)
    bounds = facts.of(place)
    return (np.full(count, -np.inf), np.full(count, np.inf)) if bounds is None else bounds.along(axis, count)
