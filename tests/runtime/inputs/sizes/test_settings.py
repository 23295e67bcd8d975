"""Sizes that follow from the values that the user gives."""

import itertools

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import scission
from scission.ir.io.load import load
from scission.runtime.compare.feeds import candidate_feeds
from scission.runtime.inputs.inputs import InputError
from scission.runtime.inputs.sizes.settings import given_sizes, turns_of
from scission.runtime.inputs.spec import spec_of
from scission.runtime.ort.library import SessionError
from scission.runtime.ort.session import open_session
from scission.runtime.ort.trials import Trials

W = np.kron(np.eye(2, dtype=np.float32), np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32))
INTEGERS = {"zero": np.array(0), "one": np.array(1), "axis": np.array([1])}
ADDED = [("Unsqueeze", ["f", "axis"], ["u"]), ("Add", ["x", "u"], ["a"]), ("MatMul", ["a", "W"], ["y"])]
NETS = {
    "positions up to a length": (
        [("Range", ["zero", "v", "one"], ["r"]), ("Cast", ["r"], ["f"], {"to": 1}), *ADDED], [], ["n", "t", 8]
    ),
    "a table of ids": (
        [("Gather", ["table", "v"], ["e"]), ("Add", ["x", "e"], ["a"]), ("MatMul", ["a", "W"], ["y"])],
        ["k"], ["n", "t", 8]
    ),
    "a shape to expand to": (
        [("Expand", ["W0", "v"], ["e"]), ("Add", ["x", "e"], ["a"]), ("MatMul", ["a", "W"], ["y"])], [2], ["t", 8]
    ),
    "zeros as many as": (
        [("ConstantOfShape", ["v"], ["f"]), *ADDED], [1], ["n", "t", 8]
    ),
}  # fmt: skip
VALUES = {
    "positions up to a length": (5, 9),
    "a table of ids": ([1, 2, 3, 4, 0], [3] * 9),
    "a shape to expand to": ([5, 8], [9, 8]),
    "zeros as many as": (5, 9),
}


def net(name):
    nodes, shape, x = NETS[name]
    table = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)
    constants = {**INTEGERS, "W": W, "W0": W[:1], "table": table}
    graph = h.make_graph(
        [h.make_node(op, ins, outs, **(rest[0] if rest else {})) for op, ins, outs, *rest in nodes],
        "g",
        [h.make_tensor_value_info("x", T.FLOAT, x), h.make_tensor_value_info("v", T.INT64, shape)],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(array, key) for key, array in constants.items()],
    )
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def runs(session, name, value, t):
    shape = [{"n": 2, "t": t}.get(dim, dim) for dim in NETS[name][2]]
    declared = NETS[name][1]
    held = np.array(value if isinstance(value, list) or not declared else [value], np.int64)
    try:
        session.run({"x": np.zeros(shape, np.float32), "v": held})
    except SessionError:
        return False
    return True


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("turn", [0, 1])
def test_the_size_that_follows_is_the_largest_that_runs(name, turn):
    """Oracle: all sizes are tried."""
    model, value = net(name), VALUES[name][turn]
    session = open_session(model.SerializeToString())
    every = [t for t in range(1, 12) if runs(session, name, value, t)]
    loaded = load(model)
    assert given_sizes(loaded, spec_of(loaded), Trials(values={"v": value}))["t"] == max(every) == (5, 9)[turn]


@pytest.mark.parametrize("name", NETS)
def test_values_that_take_turns_bring_their_sizes(name):
    loaded, trials = load(net(name)), Trials(values={"v": VALUES[name]})
    assert [turn.sizes["t"] for turn in turns_of(loaded, spec_of(loaded), trials)] == [5, 9]
    feeds = list(itertools.islice(candidate_feeds(loaded, trials), 2))
    place = NETS[name][2].index("t")
    for feed in feeds:
        wanted = {5: VALUES[name][0], 9: VALUES[name][1]}[feed["x"].shape[place]]
        assert np.array_equal(feed["v"].ravel(), np.ravel(wanted))
    assert {feed["x"].shape[place] for feed in feeds} == {5, 9}


def reshaped():
    """A model of one open size, which is regrouped as another input says."""
    nodes = [h.make_node("Reshape", ["x", "shape"], ["r"]), h.make_node("Relu", ["r"], ["y"])]
    inputs = [
        h.make_tensor_value_info("x", T.FLOAT, ["total"]),
        h.make_tensor_value_info("shape", T.INT64, [3]),
    ]
    outputs = [h.make_tensor_value_info("y", T.FLOAT, [None] * 3)]
    graph = h.make_graph(nodes, "g", inputs, outputs)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def test_trials_take_each_value_at_the_size_that_it_asks_for():
    trials = Trials(values={"shape": ([2, 8, 64], [1, 4, 64])}, provider="cpu", seconds=0.01)
    for feed in candidate_feeds(load(reshaped()), trials):
        if feed["x"].size in (1024, 256):
            assert feed["shape"].prod() == feed["x"].size
    assert scission.check(reshaped(), reshaped(), trials=trials).equal
    assert scission.bench(reshaped(), reshaped(), trials=trials)


@pytest.mark.parametrize("name", NETS)
def test_a_model_is_predicted_and_measured_at_the_size_that_follows(name):
    model, trials = net(name), Trials(values={"v": VALUES[name][0]}, provider="cpu", seconds=0.01)
    result = scission.optimize(model, force=True, trials=trials, batch=None if "expand" in name else [2])
    assert result.outcome == "split" and result.verdict.equal
    assert {step.extents for step in result.plan.steps} == {((5,),) if "expand" in name else ((2, 5),)}


def test_what_the_user_says_of_a_size_stands():
    loaded = load(net("positions up to a length"))
    assert given_sizes(loaded, spec_of(loaded), Trials(values={"v": 5}, sizes={"t": 1}))["t"] == 1
    assert given_sizes(loaded, spec_of(loaded), Trials()) == {}


def test_no_value_at_all_is_an_error():
    loaded = load(net("positions up to a length"))
    with pytest.raises(InputError, match="input 'v': no value is given"):
        given_sizes(loaded, spec_of(loaded), Trials(values={"v": ()}))
