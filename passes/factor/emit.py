"""Stages as operators, features first: a stack of products each, and one Gather behind the last.

    x ─ enter ─► (K, M) ─ Reshape ─► (groups, ranks · a, places · M) ─ weight · ─► … ─ Gather ─► (N, M) ─ leave ─► y

Where each place has a matrix of its own, places come to stand in front of a stage and go back behind it, which moves
whole rows. Where one matrix is for all of them, nothing moves at all. A Gather stands before the first stage where the
order of the inputs was lost.
"""

from __future__ import annotations

import numpy as np

from ...ir.graph.constants import Constants
from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from ..lowering.nodes.features_first import enter, leave
from ..lowering.nodes.primitives import addend, affine
from .stages import Factors, Stage, StagePlace

__all__ = ["emit"]


def emit(emitter: Emitter, constants: Constants, factors: Factors) -> ir.Value:
    """Emit the nodes that stand in for the emitter's linear and return the value that replaces the node's output."""
    frame = enter(emitter)
    value = frame.features
    if factors.taken is not None:
        value = emitter.one("Gather", [value, emitter.integers(factors.taken, "taken")], "taken", axis=0)
    if factors.scale is not None:
        scale = emitter.constant(factors.scale.astype(np.float32)[:, None], "scale")
        value = emitter.one("Mul", [value, scale], "scale")
    count = 1
    for index, (stage, at) in enumerate(factors.places()):
        value = _product(emitter, value, stage, at, f"stage.{index}")
        behind = at.behind(stage)
        count = behind.groups * behind.ranks
    value = _reshape(emitter, value, [count, -1], "order")
    if not np.array_equal(factors.order, np.arange(count)):
        value = emitter.one("Gather", [value, emitter.integers(factors.order, "order")], "order", axis=0)
    return addend(emitter, leave(emitter, frame, affine(emitter, value, constants, 1)))


def _product(emitter: Emitter, value: ir.Value, stage: Stage, at: StagePlace, role: str) -> ir.Value:
    """(groups, ranks, places, M), in any shape, to the same of what the stage makes."""
    groups, own, reads, made = stage.weight.shape
    left = at.places // stage.radix
    whole = stage.weight.swapaxes(2, 3).astype(np.float32)
    if own == 1:
        weight = emitter.constant(whole.reshape(made, reads) if groups == 1 else whole[:, 0], role)
        one = groups == at.groups == 1
        value = _reshape(emitter, value, [reads, -1] if one else [at.groups, reads, -1], role)
        return emitter.one("MatMul", [weight, value], role)
    whole = np.broadcast_to(whole, (at.groups, left, made, reads))
    weight = emitter.constant(whole.reshape(-1, made, reads), role)
    value = _reshape(emitter, value, [at.groups, at.ranks * stage.radix, left, -1], role)
    value = emitter.one("Transpose", [value], role, perm=[0, 2, 1, 3])
    value = _reshape(emitter, value, [at.groups * left, reads, -1], role)
    value = emitter.one("MatMul", [weight, value], role)
    value = _reshape(emitter, value, [at.groups, left, made, -1], role)
    return emitter.one("Transpose", [value], role, perm=[0, 2, 1, 3])


def _reshape(emitter: Emitter, value: ir.Value, shape: list[int], role: str) -> ir.Value:
    return emitter.one("Reshape", [value, emitter.integers(shape, f"{role}/shape")], role)
