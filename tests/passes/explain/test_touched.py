"""What preparations made of nodes that they do not name."""

import numpy as np
import oracles
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper as nh

import scission
from scission.ir.graph.linear import scopes
from scission.ir.io.load import load
from scission.ir.io.serial import to_proto
from scission.passes.explain.touched import address_before, touched_by
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.preparations import prepared
from scission.runtime.render.text.explanation import lines


def net(seed, named=True):
    """Two products with a bias, a scale and an activation between, some of whose units are dead or constant."""
    rng = np.random.default_rng(seed)
    W, V = (rng.standard_normal(shape).astype(np.float32) for shape in ((16, 24), (24, 16)))
    W[:, ::3] = 0
    b, s = rng.standard_normal(24).astype(np.float32), np.abs(rng.standard_normal((1, 24))).astype(np.float32)
    b[::3] = rng.choice([0, 1], 8)
    c = np.ones(16 if named else 1, np.float32)  # what channels that went added does not fit into one number
    nodes = [("MatMul", ["x", "W"], ["h"]), ("Add", ["h", "b"], ["a"]), ("Relu", ["a"], ["r"])]
    nodes += [("Mul", ["r", "s"], ["m"]), ("MatMul", ["m", "V"], ["o"]), ("Add", ["o", "c"], ["z"])]
    nodes += [("Tanh", ["z"], ["y"])]
    nodes = [(*node, {"name": f"n{at}" if named else ""}) for at, node in enumerate(nodes)]
    constants = {"W": W, "b": b, "s": s, "V": V, "c": c}
    return oracles.graph(nodes, {"x": ["m", 16]}, {"y": ["m", 16]}, constants)


def constants_of(proto, name):
    """The arrays that a node reads, and its attributes; None where it is not there."""
    arrays = {one.name: nh.to_array(one) for one in proto.graph.initializer}
    (node,) = [node for node in proto.graph.node if node.name == name] or [None]
    if node is None:
        return None
    held = [arrays[each].tobytes() if each in arrays else None for each in node.input]
    return held, sorted(map(str, node.attribute))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_a_node_is_touched_where_its_constants_or_attributes_are_others(seed):
    model = load(net(seed))
    plan = make_plan(model, PlanSettings(force=True))
    assert plan.preparations
    before, after = to_proto(model, model.graph), to_proto(model, prepared(model.graph, plan.preparations))
    for node in before.graph.node:
        found = touched_by(model.graph, plan.preparations, node.name)
        changed = constants_of(before, node.name) != constants_of(after, node.name)
        assert any(one.inside for one in found) == changed, node.name
        assert any(one.gone for one in found) == (constants_of(after, node.name) is None)


@pytest.mark.parametrize("address", ["n1", "n3", "n5"])
def test_a_bias_that_is_cut_or_takes_something_in_is_not_called_left_as_it_is(address):
    found = scission.explain(net(1), address, provider="cpu", threads=1)
    told = [line for _, every in lines(found) for line in every]
    assert told[0].startswith("changed, before anything is split: ") and "left as it is" not in "".join(told)
    assert any("its constant " in line and (" instead of " in line or "other numbers" in line) for line in told)
    assert found.to_dict()["preparations"][0]["changes"]


def test_what_only_carries_fewer_channels_says_both():
    told = [line for _, every in lines(scission.explain(net(1), "n2", provider="cpu", threads=1)) for line in every]
    assert told[0].startswith("its result 'r' is m x 16 instead of m x 24") and told[1].startswith("left as it is: ")


def test_addresses_are_traced_through_preparations_that_move_them():
    model = load(net(2, named=False))
    plan = make_plan(model, PlanSettings(force=True))
    addresses = [*next(scopes(prepared(model.graph, plan.preparations))).addresses.values()]
    firsts = [address_before(model.graph, plan.preparations, one) for one in addresses]
    assert [one for one in firsts if one is not None] == [*next(scopes(model.graph)).addresses.values()]
    assert None in firsts and firsts != addresses  # a bias was put behind a product, and what follows has another place


def test_a_direction_of_a_recurrent_operator_is_told_what_became_of_all_of_it():
    rng = np.random.default_rng(0)
    W, R = (rng.standard_normal((2, 32, size)).astype(np.float32) for size in (6, 8))
    W.reshape(2, 4, 8, 6)[:, 3, 2], R.reshape(2, 4, 8, 8)[:, 3, 2] = 0, 0
    told = {"hidden_size": 8, "direction": "bidirectional", "name": "cells"}
    nodes = [("LSTM", ["x", "W", "R"], ["h"], told), ("ReduceSum", ["h", "last"], ["y"], {"keepdims": 0})]
    constants = {"W": W, "R": R, "last": np.array([3])}
    proto = oracles.graph(nodes, {"x": [4, 1, 6]}, {"y": [4, 2, 1]}, constants)
    found = scission.explain(proto, "cells[reverse]")
    (one,) = found.touched
    assert one.by.kind == "channels" and any("hidden_size" in str(change) for change in one.changes)


def test_what_is_only_there_once_others_of_the_kind_are_done_is_told_as_well():
    rng = np.random.default_rng(0)
    held = {"k": rng.standard_normal((16, 3, 1, 2)), "d": np.ones((16, 1)), "w": rng.standard_normal((16, 5))}
    nodes = [
        *(reference.node("Conv", "x k", "c", "conv"), reference.node("Squeeze", "c axes", "s", "squeeze")),
        *(reference.node("Add", "s d", "a", "late"), reference.node("Transpose", "a", "t", "turn", perm=[2, 0, 1])),
        reference.node("MatMul", "t w", "y", "product"),
    ]
    weights = {name: array.astype(np.float32) for name, array in held.items()} | {"axes": np.array([2])}
    loaded = load(reference.model(nodes, {"x": [2, 3, 1, 9]}, ["y"], weights))
    found = make_plan(loaded, PlanSettings(batch=[2])).preparations
    assert [one.form for one in found] == ["bias", "product"]
    told = {name: [one.by for one in touched_by(loaded.graph, found, name)] for name in ("conv", "late", "product")}
    assert told == {"conv": [found[0]], "late": [found[0]], "product": [found[1]]}
