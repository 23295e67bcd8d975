"""Bounds through quantisation, held against ONNX Runtime."""

import numpy as np
import onnx
import pytest
from known_bounds import facts
from perturbed import run
from reference import model as model_of
from reference import node

TYPES = onnx.TensorProto
KINDS = {TYPES.UINT8: 2, TYPES.INT8: 2, TYPES.UINT16: 3, TYPES.INT16: 5, 0: 2}  # how many constants each can hold
CONSTANTS = np.array([20, -1, 0, 400, -20], np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_constant_is_an_integer_of_the_type_that_is_asked_for(kind):
    quantised = node("QuantizeLinear", "b s", "q", **({"output_dtype": kind} if kind else {}))
    nodes = [node("Mul", "x zero", "a"), node("Add", "a c", "b"), quantised, node("DequantizeLinear", "q s", "y")]
    weights = {"zero": np.zeros(5, np.float32), "c": CONSTANTS, "s": np.float32(0.1)}
    proto = model_of(nodes, {"x": (["n", 5], np.float32)}, ["y"], weights, opset=21, ir_version=10)
    values, known = facts(proto)
    seen = run(proto, {"x": np.ones((1, 5), np.float32)})[0]
    bounds = known.bounds[values["y"]]
    assert bounds.known.sum() == KINDS[kind]
    assert np.allclose(np.where(bounds.known, bounds.low, seen), seen, rtol=1e-5)
