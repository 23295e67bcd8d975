import dataclasses

import numpy as np
import onnx
import oracles
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh
from small_models import graph, made, mlp

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.models.planted.products import build, feeds
from scission.passes.anneal.activity.activity import ActivityError
from scission.passes.anneal.activity.damage import relative_error
from scission.passes.anneal.activity.refit import refit
from scission.runtime.calibrate import activations as module
from scission.runtime.calibrate.activations import CalibrationError, activations, behind, observable, observe
from scission.runtime.ort.library import SessionError


def test_one_value_that_is_read_along_two_axes_is_two_activations():
    nodes = [
        h.make_node("MatMul", ["x", "A"], ["y"], name="right"),
        h.make_node("MatMul", ["A", "x"], ["z"], name="left"),
        h.make_node("Gemm", ["A", "x"], ["t"], name="turned", transB=1),
    ]
    proto = graph(nodes, {"A": np.eye(3)}, 3, y=3, z=3, t=3)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    model = load(proto)
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    seen = observe(model, survey(model.graph).linears, [{"x": x}])
    np.testing.assert_array_equal(seen["right"].gram, x.T @ x)
    np.testing.assert_array_equal(seen["left"].gram, x @ x.T)
    np.testing.assert_array_equal(seen["turned"].gram, x.T @ x)


def test_two_strides_over_one_value_are_two_activations():
    nodes = [h.make_node("Conv", ["x", "W"], [f"y{step}"], f"by{step}", strides=[step]) for step in (1, 2)]
    body = h.make_graph(
        nodes,
        "g",
        [h.make_tensor_value_info("x", 1, ["n", 2, 5])],
        [h.make_tensor_value_info(f"y{step}", 1, None) for step in (1, 2)],
        [nh.from_array(np.ones((1, 2, 1), np.float32), "W")],
    )
    model = load(h.make_model(body, opset_imports=[h.make_opsetid("", 17)], ir_version=8))
    seen = observe(model, survey(model.graph).linears, [{"x": np.ones((3, 2, 5), np.float32)}])
    assert {address: activity.samples for address, activity in seen.items()} == {"by1": 15, "by2": 9}


def test_a_model_in_a_file_with_external_weights_is_opened_where_it_lies(tmp_path):
    proto, weights = mlp(np.random.default_rng(0))
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    model = load(tmp_path / "m.onnx")
    x = np.ones((2, 4), np.float32)
    seen = {
        linear.address: y for linear, _, y in activations(model, survey(model.graph).linears, [{"x": x}], threads=1)
    }
    np.testing.assert_allclose(seen["side"], x @ np.float32(weights["C"]), rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 2, 3, 32])
def test_few_values_at_a_time_give_the_same(at_once, monkeypatch):
    proto, _ = mlp(np.random.default_rng(0))
    model = load(proto)
    rng = np.random.default_rng(1)
    data = [{"x": rng.standard_normal((n, 4)).astype(np.float32)} for n in (3, 1)]
    fetched = []
    fetch = module._fetch
    monkeypatch.setattr(module, "_fetch", lambda *a: fetched.append(a[-1]) or fetch(*a))
    linears = survey(model.graph).linears
    parts = list(activations(model, linears, iter(data), at_once=at_once))
    whole = list(activations(model, linears, data))
    assert [(linear.address, len(x)) for linear, x, _ in parts] == [
        (n, m) for m in (3, 1) for n in ("up", "down", "side")
    ]
    for one, other in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
        np.testing.assert_array_equal(one[2], other[2])
    sizes = [len(names) for names in fetched[: -2 * (at_once < 5) or None]]
    assert max(sizes) <= max(at_once, 2) and (at_once != 1 or len(sizes) == 6)


def test_what_a_linear_hands_on_lies_behind_the_relu_that_alone_reads_it():
    for gate, name in (("Relu", "g"), ("Sigmoid", "h")):
        proto, _ = mlp(np.random.default_rng(0), gate=gate)
        linears = {linear.address: linear for linear in survey(load(proto).graph).linears}
        assert (behind(linears["up"]).name, behind(linears["down"]).name) == (name, "y")
    proto.graph.node[2].op_type = "Relu"
    proto.graph.output.append(h.make_tensor_value_info("h", 1, ["n", 6]))  # somebody else reads it
    assert behind(survey(load(proto).graph).linears[0]).name == "h"


def test_without_outputs_nothing_but_the_activations_is_read():
    proto, _ = mlp(np.random.default_rng(0))
    model = load(proto)
    x = np.ones((2, 4), np.float32)
    linears = survey(model.graph).linears
    assert all(y is None for _, _, y in activations(model, linears, [{"x": x}], outputs=False))
    seen = observe(model, linears, [{"x": x}], outputs=False)
    assert all(a.outputs is None and a.exposure is None and a.gram is not None for a in seen.values())


