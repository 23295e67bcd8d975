"""The rule of each operator: what its nodes in all branches make together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ....ir.graph.operators import POINTWISE, POOLS, RECURRENT, REDUCING, SOFTMAX, is_one_of, is_standard
from ....ir.onnx_ir import onnx_ir as ir
from ..packing.packed import Pack, Packed, Result
from .images import convolution, pool
from .moving import flatten, gather, reshape, slice_, squeeze, transpose, unsqueeze
from .pointwise import pointwise
from .products import gemm, matmul
from .recurrent import recurrent
from .reducing import layer_norm, reduce, softmax

__all__ = ["Rule", "rule_of"]

Rule: TypeAlias = Callable[[Pack, Sequence["Packed | None"]], Result]

RULES: dict[str, Rule] = {
    "Conv": convolution,
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "LayerNormalization": layer_norm,
    "MatMul": matmul,
    "Reshape": reshape,
    "Slice": slice_,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    **dict.fromkeys(POOLS, pool),
    **dict.fromkeys(REDUCING, reduce),
    **dict.fromkeys(SOFTMAX, softmax),
}
ALONE = frozenset({"Dropout"})  # may draw


def rule_of(node: ir.Node) -> Rule | None:
    """The rule of a node, None where its operator has none."""
    if is_standard(node) and node.op_type in RECURRENT:
        read = [value for value in node.outputs if value.uses() or value.is_graph_output()]
        return recurrent if len(read) == 1 else None
    if len(node.outputs) != 1 or node.op_type in ALONE:
        return None
    if is_standard(node) and node.op_type in RULES:
        return RULES[node.op_type]
    return pointwise if is_one_of(node, POINTWISE) else None
