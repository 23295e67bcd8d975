"""Whether an operator inside a region can be restricted to some blocks: asked of its rule, before anything is emitted.

What is asked here of a node, `node.restrict` asks again when it emits it, so that the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....ir.graph.operators import NORMS, POINTWISE, QUANTISING, REDUCING, RESHAPING, SOFTMAX, VECTOR_BIASED
from ....ir.plan.decomposition import Indices
from ....ir.reason import Cause, Reason
from .block_node import BlockNode

__all__ = ["copied_axes", "feature_extents", "picked_places", "slice_places", "why_not_restricted"]


def why_not_restricted(one: BlockNode) -> Reason | None:
    """Why a node cannot be computed for a group of blocks in the layout that was asked for; None when it can."""
    op = one.node.op_type
    if one.features_first and op not in POINTWISE | QUANTISING:
        return Reason(Cause.LAYOUT, f"{op} cannot be computed with features first")
    return REFUSALS[op](one)


def _pointwise(one: BlockNode) -> Reason | None:
    rank, selections = one.of_output()
    op, operands = one.node.op_type, one.node.inputs
    if op in VECTOR_BIASED and len(operands) > 1 and (one.stacked or one.features_first):
        return Reason(Cause.LAYOUT, f"{op} takes a vector along the last axis only")
    if op == "PRelu" and one.stacked and not one.inside[0]:
        return Reason(Cause.BLOCKS, "PRelu has as many dimensions as its first operand, which comes from outside")
    return one.why_not_aligned(range(len(operands)), rank, selections)


def _first_ranked(one: BlockNode) -> Reason | None:
    """Transpose, Split and reductions take their axes from what they read, whatever that holds."""
    return one.why_not_ranked(one.node.inputs[0])


def _reshape(one: BlockNode) -> Reason | None:
    if one.node.op_type in ("Squeeze", "Unsqueeze"):
        if one.integers("axes", 1) is None:
            return Reason(Cause.NOT_CONSTANT, "Squeeze of whatever extents are 1")
        return _first_ranked(one)
    if one.node.op_type == "Flatten":
        return Reason(Cause.BLOCKS, "Flatten cannot be stacked") if one.stacked else None
    for axis in copied_axes(one):
        if reason := one.why_not_sized(one.node.outputs[0], axis):
            return reason
    return None


def feature_extents(one: BlockNode) -> list[int | None]:
    """The extent that the first block has of each axis of a result; None for axes that tell no features apart."""
    rank, selections = one.of_output()
    shape = one.labels[one.written].shape
    return [selections[0][axis].size if shape[axis] > 1 else None for axis in range(rank)]


def copied_axes(one: BlockNode) -> list[int]:
    """The axes that a Reshape says nothing of, or that they are copied, and that tell features apart in what it reads
    but not in its result: a zero there would copy what the block has of it."""
    value, wanted = one.node.inputs[0], one.integers("shape", 1)
    if value is None or one.attribute("allowzero", 0):
        return []
    before = one.labels[value].shape
    return [
        axis
        for axis, extent in enumerate(feature_extents(one))
        if extent is None and before[axis : axis + 1] > (1,) and (wanted is None or wanted[axis] == 0)
    ]


def _expand(one: BlockNode) -> Reason | None:
    rank, _ = one.of_output()
    if reason := one.why_not_aligned([0], rank, ()):
        return reason
    return None if one.integers("shape", 1) is not None else one.why_not_sized(one.node.inputs[1], 0)


def _concat(one: BlockNode) -> Reason | None:
    rank, selections = one.of_output()
    if reason := one.why_not_aligned(range(len(one.node.inputs)), rank, selections):
        return reason
    if one.stacked and not all(one.inside):
        return Reason(Cause.BLOCKS, "a value from outside stands beside stacked ones")
    return None


def _slice(one: BlockNode) -> Reason | None:
    value = one.node.inputs[0]
    if reason := _first_ranked(one):
        return reason
    assert value is not None
    found = slice_places(one)
    if found is None:
        return Reason(Cause.NOT_CONSTANT, "Slice between bounds that are not known")
    reasons = (one.why_not_picked(value, axis, places) for axis, (_, places) in found.items() if places is not None)
    return next((reason for reason in reasons if reason), None)


def slice_places(one: BlockNode) -> dict[int, tuple[tuple[int, int, int], Indices | None]] | None:
    """(start, end, step) of a Slice along each axis, and the places that are taken where the axis tells features apart;
    nothing where it tells none apart along any of them; None where its bounds are not known."""
    value = one.node.inputs[0]
    assert value is not None
    shape = one.labels[value].shape
    starts, ends, axes = one.integers("starts", 1), one.integers("ends", 2), one.integers("axes", 3)
    if axes is not None and all(shape[axis] == 1 for axis in axes) and len(one.node.inputs) > 3:
        return {}
    if starts is None or ends is None:
        return None
    axes = [axis % len(shape) for axis in (axes if axes is not None else range(len(starts)))]
    steps = one.integers("steps", 4) or [1] * len(axes)
    return {
        axis: (bounds, None if shape[axis] == 1 else np.arange(shape[axis])[slice(*bounds)])
        for axis, bounds in zip(axes, zip(starts, ends, steps, strict=True), strict=True)
    }


def _gather(one: BlockNode) -> Reason | None:
    value = one.node.inputs[0]
    if reason := _first_ranked(one):
        return reason
    assert value is not None
    found = picked_places(one)
    if found is None:
        return None
    axis, places = found
    if places.ndim:
        return one.why_not_picked(value, axis, places)
    return Reason(Cause.BLOCKS, "a single feature of stacked blocks") if one.stacked else None


def picked_places(one: BlockNode) -> tuple[int, Indices] | None:
    """The axis of a Gather and what it takes along it; None where that axis tells no features apart."""
    value, index = one.node.inputs[0], one.node.inputs[1]
    assert value is not None and index is not None
    shape = one.labels[value].shape
    axis = int(one.attribute("axis", 0)) % len(shape)
    if shape[axis] == 1:
        return None
    return axis, one.constants.read(index).astype(np.int64) % shape[axis]


def _norm(one: BlockNode) -> Reason | None:
    rank, selections = one.of_output()
    return one.why_not_aligned(range(1, len(one.node.inputs)), rank, selections)


def _matmul(one: BlockNode) -> Reason | None:
    factors = one.node.inputs[:2]
    if reason := one.why_not_ranked(*factors):
        return reason
    if one.stacked and one.rank_of(factors[0]) != one.rank_of(factors[1]):
        return Reason(Cause.BLOCKS, "a product of values of different ranks cannot be stacked")
    rank, selections = one.of_output()
    reasons = (one.why_not_beside(index, rank, selections) for index in range(2) if not one.inside[index])
    return next((reason for reason in reasons if reason), None)


def _nothing(one: BlockNode) -> Reason | None:
    return None


REFUSALS: dict[str, Callable[[BlockNode], Reason | None]] = {
    **dict.fromkeys(POINTWISE | QUANTISING, _pointwise),
    **dict.fromkeys(RESHAPING, _reshape),
    **dict.fromkeys(NORMS, _norm),
    **dict.fromkeys(SOFTMAX, _nothing),
    **dict.fromkeys(REDUCING, _first_ranked),
    "Expand": _expand,
    "Transpose": _first_ranked,
    "Split": _first_ranked,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "MatMul": _matmul,
}
