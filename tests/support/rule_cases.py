"""A case for each operator that has an axis rule, from what ONNX says of its operands where nothing else does."""

import numpy as np
import onnx
from random_nodes import MS, case, ints

from scission.ir.graph.operators import POINTWISE, REDUCING

OPSET = 20
X = {"x": [2, 3, 4]}
ATTRIBUTES = {"Cast": {"to": onnx.TensorProto.DOUBLE}, "Mod": {"fmod": 1}}
KINDS = {"tensor(float)": np.float32, "tensor(bool)": np.bool_, "tensor(int32)": np.int32}
OPERANDS = ([2, 3, 4], [3, 1], [1, 4])  # that broadcast
PLANES = {"x": [2, 3, 4, 4]}

# Operators that are neither pointwise nor reductions, and are not among the cases that hold.
WEIGHT = np.arange(20, dtype=np.uint8).reshape(4, 5)
SCALES = {name: np.float32(0.1) for name in ("s", "r")} | {"t": np.arange(1, 6, dtype=np.float32) / 8}
POINTS = {name: np.uint8(3) for name in ("z", "v")} | {"u": np.arange(5, dtype=np.uint8)}
BLOCKS = np.random.default_rng(0).integers(0, 256, (3, 2, 8), np.uint8)  # of 16 entries of four bits

CASES = {
    "DynamicQuantizeLinear": case("DynamicQuantizeLinear", "x", X, outputs="y s z"),
    "MatMulInteger": case("MatMulInteger", "x w z u", {"x": ([2, 3, 4], np.uint8)}, {"w": WEIGHT, **POINTS}),
    "QLinearMatMul": case(
        "QLinearMatMul", "x s z w t u r v", {"x": ([2, 3, 4], np.uint8)}, {"w": WEIGHT, **SCALES, **POINTS}
    ),
    "MatMulNBits": case(
        "MatMulNBits",
        "x w t",
        {"x": [2, 3, 32]},
        {"w": BLOCKS, "t": np.arange(1, 7, dtype=np.float32).reshape(3, 2)},
        domain=MS,
        K=32,
        N=3,
        bits=4,
        block_size=16,
    ),
    "AveragePool": case("AveragePool", "x", PLANES, kernel_shape=[2, 2]),
    "LpPool": case("LpPool", "x", PLANES, kernel_shape=[2, 2]),
    "GlobalMaxPool": case("GlobalMaxPool", "x", PLANES),
    "RMSNormalization": case("RMSNormalization", "x s", {**X, "s": [4]}),
    "DequantizeLinear": case("DequantizeLinear", "x s", {"x": ([2, 3, 4], np.uint8), "s": [3]}, axis=1),
    "Upsample": case("Upsample", "x s", X, {"s": np.array([1, 1, 2], np.float32)}, mode="nearest"),
    "QuickGelu": case("QuickGelu", "x", X, domain=MS),
}
RUNTIME_ONLY = {"GlobalLpPool", "SimplifiedLayerNormalization", "Upsample"}  # unknown to ONNX's evaluator


def version(op):
    """The operator set in which an operator is tried: the usual one, the first that has it, or the last that had it."""
    schemas = [schema for schema in onnx.defs.get_all_schemas_with_history() if schema.name == op]
    live = [schema.since_version for schema in schemas if not schema.deprecated]
    if not live:
        return OPSET  # of another domain
    return max(live) if any(schema.deprecated for schema in schemas) else max(OPSET, min(live))


def drawn(op):
    """A case of a pointwise operator or a reduction, from what ONNX says of its operands."""
    if op in REDUCING:
        return case(op, "x a", X, {"a": ints(1)})
    schema = onnx.defs.get_schema(op, version(op))
    variadic = schema.inputs[0].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    count = 2 if variadic else schema.min_input
    shapes = {}
    for index in range(count):
        types = schema.inputs[0 if variadic else index].types
        kind = next(kind for name, kind in KINDS.items() if name in types)
        shapes["xab"[index]] = (OPERANDS[index], kind)
    return case(op, " ".join(shapes), shapes, **ATTRIBUTES.get(op, {}))


def case_of(op, held):
    """The case of one operator; KeyError where nobody wrote one. held: those that there are."""
    known = {single.op_type: (single, *rest) for single, *rest in held} | CASES
    return drawn(op) if op not in known and op in POINTWISE | REDUCING else known[op]
