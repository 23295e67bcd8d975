"""Near and far outputs as operators: two products of the blocks, one of all functionals, and an order at the end.

rows first, where one matrix is for all blocks:

    x (M, K) ─ Reshape ─► (M · b, k) ─┬─ near · ───────────────────► (M, b · o) ─┐
                                      └─ far · ─► (M, b · r) ─ joint · ─► (M, R) ─┴─ Concat ─ order ─► y (M, N)

features first, where each block has its own: stacks (b, k, M), and the order is one of whole rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.graph.linear import Layout
from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from ..lowering.nodes.features_first import enter, enter_rows, leave, leave_rows
from ..lowering.nodes.last_axis import take_columns
from ..lowering.nodes.primitives import addend, affine, join
from .near_far import NearFar

__all__ = ["emit", "rows_come_first"]


def rows_come_first(found: NearFar, layout: Layout) -> bool:
    """Whether it is written rows first: features are on the last axis, and one matrix is for all blocks."""
    return found.shared and layout.kind == "rows"


def emit(emitter: Emitter, constants: Constants, found: NearFar) -> ir.Value:
    """Emit the nodes that stand in for the emitter's linear and return the value that replaces the node's output."""
    if rows_come_first(found, emitter.linear.layout):
        frame = enter_rows(emitter)
        made = _rows(emitter, frame.features, found)
        return addend(emitter, leave_rows(emitter, frame, affine(emitter, made, constants, 0)))
    frame = enter(emitter)
    made = _features(emitter, frame.features, found)
    return addend(emitter, leave(emitter, frame, affine(emitter, made, constants, 1)))


def _rows(emitter: Emitter, features: ir.Value, found: NearFar) -> ir.Value:
    """(M, K) -> (M, N)."""
    blocks, near, far = found.blocks, _single(found.near[0]), _single(found.far[0])
    cut = _reshape(emitter, features, [-1, found.size], "blocks")
    details = emitter.one("MatMul", [cut, emitter.constant(near, "near")], "near")
    details = _reshape(emitter, details, [-1, blocks * near.shape[1]], "near")
    told = emitter.one("MatMul", [cut, emitter.constant(far, "far")], "far")
    told = _reshape(emitter, told, [-1, blocks * far.shape[1]], "far")
    rest = emitter.one("MatMul", [told, emitter.constant(_single(found.joint), "joint")], "joint")
    extent = blocks * near.shape[1] + found.joint.shape[1]
    return take_columns(emitter, join(emitter, [details, rest], 1), found.order, extent=extent, rank=2, role="order")


def _features(emitter: Emitter, features: ir.Value, found: NearFar) -> ir.Value:
    """(K, M) -> (N, M)."""
    blocks = found.blocks
    near, far = (np.broadcast_to(one, (blocks, *one.shape[1:])).swapaxes(1, 2) for one in (found.near, found.far))
    cut = _reshape(emitter, features, [blocks, found.size, -1], "blocks")
    details = emitter.one("MatMul", [emitter.constant(_single(near), "near"), cut], "near")
    details = _reshape(emitter, details, [blocks * near.shape[1], -1], "near")
    told = emitter.one("MatMul", [emitter.constant(_single(far), "far"), cut], "far")
    told = _reshape(emitter, told, [blocks * far.shape[1], -1], "far")
    rest = emitter.one("MatMul", [emitter.constant(_single(found.joint.T), "joint"), told], "joint")
    whole = join(emitter, [details, rest], 0)
    return emitter.one("Gather", [whole, emitter.integers(found.order, "order")], "order", axis=0)


def _single(weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(weight, np.float32)


def _reshape(emitter: Emitter, value: ir.Value, shape: list[int], role: str) -> ir.Value:
    return emitter.one("Reshape", [value, emitter.integers(shape, f"{role}/shape")], role)
