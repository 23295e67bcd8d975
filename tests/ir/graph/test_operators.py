"""Traits of operators, held against ONNX's schemas and its reference implementation."""

import numpy as np
import onnx.defs
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator
from reference import model, node

from scission.ir.graph import operators
from scission.ir.graph.operators import BLOCKWISE, COMPARING, MICROSOFT, POINTWISE, is_one_of, is_standard

FUSED = {"FastGelu", "BiasGelu", "QuickGelu", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}
FUSED |= {"FusedMatMul", "FusedGemm", "SimplifiedLayerNormalization", "GroupQueryAttention", "MultiHeadAttention"}
FUSED |= {"MatMulNBits", "MoE", "QMoE"}
TRAITS = [name for name in operators.__all__ if name.isupper() and name != "STANDARD"]


@pytest.mark.parametrize("trait", TRAITS)
def test_traits_name_operators_that_there_are(trait):
    unknown = {op for op in getattr(operators, trait) if not onnx.defs.has(op) and not onnx.defs.has(op, "ai.onnx.ml")}
    assert unknown <= FUSED


def test_domains():
    assert is_one_of(ir.Node("", "Relu", []), POINTWISE) and is_one_of(ir.Node("ai.onnx", "Relu", []), POINTWISE)
    assert is_one_of(ir.Node("com.microsoft", "QuickGelu", []), POINTWISE)
    assert not is_one_of(ir.Node("com.microsoft", "Relu", []), POINTWISE)
    assert not is_one_of(ir.Node("elsewhere", "Relu", []), POINTWISE)
    assert not is_one_of(ir.Node("", "MatMul", []), POINTWISE)
    assert is_standard(ir.Node("ai.onnx", "Relu", [])) and not is_standard(ir.Node("com.microsoft", "Gelu", []))


def test_what_is_computed_in_blocks_is_no_product_of_a_weight():
    assert POINTWISE < BLOCKWISE and MICROSOFT & {"Softmax", "Reshape"} == set()


BINARY = {"Add", "Sub", "Mul", "Div", "Pow", "Mod", "PRelu", "Max", "Min", "Mean", "Sum"} | COMPARING
LOGICAL = {"And", "Or", "Xor", "Not"}
BITS = {"BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"}
INPUTS = {"Where": "c x b", "Clip": "x b0 b1", **dict.fromkeys(BINARY, "x b")}
ATTRIBUTES = {"Cast": {"to": 1}, "Mod": {"fmod": 1}, "Shrink": {"lambd": 0.2, "bias": 0.1}}


def arrays(op, rng):
    x = rng.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
    b = rng.uniform(0.1, 0.9, (1, 4)).astype(np.float32)
    if op in LOGICAL or op in BITS:
        kind = np.bool_ if op in LOGICAL else np.int32
        return {"x": (x > 0.5).astype(kind), "b": (b > 0.5).astype(kind)}
    return {"x": 1 / x if op == "Acosh" else x, "b": b, "c": x > 0.5, "b0": np.float32(0.3), "b1": np.float32(0.6)}


@pytest.mark.parametrize("op", sorted(op for op in POINTWISE - FUSED if onnx.defs.has(op)))
def test_each_element_comes_from_its_own_place(op):
    """Elements in another order give the results in that order, and one that changes changes no other."""
    rng = np.random.default_rng(0)
    names = INPUTS.get(op, "x b" if op in LOGICAL | BITS and not op.endswith("Not") else "x").split()
    feeds = {name: array for name, array in arrays(op, rng).items() if name in names}
    versions = max(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op and s.domain == "")
    result = np.bool_ if op in COMPARING | LOGICAL | {"IsInf", "IsNaN"} else np.int32 if op in BITS else np.float32
    proto = model(
        [node(op, " ".join(names), "y", **ATTRIBUTES.get(op, {}))],
        {name: (list(array.shape), array.dtype.type) for name, array in feeds.items()},
        {"y": (None, result)},
        opset=max(versions, 20),
    )
    run = ReferenceEvaluator(proto)
    (before,) = run.run(None, feeds)
    order = rng.permutation(4)
    moved = {name: array[:, order] if array.ndim else array for name, array in feeds.items()}
    assert np.array_equal(run.run(None, moved)[0], before[:, order], equal_nan=True)
    other = arrays(op, np.random.default_rng(1))["x"]
    changed = {**feeds, "x": np.where(np.arange(4) == 2, other, feeds["x"])}
    (after,) = run.run(None, changed)
    assert np.array_equal(np.delete(after, 2, 1), np.delete(before, 2, 1), equal_nan=True)
