"""Axes that are summed over: which of their places add something that depends on what the model is fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rule import Operand, RuleView
from ...ir.axes.shared_axis import Dim
from ...ir.onnx_ir import onnx_ir as ir
from .axis_classes import Constraint, Masks
from .bounds.forward import Facts
from .bounds.interval import Bools, Floats
from .bounds.products import is_padded, weight_of
from .sums import softmax_ignores, sum_over, sums_of

__all__ = ["Contraction", "FoldedConstant", "Tiny", "contraction_of", "convolution_of"]

FEW = 32  # results that are looked at first

Tiny: TypeAlias = "Callable[[ir.Value, ir.DataType], float]"  # below which entries count as zero


@dataclass(frozen=True, slots=True, eq=False)
class FoldedConstant:
    """What places that go added to a product, the same wherever it is: along `axis` of its result, in float64."""

    node: ir.Node
    axis: int  # counted from the last, 1
    added: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """A product with a constant, which is read as a stack of matrices (groups, in, out), windows aside.

    inner: the axis of what is multiplied; outer: that of the weight along the results; constants: what each place of
    `inner` always holds, NaN where that is not known; layout: how the weight is stored, 'io' in × out, 'oi' out × in of
    a group, 'ti' in × out of a group.
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
        held, stack, own = self.constants, self.stack(), outer.reshape(self.groups, 1, -1)
        adds = np.isnan(held) if self.folds else held != 0
        # Most often a few results read everything that there is, and the rest of a large weight need not be looked at.
        if (_reads(stack[:, :, :FEW], own[:, :, :FEW], self.tiny)[0] & adds).all():
            return np.ones(held.size, bool)
        reads, odd = _reads(stack, own, self.tiny)
        return (reads & adds) | odd

    def constant_count(self, masks: Masks) -> int:
        """How many places that go are constants that are not zero."""
        return int((~masks.of(self.inner) & (np.nan_to_num(self.constants) != 0)).sum())

    def tiny_count(self, masks: Masks) -> int:
        """How many places that go, and are no constants, have subnormal entries."""
        gone = ~masks.of(self.inner) & np.isnan(self.constants)
        if not gone.any() or not self.tiny:
            return 0
        entries = self.stack().any(axis=-1) & masks.of(self.outer).reshape(self.groups, 1, -1)
        return int((gone & entries.any(axis=-1).reshape(-1)).sum())

    def extents(self, masks: Masks) -> tuple[int, int, int, int]:
        """In and out of the product as one dense one, before and once what goes has gone; windows count as inputs."""
        shape, _ = self.facts.sizes.constants.describe(self.weight.value)
        window = int(np.prod(shape[2:], dtype=np.int64))
        sides = masks.of(self.inner), masks.of(self.outer)
        # Each group is a product of its own: all of them together count as many multiply-adds as one of them alone.
        sizes = [side.size for side in sides] + [int(side.sum()) for side in sides]
        return tuple(  # type: ignore[return-value]
            max(1, size * window // self.groups) if place % 2 == 0 else size for place, size in enumerate(sizes)
        )

    @property
    def itemsize(self) -> int:
        """Bytes of an entry of the weight."""
        return int(self.facts.sizes.constants.describe(self.weight.value)[1].itemsize)

    def stored(self) -> npt.NDArray[Any]:
        """The weight as it is stored."""
        return self.facts.sizes.constants.read(self.weight.value)

    def stack(self) -> npt.NDArray[Any]:
        """The weight as (groups, in, out, window)."""
        weight = self.stored()
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
        stack = self.stack().astype(np.float64).sum(axis=-1)  # (groups, in, out)
        added = self.scale * np.where(held != 0, stack * held, 0.0).sum(axis=1).reshape(-1)[masks.of(self.outer)]
        return FoldedConstant(self.node, self.result_axis, added) if added.any() else None


def _reads(stack: npt.NDArray[Any], outer: Bools, tiny: float) -> tuple[Bools, Bools]:
    """What results read of a stack (groups, in, out, window): the inputs that count, those with odd entries.

    An entry counts where it is neither zero nor so small that it may be flushed to zero; one that is not finite is odd:
    whatever that makes of zeros, it stays.
    """
    largest = np.abs(stack).max(axis=-1)  # (groups, in, out)
    reads = (largest > tiny) & outer
    return reads.any(axis=-1).reshape(-1), (~np.isfinite(largest)).any(axis=-1).reshape(-1)


def contraction_of(node: ir.Node, facts: Facts, tiny: Tiny) -> list[Constraint] | None:
    """What has to stay of the axes that a product sums over; None where it is not known how it is summed."""
    view = RuleView(node, facts.sizes.constants, facts.sizes)
    if node.op_type in ("MatMul", "FusedMatMul"):
        return _of_matmul(view, facts, tiny)
    if node.op_type in ("Gemm", "FusedGemm"):
        return _of_gemm(view, facts, tiny)
    return sums_of(node, facts)


def _of_matmul(view: RuleView, facts: Facts, tiny: Tiny) -> list[Constraint] | None:
    node, (a, b) = view.node, (view.rank(0), view.rank(1))
    turned = [bool(view.attribute(name, 0)) for name in ("transA", "transB")]
    scale = float(view.attribute("alpha", 1.0))
    left, right = (node.inputs[index] for index in (0, 1))
    assert left is not None and right is not None
    if weight_of(view, 1) is not None and b == 2 and a >= 1:
        layout = "oi" if turned[1] else "io"
        inner = (left, a - 2 if turned[0] and a > 1 else a - 1)
        return [_constant(facts, inner, Operand(node, 1), layout=layout, at=1, tiny=tiny, scale=scale)]
    if weight_of(view, 0) is not None and a == 2 and b >= 2:
        layout = "io" if turned[0] else "oi"
        inner = (right, b - 1 if turned[1] else b - 2)
        return [_constant(facts, inner, Operand(node, 0), layout=layout, at=2, tiny=tiny, scale=scale)]
    ends = []
    for index, rank in enumerate((a, b)):
        last = (index == 0) != turned[index] or rank == 1
        ends.append((index, rank - 1 if last else rank - 2))
    return [sum_over(facts, node, ends, shifts=softmax_ignores(facts, node))]


def _of_gemm(view: RuleView, facts: Facts, tiny: Tiny) -> list[Constraint] | None:
    node = view.node
    x, added = node.inputs[0], view.operand(2)
    if weight_of(view, 1) is None or x is None:
        return None
    turned = [bool(view.attribute(name, 0)) for name in ("transA", "transB")]
    beta = float(view.attribute("beta", 1.0))
    folds = added is None or (added in view.constants and beta == 1.0)
    scale = float(view.attribute("alpha", 1.0))
    inner, layout = (x, 0 if turned[0] else 1), "oi" if turned[1] else "io"
    found = _constant(facts, inner, Operand(node, 1), layout=layout, at=1, tiny=tiny, scale=scale)
    return [replace(found, folds=folds)]


def _constant(
    facts: Facts,
    inner: Dim,
    weight: Operand,
    *,
    layout: str,
    at: int,
    tiny: Tiny,
    groups: int = 1,
    scale: float = 1.0,
) -> Contraction:
    """A product with a constant, held against what is known of what it multiplies."""
    rows = 1 if layout == "oi" else 0  # the axis of the weight along what it multiplies
    place, axis = inner
    assert isinstance(place, ir.Value)
    bounds = facts.of(place)
    shape, kind = facts.sizes.constants.describe(weight.value)
    count = shape[0] if layout == "ti" else shape[rows] * groups
    held = np.full(count, np.nan)
    if bounds is not None:
        low, high = bounds.along(axis, count)
        held = np.where((low == high) & np.isfinite(low), low, np.nan)
    return Contraction(
        node=weight.node,
        inner=inner,
        outer=(weight, 1 - rows),
        result_axis=at,
        weight=weight,
        groups=groups,
        constants=held,
        folds=True,
        tiny=tiny(weight.value, kind),
        scale=scale,
        layout=layout,
        facts=facts,
    )


def convolution_of(node: ir.Node, facts: Facts, tiny: Tiny) -> Contraction | None:
    """What a convolution with constant kernels reads of its channels; None where they are not constant."""
    view = RuleView(node, facts.sizes.constants, facts.sizes)
    x, W = node.inputs[0], weight_of(view, 1)
    if x is None or W is None or view.operand(3) is not None:
        return None
    turned = node.op_type == "ConvTranspose"
    bias = view.operand(2)
    kernel = view.constants.describe(W)[0][2:]
    exact = not is_padded(view, kernel) and (bias is None or bias in view.constants)
    groups = int(view.attribute("group", 1))
    layout, at = "ti" if turned else "oi", len(kernel) + 1
    found = _constant(facts, (x, 1), Operand(node, 1), layout=layout, at=at, tiny=tiny, groups=groups)
    return replace(found, folds=exact)
