import numpy as np
import onnx
import pytest
from annealable import network

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.runtime.calibrate import metric_runner as side_by_side
from scission.runtime.calibrate.dataset import Labelled
from scission.runtime.calibrate.metric.metric import parse_metric
from scission.runtime.calibrate.metric_runner import SideBySide


def data(x, labels=None, batch=7):
    return Labelled(samples=len(x), arrays={"x": x}, shared={}, targets=labels, batch=batch, exact=False)


def numpy_outputs(weights, x):
    return np.maximum(x @ weights[0], 0) @ weights[1]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    rng = np.random.default_rng(0)
    model, weights, _ = network(rng)
    path = tmp_path_factory.mktemp("beside") / "m.onnx"
    onnx.save(model, path)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    other = [weights[0], np.where(np.abs(weights[1]) > 0.1, weights[1], 0)]
    changed.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(other[1], "W1"))
    return path, ir.from_proto(changed), weights, other, rng.standard_normal((30, 48)).astype(np.float32)


@pytest.mark.parametrize("held", [1 << 30, 0], ids=["outputs kept", "original runs again"])
@pytest.mark.parametrize("from_file", [True, False])
def test_measures_are_those_of_numpy(case, monkeypatch, held, from_file):
    path, changed, weights, other, x = case
    monkeypatch.setattr(side_by_side, "HELD", held)
    before, after = numpy_outputs(weights, x), numpy_outputs(other, x)
    labels = before.argmax(1)
    labels[::3] = 0
    source = load(path if from_file else path.read_bytes())
    runner = SideBySide(source, data(x, labels), parse_metric("argmax"), "cpu", 1)
    found = runner.measure(changed)
    assert found.baseline == runner.baseline == pytest.approx((before.argmax(1) == labels).mean())
    assert found.metric == pytest.approx((after.argmax(1) == labels).mean())
    assert found.drop == pytest.approx(found.baseline - found.metric)
    batches = [slice(start, start + 7) for start in range(0, 30, 7)]
    worst = max(np.abs(after[b] - before[b]).max() / np.abs(before[b]).max() for b in batches)
    assert found.deviation == pytest.approx(worst, rel=1e-4)
    same = runner.measure(source.graph)
    assert (same.drop, same.deviation) == (0, 0) and same.cosine == pytest.approx(1)


def test_lower_is_better_turns_the_drop(case):
    path, changed, weights, other, x = case
    found = SideBySide(load(path), data(x), parse_metric("mse"), "cpu", 1).measure(changed)
    expected = ((numpy_outputs(other, x) - numpy_outputs(weights, x)) ** 2).mean()
    assert found.baseline == 0 and found.drop == found.metric == pytest.approx(expected, rel=1e-4)
