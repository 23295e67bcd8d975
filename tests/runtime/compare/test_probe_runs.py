"""Probes of single products in two models that run."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from two_blocks import ROWS, K, N, W, dense, feed, model, probe, split, value, verdict

from scission.runtime.compare.probe_runs import expose
from scission.runtime.compare.verdict import EquivalenceError
from scission.runtime.ort.session import ModelSource, open_session


def test_probe_sees_what_the_tolerance_misses():
    """An error of 1e-5 of the largest output is inside the tolerance and far outside the bound of the product."""
    wrong = W.copy()
    wrong[2, 1] *= 1 + 1e-5
    result = verdict(dense(), split(wrong), probes=[probe()])
    assert result.outputs[0].equal
    assert not result.probes[0].within
    assert not result.equal


def test_probes_that_do_not_fit():
    with pytest.raises(EquivalenceError, match=r"nowhere.*top-level graph of both models"):
        verdict(dense(), split(), probes=[probe(output="nowhere")])
    with pytest.raises(EquivalenceError, match=r"original: linear: 'act' has shape \(5, 12\), its reference \(5, 8\)"):
        verdict(dense(), split(), probes=[probe(output="act")])
    other = verdict(dense(), split(), probes=[probe(W * 2)])
    assert not other.equal
    assert "error bound away" in other.reason
    with_original_wrong = verdict(dense(W * 2), split(), probes=[probe()], rtol=10.0)
    assert "original itself" in with_original_wrong.reason


def test_probe_of_an_input_and_an_output():
    """The linear may stand first or last: then its values are the model's own."""
    nodes = [h.make_node("MatMul", ["x", "W"], ["y"])]
    alone = model(nodes, [value("x", ["n", K])], [value("y", ["n", N])], {"W": W})
    result = verdict(alone, alone, probes=[probe(input="x", output="y")])
    assert result.equal
    assert result.probes[0].checked == 2 * ROWS * N


def test_many_probes_are_fetched_in_groups():
    wrong = W.copy()
    wrong[0, 0] += 1
    result = verdict(dense(), dense(), probes=[*[probe()] * 40, probe(wrong)])
    assert [report.within for report in result.probes] == [True] * 40 + [False]


def test_probe_with_nothing_finite_to_check():
    x = {"x": np.full((1, K), np.inf, np.float32)}
    with pytest.raises(EquivalenceError, match="nothing could be compared: every output is NaN or infinite"):
        verdict(dense(), dense(), [x], probes=[probe()])
    mixed = feed()
    mixed["x"][0, 0] = np.inf
    result = verdict(dense(), dense(), [mixed], probes=[probe()])
    assert result.equal, result.reason
    assert result.probes[0].checked == 2 * (ROWS - 1) * N


def test_a_probe_fails_when_any_trial_does():
    wrong = W.copy()
    wrong[0] *= 2
    blind = feed(seed=2)
    blind["x"][:, 0] = 0
    for feeds in ([feed(), blind], [blind, feed()]):
        assert not verdict(dense(), split(wrong), feeds, probes=[probe()]).probes[0].within
    assert verdict(dense(), split(wrong), [blind], probes=[probe()]).probes[0].within


def test_overflow_is_not_a_broken_bound():
    x = np.abs(feed(np.float16)["x"])
    x[0] *= 1000
    big = (np.abs(W) * 60).astype(np.float16)
    result = verdict(dense(big, dtype=T.FLOAT16), split(big, dtype=T.FLOAT16), [{"x": x}], probes=[probe(big)])
    assert (x.astype(float) @ big)[0].max() > np.finfo(np.float16).max
    assert result.equal, result.reason
    assert 2 * (ROWS - 1) * N <= result.probes[0].checked < 2 * ROWS * N


def test_probe_finds_nan_made_by_the_model():
    broken = split()
    broken.graph.node[4].output[0] = "joined"
    broken.graph.node.insert(5, h.make_node("Add", ["joined", "nan"], ["prod"]))
    broken.graph.initializer.append(nh.from_array(np.array([0] * 7 + [np.nan], np.float32), "nan"))
    result = verdict(dense(), broken, probes=[probe()])
    assert not result.probes[0].within


def test_expose_appends_outputs_and_keeps_the_rest(tmp_path):
    path: Path = tmp_path / "m.onnx"
    onnx.save(dense(), path)
    for source in (path, path.read_bytes()):
        exposed = onnx.load_from_string(expose(source, ["act", "prod"]))
        assert [output.name for output in exposed.graph.output] == ["y", "h", "act", "prod"]
        del exposed.graph.output[2:]
        assert exposed == dense()
    session = open_session(expose(path, ["prod"]))
    x = feed()["x"]
    np.testing.assert_allclose(session.run({"x": x})["prod"], np.maximum(x, 0) @ W, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_exposed_leaves_large_weights_where_they_are(tmp_path, linked):
    large = np.random.default_rng(3).standard_normal((520, 512), dtype=np.float32)  # 1.06 MB
    nodes = [h.make_node("MatMul", ["x", "W"], ["p"]), h.make_node("Relu", ["p"], ["y"])]
    path: Path = tmp_path / "m.onnx"
    onnx.save(model(nodes, [value("x", ["n", 520])], [value("y", ["n", 512])], {"W": large}), path)
    if linked:
        (tmp_path / "blobs").mkdir()
        path.rename(tmp_path / "blobs" / "1f")
        path.symlink_to(Path("blobs") / "1f")
    exposed = expose(path, ["p"])
    assert len(exposed) < 1000
    x = np.random.default_rng(4).standard_normal((3, 520), dtype=np.float32)
    got = open_session(ModelSource(exposed, folder=tmp_path)).run({"x": x})
    np.testing.assert_allclose(got["p"], x @ large, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(got["y"], np.maximum(got["p"], 0))
