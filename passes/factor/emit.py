"""Stages as operators, features first: a stack of products each, and one Gather behind the last.

    x ─ enter ─► (K, M) ─ Reshape ─► (groups, ranks · a, places · M) ─ weight · ─► … ─ Gather ─► (N, M) ─ leave ─► y

Where each place has a matrix of its own, places come to stand in front of a stage and go back behind it, which moves
whole rows. Where one matrix is for all of them, nothing moves at all. A Gather stands before the first stage where the
order of the inputs was lost.

The first stages may be written rows first instead. To bring the features of an activation first takes as long as a
stage does, where rows lie a multiple of a page apart three times as long; to bring groups first moves blocks, and the
product behind that reads them turned. ONNX Runtime would merge both Transposes into the product, which then divides by
zero where there are no rows (1.31), so they are kept apart.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from ...ir.graph.constants import Constants
from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from ..lowering.nodes.features_first import Frame, enter, leave
from ..lowering.nodes.primitives import addend, affine
from .emit_rows import begin_rows
from .stages import Factors, Stage, StagePlace

__all__ = ["emit", "reads_rows"]


def emit(emitter: Emitter, constants: Constants, factors: Factors, rows_first: int = 0) -> ir.Value:
    """Emit the nodes that stand in for the emitter's linear and return the value that replaces the node's output.

    rows_first: how many stages, from the first and not all of them, are written so.
    """
    frame, value = begin_rows(emitter, factors, rows_first) if rows_first else _begin(emitter, factors)
    for index, (stage, at) in islice(enumerate(factors.places()), rows_first, None):
        role = f"stage.{index}"
        if 0 < rows_first == index and reads_rows(stage, at):
            value = _product_of_rows(emitter, value, stage, at, role)
            continue
        if 0 < rows_first == index:
            value = _reshape(emitter, value, [-1, at.groups * at.ranks * at.places], role)
            value = emitter.one("Transpose", [value], role, perm=[1, 0])
        value = _product(emitter, value, stage, at, role)
    value = _reshape(emitter, value, [factors.made, -1], "order")
    if not np.array_equal(factors.order, np.arange(factors.made)):
        value = emitter.one("Gather", [value, emitter.integers(factors.order, "order")], "order", axis=0)
    return addend(emitter, leave(emitter, frame, affine(emitter, value, constants, 1)))


def reads_rows(stage: Stage, at: StagePlace) -> bool:
    """Whether a stage can read its inputs rows first: it is the last, a product of each group by itself."""
    return at.places == stage.radix


def _begin(emitter: Emitter, factors: Factors) -> tuple[Frame, ir.Value]:
    """The activation features first, in the order that stages have, and scaled."""
    frame = enter(emitter)
    value = frame.features
    if factors.taken is not None:
        value = emitter.one("Gather", [value, emitter.integers(factors.taken, "taken")], "taken", axis=0)
    if factors.scale is not None:
        scale = emitter.constant(factors.scale.astype(np.float32)[:, None], "scale")
        value = emitter.one("Mul", [value, scale], "scale")
    return frame, value


def _product_of_rows(emitter: Emitter, value: ir.Value, stage: Stage, at: StagePlace, role: str) -> ir.Value:
    """(M, groups, ranks), in any shape, to what the last stage makes, features first."""
    _, _, reads, made = stage.weight.shape
    whole = np.broadcast_to(stage.weight[:, 0], (at.groups, reads, made)).swapaxes(1, 2).astype(np.float32)
    value = _reshape(emitter, value, [-1, at.groups, reads], role)
    value = emitter.one("Transpose", [value], role, perm=[1, 0, 2])
    value = _reshape(emitter, value, [1, at.groups, -1, reads], role)  # else both Transposes become one, and are merged
    value = emitter.one("Transpose", [value], role, perm=[0, 1, 3, 2])
    return emitter.one("MatMul", [emitter.constant(np.ascontiguousarray(whole), role), value], role)


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
