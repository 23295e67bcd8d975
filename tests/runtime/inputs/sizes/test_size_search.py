"""Sizes are found for whatever the original runs, and what it refuses is no fault of a rewrite."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import scission
from scission.ir.io.load import load
from scission.runtime.compare.feeds import candidate_feeds
from scission.runtime.inputs.inputs import InputError
from scission.runtime.inputs.sizes.dimensions import Dimensions
from scission.runtime.inputs.sizes.runnable import runnable
from scission.runtime.inputs.sizes.settings import sized
from scission.runtime.inputs.sizes.size_facts import derive
from scission.runtime.inputs.sizes.size_search import CANDIDATES, candidate_sizes
from scission.runtime.inputs.spec import spec_of
from scission.runtime.ort.library import SessionError
from scission.runtime.ort.session import open_session
from scission.runtime.ort.tensor_spec import TensorSpec
from scission.runtime.ort.trials import Trials

W = np.zeros((48, 64), np.float32)
for part in range(4):
    W[part * 12 : part * 12 + 12, part * 16 : part * 16 + 16] = np.random.default_rng(part).standard_normal((12, 16))


def net(nodes, inputs, constants=None, types=None):
    values = [h.make_tensor_value_info(name, (types or {}).get(name, T.FLOAT), shape) for name, shape in inputs.items()]
    made = [nh.from_array(np.asarray(array), name) for name, array in {"W": W, **(constants or {})}.items()]
    out = h.make_tensor_value_info("y", T.FLOAT, None)
    graph = h.make_graph([h.make_node(op, i, o, **a) for op, i, o, a in nodes], "g", values, [out], made)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


PRODUCT = ("MatMul", ["x", "W"], ["y"], {"name": "mm"})
CASES = {
    "features of a weight": ([PRODUCT], {"x": ["a", "b", "c"]}),
    "features behind a sum": (
        [("Add", ["u", "v"], ["x"], {}), PRODUCT], {"u": ["a", "c"], "v": ["b", "d"]}),
    "one more than another, by name": (
        [("Concat", ["p", "q"], ["r"], {"axis": 1}), ("Add", ["r", "m"], ["x"], {}), PRODUCT],
        {"p": ["b", "past", 48], "q": ["b", 1, 48], "m": ["b", "past + 1", 48]}),
    "one more than another, by no name": (
        [("Concat", ["p", "q"], ["r"], {"axis": 1}), ("Add", ["r", "m"], ["x"], {}), PRODUCT],
        {"p": ["b", "past", 48], "q": ["b", 1, 48], "m": ["b", "mask", 48]}),
    "the sum of two others, by no name": (
        [("Concat", ["p", "q"], ["r"], {"axis": 1}), ("Add", ["r", "m"], ["x"], {}), PRODUCT],
        {"p": ["b", "past", 48], "q": ["b", "now", 48], "m": ["b", "total_length", 48]}),
    "twice a symbol": (
        [("Concat", ["p", "p"], ["r"], {"axis": 0}), ("Add", ["r", "m"], ["x"], {}), PRODUCT],
        {"p": ["s0", 48], "m": ["2*s0", 48]}),
    "half a symbol": (
        [("Slice", ["p", "zero", "end", "zero", "two"], ["r"], {}), ("Add", ["r", "m"], ["x"], {}), PRODUCT],
        {"p": ["s0", 48], "m": ["((s0 - 1)//2) + 1", 48]}),
    "a batch that a Reshape fixes": (
        [("Reshape", ["u", "six"], ["x"], {}), PRODUCT], {"u": ["n", 48]}),
    "a multiple that a Reshape wants": (
        [("Reshape", ["u", "groups"], ["x"], {}), PRODUCT], {"u": ["n", 48]}),
    "an image in patches": (
        [("Reshape", ["u", "tiles"], ["v"], {}), ("Transpose", ["v"], ["t"], {"perm": [0, 2, 4, 1, 3, 5]}),
         ("Reshape", ["t", "flat"], ["x"], {}), PRODUCT], {"u": ["n", "c", "h", "w"]}),
    "heads": (
        [("Reshape", ["u", "heads"], ["v"], {}), ("Reshape", ["v", "flat"], ["x"], {}), PRODUCT],
        {"u": ["b", "s", "d"]}),
    "what a Concat leaves over": (
        [("Concat", ["u", "v"], ["x"], {"axis": 1}), PRODUCT], {"u": ["n", "p"], "v": ["n", 11]}),
    "dimensions without names": (
        [("Conv", ["u", "K"], ["v"], {}), ("Reshape", ["v", "flat"], ["x"], {}), PRODUCT], {"u": [None] * 4}),
    "a signal that must be long": (
        [("Conv", ["u", "long"], ["v"], {}), ("Transpose", ["v"], ["x"], {"perm": [0, 2, 1]}), PRODUCT],
        {"u": ["n", 1, "samples"]}),
    "more than one": (
        [("Squeeze", ["u"], ["s"], {}), ("Transpose", ["s"], ["x"], {"perm": [1, 0]}), PRODUCT], {"u": [48, 1, "n"]}),
    "channels of a convolution": (
        [("Conv", ["u", "K"], ["v"], {}), ("Reshape", ["v", "flat"], ["x"], {}), PRODUCT], {"u": ["n", "c", "h", "w"]}),
    "states of a recurrent operator": (
        [("GRU", ["u", "G", "R", "", "", "h"], ["v", ""], {"hidden_size": 48}), ("Squeeze", ["v"], ["x"], {}), PRODUCT],
        {"u": ["time", "batch", "features"], "h": ["one", "rows", "hidden"]}),
}  # fmt: skip
CONSTANTS = {
    "zero": np.array([0]), "two": np.array([2]), "end": np.array([1 << 31]),
    "heads": np.array([0, 0, 4, 24]),
    "long": np.zeros((48, 1, 400), np.float32),
    "tiles": np.array([2, 3, 5, 4, 7, 4]),
    "six": np.array([6, 48]), "groups": np.array([-1, 7, 48]), "flat": np.array([-1, 48]),
    "K": np.zeros((48, 5, 3, 3), np.float32),
    "G": np.zeros((1, 144, 9), np.float32), "R": np.zeros((1, 144, 48), np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_size_that_runs_is_found(name, tmp_path):
    nodes, inputs = CASES[name]
    model = net(nodes, inputs, CONSTANTS)
    found = runnable([open_session(model.SerializeToString())], candidate_feeds(load(model), Trials()))
    assert found
    result = scission.optimize(model, force=True, trials=Trials(provider="cpu", seconds=0.01), batch=[1, 16])
    assert result.outcome == "split" and result.verdict.equal and result.benches


def test_a_rank_decided_at_run_time_runs_where_a_shape_of_zeros_keeps_it():
    model = net([("Reshape", ["u", "s"], ["x"], {}), PRODUCT], {"u": ["n"], "s": ["rank"]}, types={"s": T.INT64})
    assert scission.optimize(model, force=True, trials=Trials(provider="cpu", seconds=0.01)).verdict.equal


def test_what_no_size_fits_names_the_options():
    nodes = [("Reshape", ["u", "s"], ["r"], {}), ("Transpose", ["r"], ["x"], {"perm": [1, 0, 2]}), PRODUCT]
    model = net(nodes, {"u": ["n"], "s": ["rank"]}, types={"s": T.INT64})
    with pytest.raises(SessionError, match=r"none of \d+ random inputs suits.*sizes=\{'n': …, 'rank': …\}.*inputs=…"):
        scission.optimize(model, force=True, trials=Trials(provider="cpu"))


def test_a_rewrite_that_refuses_what_the_original_runs_is_different():
    same = net([PRODUCT], {"x": ["n", 48]})
    other = net([("Reshape", ["x", "six"], ["r"], {}), ("MatMul", ["r", "W"], ["y"], {})], {"x": ["n", 48]}, CONSTANTS)
    verdict = scission.check(same, other)
    assert not verdict.equal and "refuses inputs that the original runs" in verdict.reason
    assert scission.check(other, same).equal  # the other way round only 6 rows are comparable


def test_the_search_is_bounded_and_tries_nothing_twice():
    spec = [TensorSpec(name="x", dtype="float32", shape=tuple(f"d{place}" for place in range(12)))]
    found = list(candidate_sizes(spec))
    assert len(found) <= CANDIDATES and len({tuple(one.items()) for one in found}) == len(found)


def test_a_size_given_for_the_sum_fixes_its_part():
    spec = [
        TensorSpec(name="m", dtype="int64", shape=("b", "past + 1")),
        TensorSpec(name="k", dtype="f", shape=("past",)),
    ]
    assert Dimensions.of(spec, {"past + 1": 6, "b": 1}).sizes({}) == {"b": 1, "past + 1": 6, "past": 5}
    assert Dimensions.of(spec, {"past": 5}).sizes({"b": 2}) == {"b": 2, "past + 1": 6, "past": 5}
    with pytest.raises(InputError, match="no input has an open dimension called"):
        Dimensions.of(spec, {"future": 5})
    assert Dimensions.of([TensorSpec(name="x", dtype="f", shape=("batch-size",))]).free == ("batch-size",)


@settings(max_examples=25)
@given(st.data())
def test_what_is_derived_is_the_only_size_that_runs(data):
    """Oracle: every assignment of small sizes is tried; what is derived must hold in all that run, and some must."""
    names = ["a", "b", "c"]
    left = [data.draw(st.sampled_from(names)) for _ in range(2)]
    right = [data.draw(st.sampled_from([*names, 3])) for _ in range(2)]
    joined = data.draw(st.sampled_from([("Add", {}), ("MatMul", {}), ("Concat", {"axis": 0}), ("Concat", {"axis": 1})]))
    weight = np.ones((data.draw(st.sampled_from([2, 3])), 2), np.float32)
    model = net(
        [(joined[0], ["u", "v"], ["x"], joined[1]), ("MatMul", ["x", "V"], ["y"], {})],
        {"u": left, "v": right}, {"V": weight},
    )  # fmt: skip
    try:
        session = open_session(model.SerializeToString())
    except SessionError:  # no size can mend it
        return
    spec, derived = spec_of(load(model)), derive(load(model))
    used = list(dict.fromkeys(dim for dim in (*left, *right) if isinstance(dim, str)))
    running = []
    for sizes in itertools.product((2, 3, 4), repeat=len(used)):
        chosen = dict(zip(used, sizes, strict=True))
        shapes = {"u": [chosen[dim] for dim in left], "v": [chosen.get(dim, dim) for dim in right]}
        feed = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        try:
            session.run(feed)
        except SessionError:
            continue
        running.append(chosen)
    for chosen in running:
        assert all(chosen[name] == size for name, size in derived.known.items())
        assert all(chosen[name] == chosen[other] for name, other in derived.ties.items())
    if running:
        assert runnable([session], candidate_feeds(load(model), Trials()), 1)
        assert all(all(setting.sizes.values()) for setting in sized(spec, [4], None, derived))


def two_windows(first, second):
    """A flag chooses between two networks, for as many samples as each of them reads."""
    ways = {}
    for name, size in (("then_branch", first), ("else_branch", second)):
        node = h.make_node("MatMul", ["x", f"W{size}"], [f"y_{name}"])
        ways[name] = h.make_graph([node], name, [], [h.make_tensor_value_info(f"y_{name}", T.FLOAT, None)])
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["n", "t"]), h.make_tensor_value_info("flag", T.BOOL, [])]
    weights = [nh.from_array(np.ones((size, 4), np.float32), f"W{size}") for size in {first, second}]
    graph = h.make_graph(
        [h.make_node("If", ["flag"], ["y"], **ways)],
        "g",
        inputs,
        [h.make_tensor_value_info("y", T.FLOAT, None)],
        weights,
    )
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


@given(st.integers(2, 50), st.integers(2, 50))
@settings(max_examples=15, deadline=None)
def test_branches_that_demand_different_sizes_both_run(first, second):
    verdict = scission.check(two_windows(first, second), two_windows(first, second))
    assert verdict.equal and [part.runs > 0 for part in verdict.parts] == [True, True]
