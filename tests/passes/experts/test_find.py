import onnx
import pytest
from sparse_networks import network, planted

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.reason import Cause
from scission.passes.experts.find import find_places

UP, BIAS, DOWN, _ = planted()


def found(**options):
    return find_places(view(load(network(UP, BIAS, DOWN, **options)).graph).found)


@pytest.mark.parametrize("options", [{}, {"gemm": True}, {"lead": ("n", "m")}])
def test_a_network_with_relu_is_one(options):
    places, skipped = found(**options)
    assert [(one.up.shape, one.relu.op_type, one.down.shape) for one in places] == [((12, 27), "Relu", (27, 12))]
    assert not skipped


@pytest.mark.parametrize("seen", ["p", "h", "z"])
def test_a_network_whose_inner_values_are_read_elsewhere_is_none(seen):
    model = network(UP, BIAS, DOWN)
    model.graph.output.append(onnx.helper.make_tensor_value_info(seen, onnx.TensorProto.FLOAT, ["n", 27]))
    places, _ = find_places(view(load(model).graph).found)
    assert places == ()


@pytest.mark.parametrize(
    ("options", "cause", "text"),
    [
        ({"between": "Gelu", "opset": 20}, Cause.NOT_SPARSE, "Gelu stands between its products"),
        ({"between": "Sigmoid"}, Cause.NOT_SPARSE, "Sigmoid stands"),
        ({"opset": 12}, Cause.OPERATOR_SET, "operator set 12"),
    ],
)
def test_others_are_told_why_not(options, cause, text):
    places, (skipped,) = found(**options)
    assert places == () and skipped.reason.cause is cause and text in skipped.reason.text
