"""Planted kinds, one per place a linear can stand in: subgraphs, functions, shared weights, biases, old opsets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
from onnx import helper

from ..matrix import transposed
from ..sketch import Attribute, Sketch, Tensor

__all__ = ["CONTEXTS"]


def _plain(sketch: Sketch, **options: Attribute) -> None:
    W, truth = sketch.weight(**options)
    x = sketch.input("x", ("batch", truth.shape[0]))
    sketch.output(sketch.op("MatMul", x, sketch.constant(W, "W"), name="linear", truth=truth))


def _unnamed(sketch: Sketch) -> None:
    (W1, truth1), (W2, truth2) = sketch.weight(), sketch.weight()
    x = sketch.input("x", ("batch", truth1.shape[0]))
    sketch.output(sketch.op("MatMul", x, sketch.constant(W1, "W"), name="", truth=truth1))
    sketch.output(sketch.op("MatMul", x, sketch.constant(W2, "W"), name="", truth=truth2))


def _opset(sketch: Sketch, opset: int, ir_version: int) -> None:
    sketch.opset, sketch.ir_version = opset, ir_version
    _biased(sketch, lambda s, y, b: s.op("Add", y, b))


def _biased(sketch: Sketch, add: Callable[[Sketch, Tensor, Tensor], Tensor], dtype: type | None = None) -> None:
    W, truth = sketch.weight()
    K, N = truth.shape
    x = sketch.input("x", ("batch", 4, K))
    y = sketch.op("MatMul", x, sketch.constant(W, "W"), name="linear", truth=truth)
    b = sketch.constant(sketch.normal((N,)).astype(dtype or sketch.dtype), "b")
    sketch.output(add(sketch, y, b), dtype)


def _bias_after_reshape(sketch: Sketch) -> None:
    W, truth = sketch.weight()
    K, N = truth.shape
    rows = sketch.op("Reshape", sketch.input("x", ("batch", 4, K)), [-1, K])
    y = sketch.op("MatMul", rows, sketch.constant(W, "W"), name="linear", truth=truth)
    sketch.output(sketch.op("Add", sketch.op("Reshape", y, [-1, 4, N]), sketch.constant(sketch.normal((N,)), "b")))


def _residual(sketch: Sketch) -> None:
    W, truth = sketch.weight()
    K, N = truth.shape
    x, skip = sketch.input("x", ("batch", "sequence", K)), sketch.input("skip", ("batch", "sequence", N))
    sketch.output(sketch.op("Add", skip, sketch.op("MatMul", x, sketch.constant(W, "W"), name="linear", truth=truth)))


def _if(sketch: Sketch) -> None:
    W, truth = sketch.weight()
    condition = sketch.input("condition", (), np.bool_)
    x = sketch.input("x", ("batch", truth.shape[0]))
    stored = sketch.constant(W, "W")
    branches = {}
    for side, scale in (("then", 1.0), ("else", 2.0)):
        body = sketch.body()
        operands = body.op("Mul", body.outer(x), scale), body.outer(stored)
        body.output(body.op("MatMul", *operands, name=f"{side}_linear", truth=truth))
        branches[f"{side}_branch"] = body.graph(side)
    sketch.output(sketch.op("If", condition, **branches))


def _loop(sketch: Sketch) -> None:
    W, truth = sketch.weight()
    K = truth.shape[0]
    x, stored = sketch.input("x", ("batch", K)), sketch.constant(W, "W")
    body = sketch.body()
    body.input("step", (), np.int64)
    go = body.input("go", (), np.bool_)
    carried = body.input("carried", ("batch", K))
    body.output(body.op("Identity", go), np.bool_)
    body.output(body.op("Mul", carried, 0.5))
    body.output(body.op("MatMul", carried, body.outer(stored), name="linear", truth=truth))
    last, scanned = sketch.op("Loop", 3, True, x, outputs=2, body=body.graph("body"))
    sketch.output(last, shape=("batch", K))
    sketch.output(scanned)


def _scan(sketch: Sketch) -> None:
    W, truth = sketch.weight()
    K, N = truth.shape
    xs, stored = sketch.input("x", ("sequence", "batch", K)), sketch.constant(W, "W")
    body = sketch.body()
    total, x = body.input("total", (1, N)), body.input("x_t", ("batch", K))
    y = body.op("MatMul", x, body.outer(stored), name="linear", truth=truth)
    body.output(body.op("Add", total, body.op("ReduceSum", y, [0])))
    body.output(y)
    start = sketch.constant(np.zeros((1, N), sketch.dtype), "start")
    for result in sketch.op("Scan", start, xs, outputs=2, num_scan_inputs=1, body=body.graph("body")):
        sketch.output(result)


def _function(sketch: Sketch) -> None:
    """A function called twice, each time with its own weight: the truth is listed under the two calls."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="linear")
    imports = [helper.make_opsetid("", sketch.opset)]
    sketch.functions.append(helper.make_function("local", "Linear", ["x", "w"], ["y"], [node], imports))
    (W1, truth1), (W2, truth2) = sketch.weight(), sketch.weight()
    x = sketch.input("x", ("batch", truth1.shape[0]))
    for name, W, truth in (("first", W1, truth1), ("second", W2, truth2)):
        sketch.output(sketch.op("Linear", x, sketch.constant(W, "W"), name=name, truth=truth, domain="local"))


