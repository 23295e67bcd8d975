import numpy as np
import oracles
import pytest
from onnx import TensorProto, helper, numpy_helper

from scission.ir.io.load import load
from scission.passes.diff.totals import census


def weight(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("node", "constants", "x", "y", "macs"),
    [
        (("MatMul", ["x", "w"], ["y"]), {"w": weight(4, 5)}, ["n", "t", 4], ["n", "t", 5], (("n·t", 20),)),
        (("Gemm", ["x", "w"], ["y"], {"transA": 1}), {"w": weight(4, 5)}, [4, "n"], ["n", 5], (("n", 20),)),
        (("Conv", ["x", "w"], ["y"]), {"w": weight(6, 3, 2, 2)}, ["n", 3, 8, 8], ["n", 6, 7, 7], (("n", 49 * 6 * 12),)),
    ],
)
def test_multiply_adds_by_hand(node, constants, x, y, macs):
    model = oracles.graph([node], {"x": x}, {"y": y}, constants)
    found = census(load(model).graph)
    assert found.macs == macs and found.uncounted == 0 and found.nodes == ((node[0], 1),)
    assert found.parameters == sum(array.size for array in constants.values())


def test_a_product_of_unknown_rows_counts_for_each_of_them():
    nodes = [
        helper.make_node("Mystery", ["x"], ["h"], domain="com.microsoft"),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]), helper.make_empty_tensor_value_info("y")]
    ports[1].type.tensor_type.elem_type = 1
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [numpy_helper.from_array(weight(4, 5), "w")])
    assert census(load(helper.make_model(graph)).graph).macs == (("?", 20),)
