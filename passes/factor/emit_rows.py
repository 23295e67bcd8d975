"""Stages as operators, rows first: convolutions of one pixel over the places of every row, and a product at the end.

    x (M, K) ─ Reshape ─► (M · groups, ranks · a, places) ─ Conv ─► … ─► (M · groups, ranks · a) ─ MatMul ─► y

Nothing moves, from the first stage to the last: one matrix has to be for all places, and in the last stage for all
groups. A MatMul with the weight on the left would do the same as a Conv, and stacks of matrices would do where there
are more of them, but of no rows ONNX Runtime refuses the former, and divides by zero in the latter (1.31).
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from ..lowering.nodes.features_first import Frame, enter_rows, leave_rows
from ..lowering.nodes.last_axis import take_columns
from ..lowering.nodes.primitives import addend, affine
from .stages import Factors, Stage, StagePlace

__all__ = ["begin_rows", "emit_rows", "suits_rows", "turned"]


def suits_rows(factors: Factors, count: int) -> bool:
    """Whether so many stages, from the first, can be written rows first."""
    if count == len(factors.stages) and factors.stages[-1].weight.shape[0] > 1:
        return False
    return count <= len(factors.stages) and all(stage.weight.shape[1] == 1 for stage in factors.stages[:count])


def emit_rows(emitter: Emitter, constants: Constants, factors: Factors) -> ir.Value:
    """Emit the nodes that stand in for the emitter's linear, whose features are on the last axis, and return the value
    that replaces the node's output; factors: that suit it."""
    frame, value = begin_rows(emitter, factors, len(factors.stages))
    value = _ordered(emitter, value, factors)
    return addend(emitter, leave_rows(emitter, frame, affine(emitter, value, constants, 0)))


def begin_rows(emitter: Emitter, factors: Factors, count: int) -> tuple[Frame, ir.Value]:
    """So many stages, from the first: the activation as it came in, and (M, groups, ranks, places) in any shape."""
    frame = enter_rows(emitter)
    value = frame.features
    if factors.taken is not None:
        value = take_columns(emitter, value, factors.taken, extent=factors.inputs, rank=2, role="taken")
    if factors.scale is not None:
        value = emitter.one("Mul", [value, emitter.constant(factors.scale.astype(np.float32), "scale")], "scale")
    for index, (stage, at) in enumerate(islice(factors.places(), count)):
        value = _product(emitter, value, stage, at, f"stage.{index}")
    return frame, value


def turned(order: npt.NDArray[np.int64], count: int) -> int | None:
    """How many runs of results are to be taken in turns, so that an order of all of them comes of it; None for others.

    >>> turned(np.array([0, 3, 1, 4, 2, 5]), 6)
    2
    """
    if order.size != count or count < 2 or order[1] < 1 or count % order[1]:
        return None
    runs = count // int(order[1])
    return runs if np.array_equal(order, np.arange(count).reshape(runs, -1).T.ravel()) else None


def _product(emitter: Emitter, value: ir.Value, stage: Stage, at: StagePlace, role: str) -> ir.Value:
    """(M, groups, ranks, places), in any shape, to the same of what the stage makes."""
    groups, _, reads, made = stage.weight.shape
    left = at.places // stage.radix
    weight = stage.weight.astype(np.float32)
    if left == 1:
        value = _reshape(emitter, value, [-1, reads], role)
        return emitter.one("MatMul", [value, emitter.constant(weight[0, 0], role)], role)
    value = _reshape(emitter, value, [-1, groups * reads, left], role)
    kernel = emitter.constant(weight[:, 0].swapaxes(1, 2).reshape(groups * made, reads, 1), role)
    return emitter.one("Conv", [value, kernel], role, group=groups, kernel_shape=[1])


def _ordered(emitter: Emitter, value: ir.Value, factors: Factors) -> ir.Value:
    """(M, N): results of the last stage in the order of the outputs."""
    count, order = factors.made, factors.order
    runs = turned(order, count)
    if runs is not None and runs < count:
        value = _reshape(emitter, value, [-1, runs, count // runs], "order")
        value = emitter.one("Transpose", [value], "order", perm=[0, 2, 1])
    value = _reshape(emitter, value, [-1, count], "order")
    return value if runs is not None else take_columns(emitter, value, order, extent=count, rank=2, role="order")


def _reshape(emitter: Emitter, value: ir.Value, shape: list[int], role: str) -> ir.Value:
    return emitter.one("Reshape", [value, emitter.integers(shape, f"{role}/shape")], role)
