"""Models that go on learning: from labels, from a teacher, split before or not."""

import json

import numpy as np
import onnx
import pytest
from reference import model, node
from retrain_runs import write_run

torch = pytest.importorskip("torch")

from run_torch import by_runtime  # noqa: E402

import scission  # noqa: E402
from scission import OptionError, RetrainError, UnsupportedOperatorError  # noqa: E402
from scission.ir.provenance import RETRAINED  # noqa: E402
from scission.runtime.ort.trials import Trials  # noqa: E402
from scission.torch import RetrainOptions, retrain  # noqa: E402

TRIALS = Trials(threads=1, provider="cpu")


def options(**changed):
    return RetrainOptions(**{"steps": 60, "every": 20, "rate": 1e-2, "bench": False, **changed})


@pytest.fixture
def home(tmp_path):
    write_run(tmp_path)
    return tmp_path


@pytest.fixture
def plan(home):
    return scission.plan(home / "model.onnx", provider="cpu", threads=1, force=True)


def test_labels_are_learnt_and_only_inside_of_blocks(home, plan):
    done = retrain(home / "model.onnx", home / "out.onnx", options(), data=home / "data.npz", plan=plan, trials=TRIALS)
    assert done.ok and done.verdict.equal and done.written == (home / "out.onnx",)
    assert done.best.hits > 0.8 > done.looks[0].hits and done.best.loss < done.looks[0].loss
    assert [look.step for look in done.looks] == [0, 20, 40, 60]
    assert [step.decomposition for step in done.plan.steps] == [step.decomposition for step in plan.steps]
    made = onnx.load(home / "out.onnx")
    note = json.loads({one.key: one.value for one in made.metadata_props}[RETRAINED])
    assert note["loss"] == done.best.loss and note["by"] == ["labels"]
    held = np.load(home / "data.npz")
    (scores,) = by_runtime(made, {"x": held["x"]})
    assert (scores.argmax(1) == held["y"]).mean() > 0.8, "what is written has learnt"
    assert json.loads(json.dumps(done.to_dict()))["ok"]


def test_a_model_that_was_split_before_learns_as_it_is(home, plan):
    scission.apply(home / "model.onnx", plan, home / "split.onnx")
    done = retrain(home / "split.onnx", home / "out.onnx", options(), data=home / "data.npz", trials=TRIALS)
    assert done.ok and done.plan is None and done.verdict is None and done.difference < 1e-5
    assert done.best.hits > 0.8
    before, after = onnx.load(home / "split.onnx"), onnx.load(home / "out.onnx")
    assert [one.name for one in before.graph.node] == [one.name for one in after.graph.node]


def test_a_teacher_is_learnt_without_labels(home, plan):
    scission.apply(home / "model.onnx", plan, home / "split.onnx")
    held = np.load(home / "data.npz")
    damaged = onnx.load(home / "split.onnx")
    for one in damaged.graph.initializer:
        if one.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(one) * np.float32(0.7)
            one.CopyFrom(onnx.numpy_helper.from_array(values, one.name))
    done = retrain(damaged, None, options(steps=200), data={"x": held["x"]}, teacher=home / "model.onnx", trials=TRIALS)
    assert done.ok and done.best.loss < done.looks[0].loss / 5
    assert isinstance(done.model, onnx.ModelProto) and done.best.hits is None


def test_where_nothing_is_gained_weights_stay(home, plan):
    held, path = np.load(home / "data.npz"), home / "model.onnx"
    asked = options(rate=0.5, steps=40)
    done = retrain(path, home / "out.onnx", asked, data={"x": held["x"]}, plan=plan, teacher=path, trials=TRIALS)
    assert done.best.step == 0
    wanted = by_runtime(scission.apply(onnx.load(home / "model.onnx"), plan), {"x": held["x"]})
    np.testing.assert_array_equal(by_runtime(onnx.load(home / "out.onnx"), {"x": held["x"]}), wanted)


def test_it_stops_when_what_is_held_back_does_not_improve(home, plan):
    asked = options(steps=10_000, every=5, patience=2, rate=0.3)
    done = retrain(home / "model.onnx", home / "out.onnx", asked, data=home / "data.npz", plan=plan, trials=TRIALS)
    assert done.looks[-1].step < 10_000
    assert done.best in done.looks[:-2]


def test_values_are_learnt_by_mean_squares():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 6)).astype(np.float32)
    made = model(
        [node("MatMul", "x W", "y", "p")], {"x": ["n", 6]}, {"y": ["n", 2]}, {"W": np.ones((6, 2), np.float32)}
    )
    wanted = x @ rng.standard_normal((6, 2)).astype(np.float32)
    done = retrain(made, None, options(labels=wanted, rate=0.1, steps=200), data={"x": x}, trials=TRIALS)
    assert done.best.loss < 1e-3 * done.looks[0].loss


def test_what_cannot_be_learnt_is_refused(home):
    held = np.load(home / "data.npz")
    x = {"x": held["x"]}
    path, out = home / "model.onnx", home / "out.onnx"
    with pytest.raises(RetrainError, match=r"nothing says what is to be learnt; give labels=… or teacher=…"):
        retrain(path, out, options(), data=x, trials=TRIALS)
    with pytest.raises(RetrainError, match="no whole numbers"):
        retrain(path, out, options(labels=held["y"] * 0.5, loss="cross-entropy"), data=x, trials=TRIALS)
    with pytest.raises(RetrainError, match="no output 'z'"):
        retrain(path, out, options(labels=held["y"], about="z"), data=x, trials=TRIALS)
    with pytest.raises(RetrainError, match="no weight that can learn"):
        fixed = model([node("Relu", "x", "y")], {"x": ["n", 8]}, {"y": ["n", 8]})
        retrain(fixed, None, options(labels=held["y"]), data=x, trials=TRIALS)
    with pytest.raises(UnsupportedOperatorError, match="NonZero"):
        odd = model([node("NonZero", "x", "y", "which")], {"x": ["n", 8]}, {"y": ([2, "m"], np.int64)})
        retrain(odd, None, options(labels=held["y"]), data=x, trials=TRIALS)
    assert not out.exists()


@pytest.mark.parametrize("changed", [{"steps": 0}, {"loss": "hinge"}, {"held_back": 0.0}, {"rate": -1.0}])
def test_options_are_what_they_may_be(changed):
    with pytest.raises(RetrainError, match=next(iter(changed))):
        RetrainOptions(**changed)
    assert not issubclass(RetrainError, OptionError)


def test_a_checkpoint_of_another_run_stops_it(home, plan):
    (home / "out.onnx.checkpoint").write_bytes(b"something else")
    with pytest.raises(RetrainError, match="is no checkpoint"):
        retrain(home / "model.onnx", home / "out.onnx", options(), data=home / "data.npz", plan=plan, trials=TRIALS)


def test_without_torch_it_says_what_to_install(monkeypatch, home):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RetrainError, match=r"needs torch; install scission\[torch\]"):
        retrain(home / "model.onnx", home / "out.onnx", options(), data=home / "data.npz", trials=TRIALS)
