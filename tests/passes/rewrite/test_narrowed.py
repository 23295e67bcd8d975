"""Parts have nothing in them that copies, and results of a Split may be outputs."""

import numpy as np
import onnx
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh

import scission


@pytest.mark.parametrize("sizes", [True, False])
def test_results_of_a_split_that_are_outputs_are_cut(sizes, tmp_path):
    rng = np.random.default_rng(0)
    tensors = [nh.from_array(rng.standard_normal((4, 4)).astype(np.float32), f"w{at}") for at in range(2)]
    tensors += [nh.from_array(np.array([4, 4]), "sizes")] if sizes else []
    operands = ["sizes"] if sizes else []
    nodes = [
        h.make_node("Split", ["x", *operands], ["x0", "x1"], axis=1),
        *(h.make_node("MatMul", [f"x{at}", f"w{at}"], [f"h{at}"]) for at in range(2)),
        h.make_node("Concat", ["h0", "h1"], ["h"], axis=1),
        h.make_node("Split", ["h", *operands], ["y0", "y1"], axis=1),
        h.make_node("Neg", ["y0"], ["z0"]),
        h.make_node("Neg", ["y1"], ["z1"]),
    ]
    outputs = [h.make_tensor_value_info(name, 1, ["n", 4]) for name in ("y0", "y1", "z0", "z1")]
    graph = h.make_graph(nodes, "lanes", [h.make_tensor_value_info("x", 1, ["n", 8])], outputs, tensors)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    trials = scission.Trials(provider="cpu", threads=1)
    found = scission.partition(tmp_path / "m.onnx", tmp_path / "parts", trials=trials)
    assert len(found.manifest.parts) == 2
    for part in found.manifest.parts:
        made = onnx.load(tmp_path / "parts" / part.model)
        read = {name for node in made.graph.node for name in node.input}
        assert {tensor.name for tensor in made.graph.initializer} <= read
