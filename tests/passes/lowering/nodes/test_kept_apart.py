"""What reads a vector behind a split product: ONNX Runtime merges a Transpose into it wrongly, and meets none there."""

import functools

import numpy as np
import onnxruntime
import oracles
import pytest
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.matrix import weight
from scission.passes.branches import find
from scission.passes.lowering.target import Target
from scission.passes.rewrite.merge_branches import merge_branches

BETWEEN = {
    "nothing": [],
    "copy": [("Identity", {})],
    "scale": [("Mul", {})],
    "cast": [("Cast", {"to": TensorProto.FLOAT})],
    "function": [("Relu", {})],
}


def before_a_vector(rows, between, opset):
    """A product with three blocks, scrambled, and a product of what it makes with a vector."""
    rng = np.random.default_rng(0)
    W, _ = weight(rng, ((12, 2), (12, 2), (12, 2)), (0, 0))
    arrays = {"W": W.astype(np.float32), "v": rng.standard_normal(6).astype(np.float32), "half": np.float32(0.5)}
    nodes, value = [helper.make_node("MatMul", ["x", "W"], ["h"], "product")], "h"
    for op, attributes in BETWEEN[between]:
        nodes.append(helper.make_node(op, [value, "half"] if op == "Mul" else [value], ["b"], op, **attributes))
        value = "b"
    nodes.append(helper.make_node("MatMul", [value, "v"], ["y"], "vector"))
    used = {name for node in nodes for name in node.input}
    return model_of(nodes, [rows, 36], [rows], {name: one for name, one in arrays.items() if name in used}, opset)


def model_of(nodes, x, y, arrays, opset):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def assert_same_at_every_level(model, changed, x):
    feeds = {"x": x.astype(np.float32)}
    (wanted,) = oracles.run(model, feeds)
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        session = onnxruntime.InferenceSession(changed.SerializeToString(), options, ["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, feeds)[0], wanted, atol=1e-4)


@pytest.mark.parametrize("lowering", ["batched", "scatter", "scatternd"])
@pytest.mark.parametrize(
    "rows, between, opset",
    [("n", "nothing", 11), (4, "nothing", 17), ("n", "copy", 17)]
    + [(4, between, 17) for between in ("copy", "scale", "cast", "function")],
)
def test_a_vector_reads_what_it_read(lowering, rows, between, opset):
    model = before_a_vector(rows, between, opset)
    plan = scission.plan(model, provider="cpu", force=True, channels=False, branches=False)
    split = scission.apply(model, oracles.edited(plan, lowering))
    assert "Transpose" in oracles.operators(split)
    assert_same_at_every_level(model, split, np.random.default_rng(1).standard_normal((4, 36)))


@pytest.mark.parametrize("end", ["Sum", "Mean", "Concat"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_vector_behind_merged_branches_reads_what_it_read(end, turned, monkeypatch):
    monkeypatch.setattr(find, "MARGIN", 0.0)
    monkeypatch.setattr(find, "WAYS", (turned,))
    rng = np.random.default_rng(0)
    weights = {f"{name}{lane}": rng.standard_normal((8, 8)) for lane in range(6) for name in "WU"}
    arrays = {**weights, "v": rng.standard_normal(48 if end == "Concat" else 8)}
    nodes = []
    for lane in range(6):
        nodes.append(helper.make_node("MatMul", ["x", f"W{lane}"], [f"a{lane}"], f"first{lane}"))
        nodes.append(helper.make_node("Relu", [f"a{lane}"], [f"r{lane}"], f"relu{lane}"))
        nodes.append(helper.make_node("MatMul", [f"r{lane}", f"U{lane}"], [f"m{lane}"], f"second{lane}"))
    attributes = {"axis": 1} if end == "Concat" else {}
    nodes.append(helper.make_node(end, [f"m{lane}" for lane in range(6)], ["s"], "end", **attributes))
    nodes.append(helper.make_node("MatMul", ["s", "v"], ["y"], "vector"))
    model = model_of(nodes, ["n", 8], ["n"], arrays, 17)
    graph = load(model).graph
    found = find.find_branches(graph, Target(), functools.partial(settings_at, input_dims(graph), [4]))
    assert found
    assert_same_at_every_level(model, ir.to_proto(merge_branches(graph, found)), rng.standard_normal((4, 8)))
