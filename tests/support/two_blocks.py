"""A linear of two blocks, dense and split, and what `check` says of the two."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from trials_given import trials_of

from scission.runtime.compare.check import check
from scission.runtime.compare.rounding import product_bound
from scission.runtime.compare.verdict import Probe

K, N, ROWS = 12, 8, 5
RNG = np.random.default_rng(0)
# Two blocks: inputs 0-5 feed outputs 0-3, inputs 6-11 feed outputs 4-7.
W = np.kron(np.eye(2), np.ones((6, 4))).astype(np.float32) * RNG.standard_normal((K, N), dtype=np.float32)
B = RNG.standard_normal(N, dtype=np.float32)
TYPES = {T.FLOAT: np.float32, T.FLOAT16: np.float16, T.DOUBLE: np.float64}


def value(name, shape, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, weights=None):
    initializers = [nh.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = h.make_graph(nodes, "g", inputs, outputs, initializers)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def dense(W=W, B=B, dtype=T.FLOAT, x="x", y="y", rows="n"):
    """x -> Relu -> act -> MatMul -> prod -> Add -> y, and the unchanged h."""
    nodes = [
        h.make_node("Relu", [x], ["act"]),
        h.make_node("MatMul", ["act", "W"], ["prod"], name="linear"),
        h.make_node("Add", ["prod", "B"], [y]),
        h.make_node("Neg", [x], ["h"]),
    ]
    weights = {"W": W.astype(TYPES[dtype]), "B": B.astype(TYPES[dtype])}
    outputs = [value(y, [rows, N], dtype), value("h", [rows, K], dtype)]
    return model(nodes, [value(x, [rows, K], dtype)], outputs, weights)


def split(W=W, B=B, dtype=T.FLOAT, order=(0, 1)):
    """The same function with one MatMul per block."""
    weights = {
        "at": np.array([6, 6]),
        "W0": W[:6, :4].astype(TYPES[dtype]),
        "W1": W[6:, 4:].astype(TYPES[dtype]),
        "B": B.astype(TYPES[dtype]),
    }
    nodes = [
        h.make_node("Relu", ["x"], ["act"]),
        h.make_node("Split", ["act", "at"], ["x0", "x1"], axis=1),
        h.make_node("MatMul", ["x0", "W0"], ["p0"]),
        h.make_node("MatMul", ["x1", "W1"], ["p1"]),
        h.make_node("Concat", [f"p{place}" for place in order], ["prod"], axis=1),
        h.make_node("Add", ["prod", "B"], ["y"]),
        h.make_node("Neg", ["x"], ["h"]),
    ]
    outputs = [value("y", ["n", N], dtype), value("h", ["n", K], dtype)]
    return model(nodes, [value("x", ["n", K], dtype)], outputs, weights)


def feed(dtype=np.float32, rows=ROWS, seed=1):
    return {"x": np.random.default_rng(seed).standard_normal((rows, K)).astype(dtype)}


def probe(W=W, input="act", output="prod"):  # noqa: A002
    return Probe(node="linear", input=input, output=output, reference=lambda x: product_bound(x, W, K + 6))


def data(proto):
    return proto.SerializeToString()


def verdict(original, changed, feeds=None, **options):
    trials, options = trials_of({"threads": 1} | options)
    return check(data(original), data(changed), feeds=feeds or [feed()], trials=trials, **options)
