import numpy as np
import onnx
import pytest
from onnx import numpy_helper as nh
from small_models import made, mlp

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.runtime.calibrate.activations import CalibrationError
from scission.runtime.calibrate.drift import drift


def test_inputs_that_moved_are_held_beside_what_they_were():
    rng = np.random.default_rng(6)
    before, weights = mlp(rng)
    changed = dict(weights, A=weights["A"] * (rng.random((4, 6)) < 0.5))
    after = onnx.ModelProto.FromString(before.SerializeToString())
    next(t for t in after.graph.initializer if t.name == "A").CopyFrom(nh.from_array(np.float32(changed["A"]), "A"))
    one, other = load(before), load(after)
    data = [{"x": rng.standard_normal((n, 4)).astype(np.float32)} for n in (6, 3)]
    moved = drift(one, other, survey(one.graph).linears, iter(data), threads=1)
    x = np.concatenate([feed["x"] for feed in data]).astype(np.float64)
    X, Y = (np.maximum(x @ w["A"] + w["b"], 0) for w in (weights, changed))
    found, gram, mean, samples = moved["down"]
    for value, expected in ((found.cross, Y.T @ X), (found.gram, X.T @ X), (gram, Y.T @ Y), (mean, Y.mean(axis=0))):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.mean, X.mean(axis=0), rtol=1e-5)
    assert samples == 9
    np.testing.assert_array_equal(moved["up"][1], moved["up"][0].gram)
    with pytest.raises(CalibrationError, match="two models of the same graph"):
        drift(one, load(made("matmul-right-2")[0].model), survey(one.graph).linears, data)


def test_samples_of_which_none_is_finite_are_refused():
    model = load(mlp(np.random.default_rng(0))[0])
    linears = survey(model.graph).linears
    with pytest.raises(CalibrationError, match="all samples"):
        drift(model, model, linears, [{"x": np.full((2, 4), np.nan, np.float32)}])
