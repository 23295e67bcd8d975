"""Hidden units of recurrent operators that do nothing go out of all their weights, states and results."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_cells import GATES, cells
from reference import model as model_of
from reference import node
from without_channels import agrees, without

FEATURES, HIDDEN, LONG = 6, 8, 5
NEW = {"RNN": 0, "GRU": 2, "LSTM": 3}  # the gate of a new state
rng = np.random.default_rng(0)


@settings(max_examples=25)
@given(st.integers(0, 1 << 30))
def test_recurrent_networks_without_units_that_do_nothing_compute_the_same(seed):
    proto, feeds = cells(seed)
    assert agrees(proto, without(proto), feeds)


def network(op, direction="forward", silent=(), unread=(), zero=(), start="-", bias=True):
    """A recurrent operator between two products: units that stay at zero, that nobody reads, features that are zero."""
    count, gates = 1 + (direction == "bidirectional"), GATES[op]
    up = normal(3, FEATURES)
    up[:, list(zero)] = 0
    W, R = normal(count, gates, HIDDEN, FEATURES), normal(count, gates, HIDDEN, HIDDEN)
    B, down = normal(count, 2, gates, HIDDEN), normal(count, HIDDEN, 2)
    silent, unread = list(silent), list(unread)
    W[:, NEW[op], silent], R[:, NEW[op], silent], B[:, :, NEW[op], silent] = 0, 0, 0
    left = [unit for unit in range(HIDDEN) if unit not in unread]
    R[:, :, np.array(left)[:, None], unread], down[:, unread] = 0, 0
    weights = {"U": up, "W": W.reshape(count, -1, FEATURES), "R": R.reshape(count, -1, HIDDEN)}
    weights |= {"B": B.reshape(count, -1), "D": down.reshape(-1, 2), "t": np.array([0, 0, count * HIDDEN])}
    weights |= {"h0": np.where(np.isin(np.arange(HIDDEN), silent), 0, normal(count, 1, HIDDEN)).astype(np.float32)}
    state = f"{start} {start}" if op == "LSTM" else start
    nodes = [
        node("MatMul", "x U", "a", "up"),
        node("Relu", "a", "b"),
        node(op, f"b W R {'B' if bias else '-'} - {state}", "c", "cells", hidden_size=HIDDEN, direction=direction),
        node("Transpose", "c", "d", perm=[0, 2, 1, 3]),
        node("Reshape", "d t", "e"),
        node("MatMul", "e D", "y", "down"),
    ]
    x = [LONG, 1, 3]
    return model_of(nodes, {"x": x}, {"y": [LONG, 1, 2]}, weights, opset=17, ir_version=9)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def sizes(proto):
    """(gates × units, features) and (gates × units, units) of the recurrent operator of a model."""
    (own,) = (one for one in proto.graph.node if one.op_type in GATES)
    held = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert {one.name: one.i for one in own.attribute}["hidden_size"] == held[own.input[2]][2]
    return held[own.input[1]][1:], held[own.input[2]][1:]


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("start", ["-", "h0"])
def test_units_that_are_planted_are_all_found(op, direction, start):
    proto = network(op, direction, silent=[0, 3], unread=[3, 5], zero=[2, 4], start=start)
    changed = without(proto)
    onnx.checker.check_model(changed, full_check=True)
    left = HIDDEN - 3
    assert sizes(changed) == ((GATES[op] * left, FEATURES - 2), (GATES[op] * left, left))
    same(proto, changed)


def same(proto, changed):
    assert agrees(proto, changed, {"x": normal(LONG, 1, 3)})


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("bias", [False, True])
def test_features_that_are_constant_go_into_a_bias_that_may_not_have_been_there(op, bias):
    proto = network(op, "bidirectional", zero=[1, 4], bias=bias)
    for one in proto.graph.node:
        if one.op_type == "Relu":
            one.op_type = "Softplus"  # log 2, of zero
    changed = without(proto)
    assert sizes(changed)[0] == (GATES[op] * HIDDEN, FEATURES - 2)
    same(proto, changed)


def test_a_unit_stays_that_only_its_first_state_wakes():
    proto = network("LSTM", silent=[0, 3], start="h0")
    (h0,) = (one for one in proto.graph.initializer if one.name == "h0")
    array = onnx.numpy_helper.to_array(h0).copy()
    array[..., 3] = 0.5
    h0.CopyFrom(onnx.numpy_helper.from_array(array, "h0"))
    changed = without(proto)
    assert sizes(changed)[1] == (4 * (HIDDEN - 1), HIDDEN - 1)
    same(proto, changed)


@pytest.mark.parametrize("names", [["Sigmoid", "Sigmoid", "Tanh"], ["Tanh", "Tanh", "Sigmoid"]])
def test_a_unit_stays_whose_functions_make_something_of_zero(names):
    proto = network("LSTM", silent=[0, 3])
    (own,) = (one for one in proto.graph.node if one.op_type == "LSTM")
    own.attribute.append(onnx.helper.make_attribute("activations", names))
    assert without(proto) is proto