def test_observing_adds_up_over_all_feeds():
    rng = np.random.default_rng(2)
    proto, weights = mlp(rng)
    model = load(proto)
    data = [{"x": rng.standard_normal((n, 4)).astype(np.float32)} for n in (5, 2, 8)]
    seen = observe(model, survey(model.graph).linears, iter(data))
    x = np.concatenate([feed["x"] for feed in data]).astype(np.float64)
    hidden = np.maximum(x @ weights["A"] + weights["b"], 0)
    assert list(seen) == ["up", "down", "side"] and {a.samples for a in seen.values()} == {15}
    np.testing.assert_allclose(seen["up"].gram, x.T @ x, rtol=1e-6)
    np.testing.assert_allclose(seen["down"].gram, hidden.T @ hidden, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(seen["up"].outputs, (hidden > 0).sum(axis=0))
    np.testing.assert_array_equal(seen["down"].inputs, (hidden > 0).sum(axis=0))
    np.testing.assert_array_equal(seen["up"].exposure, np.tile(seen["up"].outputs, (4, 1)))
    assert seen["up"].gram is seen["side"].gram, "both read x"


def test_disjoint_supports_leave_the_planted_classes():
    rng = np.random.default_rng(3)
    planted, model, found = made("matmul-right-2")
    (truth,) = planted.truth.values()
    x = np.zeros((30, truth.shape[0]), np.float32)
    for row, block in zip(x, truth.blocks * 10, strict=True):
        row[block.inputs] = rng.standard_normal(block.inputs.size)
    (activity,) = observe(model, found.linears, [{next(iter(feeds(rng, planted))): x}]).values()
    found = [set(np.flatnonzero(activity.labels == c).tolist()) for c in range(3)]
    assert sorted(found, key=min) == sorted((set(b.inputs.tolist()) for b in truth.blocks), key=min)
    assert activity.labels.max() == 2


def test_an_initializer_that_callers_may_replace_is_read_either_way():
    W, start = np.eye(3), np.array([[1, 2, 3]])
    proto = graph([h.make_node("MatMul", ["s", "W"], ["y"], name="p")], {"W": W, "s": start}, 3, y=3)
    proto.graph.input.append(h.make_tensor_value_info("s", 1, ["n", 3]))
    model = load(proto)
    x = np.zeros((1, 3), np.float32)
    for feed, expected in (({"x": x}, [1, 2, 3]), ({"x": x, "s": x + 7}, [7, 7, 7])):
        ((_, rows, y),) = activations(model, survey(model.graph).linears, [feed])
        assert rows.tolist() == y.tolist() == [expected]


def test_refitting_from_observed_activations_lowers_the_error_on_them():
    rng = np.random.default_rng(5)
    planted, model, found = made("matmul-right-2")
    (linear,) = found.linears
    (truth,) = planted.truth.values()
    K, N = truth.shape
    name = next(iter(feeds(rng, planted)))
    mixing = rng.standard_normal((4, K))  # nine correlated inputs
    data = [{name: (rng.standard_normal((20, 4)) @ mixing + 1).astype(np.float32)} for _ in range(3)]
    activity = observe(model, found.linears, data)[linear.address]
    W = linear.canonical(found.constants) + 0.3 * rng.standard_normal((K, N)).astype(np.float32)
    fitted = refit(W, truth, activity.gram)
    x = np.concatenate([feed[name] for feed in data]).astype(np.float64)
    after = np.linalg.norm(x @ W - x @ fitted.weight) / np.linalg.norm(x @ W)
    before = relative_error(W, oracles.reassembled(W, truth), activity.gram)
    assert after == pytest.approx(fitted.error_after, rel=1e-3) and after < 0.7 * before


def test_what_cannot_be_calibrated_is_refused():
    model = load(mlp(np.random.default_rng(0))[0])
    linears = survey(model.graph).linears
    with pytest.raises(CalibrationError, match="at least one feed"):
        observe(model, linears, [])
    with pytest.raises(CalibrationError, match="at least one value"):
        list(activations(model, linears, [], at_once=0))
    with pytest.raises(SessionError, match="no value for the inputs"):
        list(activations(model, linears, [{}]))
    with pytest.raises(ActivityError, match="NaN"):
        observe(model, linears, [{"x": np.full((2, 4), np.nan, np.float32)}])
    stale = [dataclasses.replace(linears[0], shape=(5, 6))]
    with pytest.raises(CalibrationError, match="not 5 features"):
        observe(model, stale, [{"x": np.ones((2, 4), np.float32)}])
    foreign = survey(load(build(np.random.default_rng(0), "chain").model).graph).linears
    assert {skip.reason.text for skip in observable(model, foreign)[1]} == {
        "its values are not in the main graph of the model"
    }
