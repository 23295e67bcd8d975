"""What nodes say of shapes where channels go beside them."""

import numpy as np
import oracles
import pytest
from onnx import TensorProto, helper, numpy_helper

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.channels.find import find
from scission.passes.lowering.target import Target
from scission.passes.rewrite.remove_channels import remove_channels


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_a_slice_of_which_nothing_is_known_stays_beside_channels_that_go(behind):
    rng = np.random.default_rng(0)
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((8, 16), (16, 8)))
    up[:, ::2] = 0
    source, result = ("x", "c") if behind else ("c", "y")
    nodes = [
        helper.make_node("MatMul", [source, "up"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "down"], [result], "second"),
    ]
    cut = helper.make_node(
        "Slice", ["c", "from", "to", "axes"] if behind else ["x", "from", "to", "axes"], ["y"], "cut"
    )
    if not behind:
        cut.output[0] = "c"
    nodes.insert(3 if behind else 0, cut)
    inputs = [helper.make_tensor_value_info("x", 1, ["n", 8])]
    inputs += [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in ("from", "to")]
    weights = [numpy_helper.from_array(one, name) for one, name in ((up, "up"), (down, "down"))]
    weights.append(numpy_helper.from_array(np.int64([0]), "axes"))
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", 1, [None, 8])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    loaded = load(model).graph
    found = find(loaded, Target(), lambda: settings_at(input_dims(loaded)))
    assert found
    changed = ir.to_proto(remove_channels(loaded, found))
    feeds = {"x": rng.standard_normal((5, 8)).astype(np.float32), "from": np.int64([1]), "to": np.int64([4])}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))
