"""Transposes before products with a vector, which ONNX Runtime merges wrongly: what keeps them apart.

    x ─► Transpose ─► MatMul(vector)        x ─► Transpose ─► Unsqueeze ─► Squeeze ─► MatMul(vector)

ONNX Runtime 1.31 makes one FusedMatMul of the first, which reads the matrix as if nothing had transposed it. It looks
through casts, scalings and reshapings that change nothing, not through an axis that comes and goes. Neither copies.
"""

from __future__ import annotations

from ....ir.graph.operators import NO_TRANSPOSE_PASSES, is_standard
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from .emitter import Emitter

__all__ = ["feeds_vector", "kept_apart"]

AXES_ARE_OPERANDS = 13  # operator set from which Squeeze and Unsqueeze read them


def feeds_vector(value: ir.Value) -> bool:
    """Whether a product with what may be a vector reads a value, or what other operators than products make of it."""
    seen, stack = {value}, [value]
    while stack:
        for node, place in stack.pop().uses():
            if node.op_type == "MatMul" and place == 0 and len(node.inputs) > 1:
                other = node.inputs[1]
                shape = None if other is None else shape_of(other)
                if shape is None or len(shape) < 2:
                    return True
            if node.op_type in NO_TRANSPOSE_PASSES and is_standard(node):
                continue
            fresh = [output for output in node.outputs if output not in seen]
            seen.update(fresh)
            stack.extend(fresh)
    return False


def kept_apart(emitter: Emitter, transposed: ir.Value, role: str) -> ir.Value:
    """A Transpose that ONNX Runtime will not merge into the products behind it."""
    for op in ("Unsqueeze", "Squeeze"):
        before = transposed
        if emitter.opset < AXES_ARE_OPERANDS:
            transposed = emitter.one(op, [before], role, axes=[0])
        else:
            transposed = emitter.one(op, [before, emitter.integers([0], f"{role}/apart")], role)
        transposed.type = before.type
    return transposed