def _shared(sketch: Sketch, tied: bool = False) -> None:
    """Two nodes on one weight: both as it is, or the second on its transpose as in a tied auto-encoder."""
    W, truth = sketch.weight()
    K = truth.shape[0]
    stored, x = sketch.constant(W, "W"), sketch.input("x", ("batch", K))
    y = sketch.op("MatMul", x, stored, name="first", truth=truth)
    sketch.output(y)
    if tied:
        sketch.output(sketch.op("Gemm", y, stored, name="second", truth=transposed(truth), transB=1))
    else:
        other = sketch.input("other", ("sequence", "batch", K))
        sketch.output(sketch.op("MatMul", other, stored, name="second", truth=truth))


def _embedding(sketch: Sketch) -> None:
    """Tied embedding: the table (N, K) is gathered by token, and its transpose turns features (K) into logits (N)."""
    W, truth = sketch.weight()
    table = sketch.constant(W.T, "table")
    ids = sketch.input("ids", ("batch", "sequence"), np.int64)
    x = sketch.op("Tanh", sketch.op("Gather", table, ids, axis=0))
    logits = sketch.op("MatMul", x, sketch.op("Transpose", table, perm=[1, 0]), name="linear", truth=truth)
    sketch.output(logits)


def _chain(sketch: Sketch) -> None:
    """Three linears with bias and activation between them, from K to N features, back, and to N again."""
    y = None
    for name in ("up", "down", "again"):
        W, truth = sketch.weight()
        if name == "down":
            W, truth = W.T, transposed(truth)
        y = sketch.input("x", ("batch", truth.shape[0])) if y is None else sketch.op("Relu", y)
        product = sketch.op("MatMul", y, sketch.constant(W, f"W_{name}"), name=name, truth=truth)
        y = sketch.op("Add", product, sketch.constant(sketch.normal(truth.shape[1:]), f"b_{name}"))
    sketch.output(y)


_OPSETS = {7: 4, 11: 10, 13: 10, 17: 10, 21: 10}  # IR 3 would have to list initializers as inputs

CONTEXTS: dict[str, Callable[[Sketch], None]] = {
    "if": _if,
    "loop": _loop,
    "scan": _scan,
    "function": _function,
    "shared": _shared,
    "shared-transposed": partial(_shared, tied=True),
    "tied-embedding": _embedding,
    "chain": _chain,
    "bias-right": partial(_biased, add=lambda s, y, b: s.op("Add", y, b)),
    "bias-left": partial(_biased, add=lambda s, y, b: s.op("Add", b, y)),
    "bias-after-cast": partial(
        _biased, dtype=np.float64, add=lambda s, y, b: s.op("Add", s.op("Cast", y, to=onnx.TensorProto.DOUBLE), b)
    ),
    "bias-after-reshape": _bias_after_reshape,
    "residual": _residual,
    **{f"opset-{opset}": partial(_opset, opset=opset, ir_version=ir) for opset, ir in _OPSETS.items()},
    "dormant": partial(_plain, dormant=(3, 2)),
    "contiguous": partial(_plain, contiguous=True),
    "unnamed": _unnamed,
}
