import numpy as np
import pytest
from reference import model, node

from scission import ModelError
from scission.ir.io.load import load
from scission.ir.io.tensors import constant_tensors, read
from scission.passes.rewrite.weights.put_weights import put_weights

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def loaded():
    nodes = [node("Constant", "", "c", value_float=1.0), node("MatMul", "x W", "y"), node("Add", "y b", "z")]
    return load(model(nodes, {"x": (2, 2)}, {"z": None}, {"W": W, "b": np.zeros(3, np.float32)})).graph


def test_a_copy_holds_the_new_numbers_and_the_model_the_old_ones():
    original = loaded()
    made = put_weights(original, {"W": W + 1})
    np.testing.assert_array_equal(read(made.graph.initializers["W"].const_value), W + 1)
    np.testing.assert_array_equal(read(original.graph.initializers["W"].const_value), W)
    assert len(list(constant_tensors(made))) == len(list(constant_tensors(original)))


def test_what_a_constant_node_makes_is_replaced_where_it_is_a_tensor():
    from onnx import numpy_helper

    nodes = [node("Constant", "", "W", value=numpy_helper.from_array(W)), node("MatMul", "x W", "y")]
    made = put_weights(load(model(nodes, {"x": (2, 2)}, {"y": None})).graph, {"W": -W})
    np.testing.assert_array_equal(read(next(iter(made.graph)).attributes["value"].value), -W)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"V": W}, "no such constant"),
        ({"c": W}, "no such constant"),
        ({"W": W.T}, "of shape"),
        ({"W": W.astype(np.float64)}, "DOUBLE"),
    ],
)
def test_other_constants_shapes_and_types_are_refused(weights, told):
    with pytest.raises(ModelError, match=told):
        put_weights(loaded(), weights)
