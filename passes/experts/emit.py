"""Experts as plain operators: rows sorted by their experts, or the weights of the chosen experts gathered.

dispatch, for many rows:

    x ─ · router ─ TopK ─► which experts ─► rows of each expert ─ Split ─► a Gemm, Relu and MatMul for each ─ Concat ─┐
                                    └─► where they went ──────────────────────────────────► Gather ─ ReduceSum ─► y ◄─┘

An expert that no row chose multiplies nothing. gather, for one row or two, copies the weights of the chosen experts
and multiplies them as a stack: fewer operators, but more bytes with every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from .expert_split import ExpertSplit

__all__ = ["FORMS", "emit_experts"]

Array = npt.NDArray[Any]

FORMS = ("dispatch", "gather")


def emit_experts(
    emitter: Emitter, rows: ir.Value, split: ExpertSplit, weights: tuple[Array, Array, Array], form: str
) -> ir.Value:
    """Emit what stands in for relu(x U + a) V over rows (M, d) and return its result (M, d'), without the last bias.

    weights: U (d, H), a (H,), V (H, d'); form: 'dispatch' or 'gather'.
    """
    chosen = _chosen(emitter, rows, split)
    write = _dispatched if form == "dispatch" else _gathered
    result = write(emitter, rows, chosen, split, weights)
    if not split.shared.size:
        return result
    return emitter.one("Add", [result, _expert(emitter, rows, split.shared, weights, "shared")], "experts")


def _chosen(emitter: Emitter, rows: ir.Value, split: ExpertSplit) -> ir.Value:
    """Which experts each row runs, (M, active); scores are 32-bit floats, in fewer bits more of them would be equal."""
    single = ir.TensorType(ir.DataType.FLOAT)
    if emitter.linear.dtype != ir.DataType.FLOAT:
        rows = emitter.one("Cast", [rows], "router", to=ir.DataType.FLOAT)
        rows.type = single
    router, offset = (array.astype(np.float32, copy=False) for array in (split.router, split.offset))
    operands = [rows, emitter.constant(router, "router"), emitter.constant(offset, "router/offset")]
    scores = emitter.one("Gemm", operands, "router")
    scores.type = single
    count = emitter.integers([split.active], "router/active")
    best, chosen = emitter.node("TopK", [scores, count], "router", {"axis": 1, "sorted": 0}, 2)
    best.type = single
    return _counted(chosen)


def _dispatched(
    emitter: Emitter, rows: ir.Value, chosen: ir.Value, split: ExpertSplit, weights: tuple[Array, Array, Array]
) -> ir.Value:
    count = len(split.groups)
    second = emitter.integers([1], "experts/second")
    depth, bits = emitter.integers([count], "experts/count"), emitter.integers([0, 1], "experts/bits")
    hot = _whole(emitter, "OneHot", [chosen, depth, bits], axis=0)  # (E, M, active)
    taken = _whole(emitter, "ReduceSum", [hot, emitter.integers([2], "experts/third")], keepdims=0)  # (E, M)
    sizes = _whole(emitter, "ReduceSum", [taken, second], keepdims=0)
    places = _whole(emitter, "NonZero", [taken])  # by expert, then by row
    at = _whole(emitter, "Gather", [places, emitter.constant(np.asarray(1), "experts/rows")], axis=0)
    sorted_rows = emitter.one("Gather", [rows, at], "experts", axis=0)
    parts = emitter.node("Split", [sorted_rows, sizes], "experts", {"axis": 0}, count)
    made = [
        _expert(emitter, part, units, weights, f"expert.{i}")
        for i, (part, units) in enumerate(zip(parts, split.groups, strict=True))
    ]
    joined = made[0] if count == 1 else emitter.one("Concat", made, "experts", axis=0)
    # How many came before it is where a row stands among those sorted by their experts.
    flat = _whole(emitter, "Reshape", [taken, emitter.integers([-1], "experts/flat")])
    before = _whole(emitter, "CumSum", [flat, emitter.constant(np.asarray(0), "experts/axis")], exclusive=1)
    by_expert = _whole(emitter, "Reshape", [before, emitter.integers([count, -1], "experts/grid")])
    own = _whole(emitter, "GatherElements", [_whole(emitter, "Transpose", [by_expert], perm=[1, 0]), chosen], axis=1)
    back = emitter.one("Gather", [joined, own], "experts", axis=0)  # (M, active, d')
    return emitter.one("ReduceSum", [back, second], "experts", keepdims=0)


def _gathered(
    emitter: Emitter, rows: ir.Value, chosen: ir.Value, split: ExpertSplit, weights: tuple[Array, Array, Array]
) -> ir.Value:
    up, bias, down = weights
    stacks = {
        "up": up[:, split.groups].transpose(1, 0, 2),
        "bias": bias[split.groups][:, None],
        "down": down[split.groups],
    }
    picked = [
        emitter.one("Gather", [_constant(emitter, stack, f"experts/{name}"), chosen], f"experts.{name}", axis=0)
        for name, stack in stacks.items()
    ]
    row = emitter.integers([0, 1, 1, up.shape[0]], "experts/row")
    x = emitter.one("Reshape", [rows, row], "experts")
    hidden = emitter.one("Add", [emitter.one("MatMul", [x, picked[0]], "experts.up"), picked[1]], "experts.up")
    made = emitter.one("MatMul", [emitter.one("Relu", [hidden], "experts"), picked[2]], "experts.down")
    return emitter.one("ReduceSum", [made, emitter.integers([1, 2], "experts/axes")], "experts", keepdims=0)


def _expert(emitter: Emitter, x: ir.Value, units: Array, weights: tuple[Array, Array, Array], role: str) -> ir.Value:
    up, bias, down = weights
    operands = [x, _constant(emitter, up[:, units], f"{role}/up"), _constant(emitter, bias[units], f"{role}/bias")]
    hidden = emitter.one("Relu", [emitter.one("Gemm", operands, role)], role)
    return emitter.one("MatMul", [hidden, _constant(emitter, down[units], f"{role}/down")], role)


def _constant(emitter: Emitter, array: Array, role: str) -> ir.Value:
    return emitter.constant(array.astype(emitter.linear.dtype.numpy(), copy=False), role)


def _whole(emitter: Emitter, op: str, inputs: list[ir.Value], **attributes: Any) -> ir.Value:
    """A node whose result is whole numbers."""
    return _counted(emitter.one(op, inputs, "experts", **attributes))


def _counted(value: ir.Value) -> ir.Value:
    value.type = ir.TensorType(ir.DataType.INT64)
    return value
