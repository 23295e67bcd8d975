import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.runtime.compare.rounding import product_bound

K = 64


def split():
    """A model that was split, and its original."""
    rng = np.random.default_rng(0)
    w = np.zeros((K, K), np.float32)
    for i in range(4):
        w[i * 16 : i * 16 + 16, i * 16 : i * 16 + 16] = rng.standard_normal((16, 16))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", K]) for name in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "mm"), helper.make_node("Relu", ["h"], ["y"], "act")]
    constants = [numpy_helper.from_array(w, "w")]
    original = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return original, scission.optimize(original, force=True, bench=False).model


def halved(model, scale=1.0):
    """What a converter to float16 writes that keeps inputs and outputs: casts at both ends, weights in 16 bits."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float16) * np.float16(scale)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for node in graph.node:
        node.input[:] = ["x16" if name == "x" else name for name in node.input]
        node.output[:] = ["y16" if name == "y" else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", ["x"], ["x16"], "in", to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", ["y16"], ["y"], "out", to=TensorProto.FLOAT))
    del graph.value_info[:]
    return half


def test_after_a_conversion_the_narrower_type_counts():
    original, changed = split()
    assert scission.check(original, changed).outputs[0].tolerance == pytest.approx(2e-5)
    verdict = scission.check(original, halved(changed))
    assert verdict.equal, verdict.reason
    assert verdict.outputs[0].tolerance == pytest.approx(2e-3)
    assert verdict.probes and verdict.probes[0].original <= 1


def test_what_is_wrong_beyond_that_type_is_wrong():
    original, changed = split()
    verdict = scission.check(original, halved(changed, 1.02))
    assert not verdict.equal
    assert not verdict.probes[0].within


def test_two_models_of_16_bits_are_held_as_before():
    original, _ = split()
    half = halved(original)
    again = scission.optimize(half, force=True, bench=False)
    assert again.verdict is not None and again.verdict.equal


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), K=st.integers(1, 60), kind=st.sampled_from([np.float16, ml_dtypes.bfloat16]))
def test_converted_products_are_within_the_wider_bound(seed, K, kind):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, K)).astype(np.float32)
    W = (rng.standard_normal((K, 3)) * 10.0 ** rng.uniform(-9, 1, (1, 3))).astype(np.float32)
    bias = rng.standard_normal(3).astype(np.float32)
    exact, bound = product_bound(x, W, bias=bias, narrow=kind)
    tiny = np.where(np.abs(W) < 1e-7, np.sign(W) * 1e-7, W)  # as converters do
    for weight in (W, tiny):
        product = (x.astype(kind).astype(np.float32) @ weight.astype(kind).astype(np.float32)).astype(kind)
        y = (product + bias.astype(kind)).astype(kind)
        assert (np.abs(y.astype(np.float64) - exact) <= bound).all()
    assert (np.abs(x.astype(kind).astype(np.float64) @ W - (exact - bias)) < 1e-9).all()
