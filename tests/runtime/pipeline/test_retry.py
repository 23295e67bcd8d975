"""When a rewritten model is slow or wrong: units fall back, forms are measured, annealing stays or goes."""

import dataclasses
import json
from typing import get_overloads

import numpy as np
import onnx
import onnx_ir as ir
import oracles
import pytest
from annealable import SIGMA, network
from convolved import transform
from optimised import FORMS, QUICK, SPLITS, WHOLE, given, model_of, optimize, stacked
from races import FakeRacer, told

import scission
from scission.ir.reason import Cause, Reason
from scission.runtime.compare import compare
from scission.runtime.compare.verdict import Verdict
from scission.runtime.measure.comparison import Speed
from scission.runtime.ort.library import cuda_problem
from scission.runtime.pipeline import apply as applying
from scission.runtime.pipeline import plan as planning
from scission.runtime.pipeline import planner
from scission.runtime.tune import fallback, preparations
from scission.runtime.tune import tune as tuning
from scission.runtime.tune.fallback import Fallback

# Falling back.


def falling(monkeypatch, slow_while, units):
    """Benches that are slow while a condition on the names of split operators holds, and units as fast as told."""
    real = compare.bench
    tried = []

    def bench(original, changed, **options):
        graph = ir.load(changed).graph
        left = {node.metadata_props["scission.origin"] for node in graph if "scission.origin" in node.metadata_props}
        tried.append(left)
        speed = 0.5 if slow_while(left) else 2.0
        return tuple(dataclasses.replace(b, comparison=told(speed)) for b in real(original, changed, **options))

    def speeds(model, plan, trials, rows, **_):
        found = [
            Fallback(
                nodes=(name,),
                way="split 4",
                speed=speed,
                slower=speed < 1,
                batch=1,
                reason=Reason(Cause.SLOWER, f"measured {speed:.2f}x"),
            )
            for name, speed in ((step.node, units[step.node]) for step in plan.rewrites)
        ]
        return tuple(sorted(found, key=lambda one: one.speed))

    monkeypatch.setattr(compare, "bench", bench)
    monkeypatch.setattr(fallback, "unit_speeds", speeds)
    return tried


@pytest.mark.parametrize(("gain", "outcome"), [(1.5, "split"), (0.5, "unchanged")])
def test_where_nothing_can_be_measured_the_prediction_decides(gain, outcome, monkeypatch, tmp_path):
    real = compare.bench

    def noisy(*arguments, **options):
        return tuple(dataclasses.replace(b, comparison=told(0.74, 2.0)) for b in real(*arguments, **options))

    monkeypatch.setattr(compare, "bench", noisy)
    source = given(stacked(), "path", tmp_path)
    plan = scission.plan(source, force=True, regions=False)
    plan = dataclasses.replace(plan, steps=tuple(dataclasses.replace(step, gain=gain) for step in plan.steps))
    monkeypatch.setattr(planner, "make_plan", lambda *_, **__: plan)
    result = optimize(source, tmp_path / "out.onnx", bench=True, batch=[1])
    assert result.outcome == outcome and "not measurable on this machine now (0.37-1.48x" in result.reason
    assert result.speed is Speed.UNMEASURABLE and result.to_dict()["speed"] == "unmeasurable" and not result.fallbacks
    assert result.written == (tmp_path / "out.onnx",)
    same = (tmp_path / "out.onnx").read_bytes() == source.read_bytes()
    assert same is (outcome == "unchanged")


ALL = {"product0", "product1", "product2"}


def fallen(monkeypatch, slow_while, units, form="proto", output=None, **options):
    source = given(stacked(), form, output.parent if output else None)
    plan = scission.plan(source, force=True, regions=False)
    assert {step.node for step in plan.rewrites} == ALL
    tried = falling(monkeypatch, slow_while, units)
    monkeypatch.setattr(planner, "make_plan", lambda *_, **__: plan)
    return optimize(source, output, bench=True, batch=[1], **options), tried


@pytest.mark.parametrize("form", FORMS)
def test_units_that_are_slower_go_back_to_dense_and_the_others_stay(form, tmp_path, monkeypatch):
    output = tmp_path / "out.onnx" if form in ("path", "text") else None
    (tmp_path / "in").mkdir()
    units = {"product0": 0.8, "product1": 2.0, "product2": 0.9}
    result, tried = fallen(monkeypatch, lambda left: "product0" in left, units, form, output or tmp_path / "o.onnx")
    assert result.outcome == "split" and result.reason.startswith("1 of 3 operators split; 2 went back to dense")
    assert tried == [ALL, {"product1"}] and result.benches[0].speedup == 2
    assert [one.nodes for one in result.fallbacks] == [("product0",), ("product2",)]
    assert {step.node: step.reason.text for step in result.plan.steps if step.lowering == "dense"} == {
        "product0": "measured 0.80x",
        "product2": "measured 0.90x",
    }
    assert result.verdict.equal and scission.check(stacked(), result.model).equal
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [one["speed"] for one in data["fallbacks"]] == [0.8, 0.9]
    assert result.written == ((output or tmp_path / "o.onnx"),)


def test_then_one_at_a_time_the_slowest_first(monkeypatch):
    units = {"product0": 1.3, "product1": 1.1, "product2": 1.2}
    result, tried = fallen(monkeypatch, lambda left: len(left) > 1, units)
    assert tried == [ALL, {"product0", "product2"}, {"product0"}] and result.outcome == "split"
    assert [one.nodes[0] for one in result.fallbacks] == ["product1", "product2"]


def test_when_nothing_helps_the_original_is_kept(monkeypatch, tmp_path):
    units = dict.fromkeys(ALL, 1.5)
    result, tried = fallen(monkeypatch, lambda left: True, units, "path", tmp_path / "out.onnx")
    assert result.outcome == "slower" and "0.50x" in result.reason and result.fallbacks == () and len(tried) == 3
    assert {step.node for step in result.plan.rewrites} == ALL and len(result.benches) == 1
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "in.onnx").read_bytes()


def test_only_a_handful_of_rounds_are_tried(monkeypatch):
    monkeypatch.setattr(fallback, "ROUNDS", 1)
    result, tried = fallen(monkeypatch, lambda left: len(left) > 1, dict.fromkeys(ALL, 1.5))
    assert result.outcome == "slower" and len(tried) == 2


def test_nothing_falls_back_by_force_or_without_a_bench(monkeypatch):
    units = dict.fromkeys(ALL, 0.5)
    result, tried = fallen(monkeypatch, lambda left: True, units, force=True)
    assert result.outcome == "split" and result.fallbacks == () and len(tried) == 1


def test_a_check_that_fails_on_the_way_is_no_success(monkeypatch, tmp_path):
    units = {"product0": 0.8, "product1": 2.0, "product2": 2.0}
    real = compare.check
    verdicts = []

    def check(*arguments, **options):
        verdict = real(*arguments, **options)
        verdicts.append(verdict)
        return verdict if len(verdicts) == 1 else dataclasses.replace(verdict, equal=False, reason="output 'y'")

    monkeypatch.setattr(compare, "check", check)
    result, _ = fallen(monkeypatch, lambda left: "product0" in left, units, "path", tmp_path / "out.onnx")
    assert (result.outcome, result.ok) == ("failed", False) and not (tmp_path / "out.onnx").exists()


def test_units_are_really_measured_when_the_model_is_slower(slow):
    plan = scission.plan(stacked(2), force=True, regions=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "make_plan", lambda *_, **__: plan)
        result = optimize(stacked(2), bench=True, batch=[1])
    assert result.outcome == "slower" and result.verdict.equal


# Tuning.


@pytest.fixture
def speeds(monkeypatch, tmp_path):
    """Races that take no time; `speeds(function)` says how fast each way is."""
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / "cache"))

    def start(speed):
        for one in (tuning.tune, preparations.tune_preparations):
            monkeypatch.setattr(one, "__kwdefaults__", {**one.__kwdefaults__, "racer": FakeRacer(speed)})

    return start


def test_a_tuned_plan_has_the_winners(speeds):
    speeds(lambda way, rows: 3.0 if way.startswith("permute") else 1.5)
    model = model_of(SPLITS)
    plan = scission.plan(model, tune=True, provider="cpu", threads=1, cache=False)
    assert [step.lowering for step in plan.rewrites] == ["permute"] and "measured 3.00x" in plan.steps[0].reason.text
    found = planning.tuned_plan(model, provider="cpu", threads=1, cache=False)
    assert found.plan == plan and found.units[0].planned == "dense"
    assert scission.check(model, scission.apply(model, plan)).equal


def test_optimize_tunes_first(speeds, tmp_path):
    speeds(lambda way, rows: 3.0 if way.startswith("permute") else 1.5)
    result = optimize(model_of(SPLITS), tune=True)
    assert result.outcome == "split" and result.plan.rewrites[0].lowering == "permute"
    assert result.tuned.units[0].winner.startswith("permute") and result.tuned.plan == result.plan
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["tuning"]["units"][0]["planned"] == "dense"
    assert (tmp_path / "cache" / "tuning.json").exists()


def test_what_no_race_is_won_by_stays_as_it_is(speeds):
    speeds(lambda way, rows: 0.95)
    result = optimize(model_of(SPLITS), tune=True, cache=False)
    assert result.outcome == "unchanged" and "it is not measured to gain" in result.reason and result.tuned.units


# Both on annealed models.


@pytest.fixture
def lossy(tmp_path):
    """Options of `optimize` that anneal a model of three weights, and the model."""
    rng = np.random.default_rng(3)
    model, _, _ = network(rng, (64, 96, 96, 64), signal=8.0)
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=rng.standard_normal((80, 64)).astype(np.float32))
    anneal = scission.Annealer(method="blocks", init=f"normal:{SIGMA}")
    options = {"anneal": anneal, "data": tmp_path / "d.npz", "max_drop": "cosine<=0.5", "regions": False}
    return tmp_path / "m.onnx", options


def weights_of(path):
    graph = ir.load(path).graph
    return {name: value.const_value.numpy() for name, value in graph.initializers.items()}


def forced(monkeypatch):
    real = planner.make_plan
    monkeypatch.setattr(
        planner, "make_plan", lambda model, settings, **o: real(model, dataclasses.replace(settings, force=True), **o)
    )


def test_an_operator_that_falls_back_gets_its_removed_weights_back(lossy, tmp_path, monkeypatch):
    path, options = lossy
    forced(monkeypatch)
    falling(monkeypatch, lambda left: "l1" in left, {"l0": 2.0, "l1": 0.8, "l2": 2.0})
    result = optimize(path, tmp_path / "out.onnx", bench=True, batch=[1], **options)
    assert result.outcome == "split" and [one.nodes for one in result.fallbacks] == [("l1",)]
    assert result.verdict.equal and {one.node for one in result.plan.annealing} == {"l0", "l2"}
    assert np.array_equal(weights_of(tmp_path / "out.onnx")["W1"], weights_of(path)["W1"])
    assert {c.annealing.node for c in result.selection.chosen} == {"l0", "l2"}
    again = scission.apply(path, scission.Plan.loads(result.plan.dumps()), tmp_path / "again.onnx")
    assert scission.check(again, tmp_path / "out.onnx").identical


def test_what_is_tuned_is_the_annealed_model(lossy, tmp_path, monkeypatch, speeds):
    path, options = lossy
    speeds(lambda way, rows: 2.0)
    plan = scission.plan(path, anneal=options["anneal"], tune=True, cache=False, regions=False, provider="cpu")
    assert {one.node for one in plan.annealing} == {step.node for step in plan.rewrites} == {"l0", "l1", "l2"}
    result = optimize(path, tmp_path / "out.onnx", tune=True, cache=False, **options)
    assert result.outcome == "split" and len(result.plan.annealing) == 3 and result.verdict.equal


def test_nothing_is_annealed_for_what_no_race_is_won_by(lossy, tmp_path, monkeypatch, speeds):
    path, options = lossy
    forced(monkeypatch)
    speeds(lambda way, rows: 0.5)
    plan = scission.plan(path, anneal=options["anneal"], tune=True, cache=False, regions=False, provider="cpu")
    assert plan.annealing == () and not plan.rewrites
    result = optimize(path, tmp_path / "out.onnx", tune=True, cache=False, **options)
    assert result.outcome == "unchanged" and result.selection.chosen == () and result.plan.annealing == ()
    assert (tmp_path / "out.onnx").read_bytes() == path.read_bytes()


def test_apply_says_by_type_what_comes_back():
    told = {}
    for one in get_overloads(applying.apply):
        told[one.__annotations__["model"]] = (one.__annotations__["output"], one.__annotations__["return"])
    path = "str | os.PathLike[str]"
    assert told == {
        "Source": (path, "Path"),
        **{kind: ("None", kind) for kind in ("bytes", "onnx.ModelProto", "ir.Model", "Program", "SurgeonGraph")},
    }


@pytest.mark.skipif(cuda_problem() is None, reason="there is a GPU")
def test_what_is_to_run_on_cuda_is_refused_where_there_is_none(tmp_path):
    """Whatever would have been done with the model; a plan alone only predicts."""
    path, out = given(model_of(WHOLE), "path", tmp_path), tmp_path / "out.onnx"
    trials = dataclasses.replace(QUICK, provider="cuda")
    np.savez(tmp_path / "data.npz", x=np.zeros((4, 48), np.float32))
    for call in (
        lambda: scission.optimize(path, out, trials=trials),
        lambda: scission.plan(path, provider="cuda", tune=True),
        lambda: scission.sweep(path, tmp_path / "data.npz", trials=trials),
        lambda: scission.bench(path, path, trials=trials),
        lambda: scission.check(path, path, trials=trials),
    ):
        with pytest.raises(scission.SessionError, match="asked for CUDA"):
            call()
    assert not out.exists()
    assert scission.plan(path, provider="cuda").provider == "cuda"


@pytest.mark.parametrize("small", [True, False])
def test_a_file_that_grows_says_so(small, tmp_path):
    """The weight is a small tensor tiled over the blocks times one row: what is stored of the blocks is more."""
    K, tile = 384, np.random.default_rng(0).standard_normal((12, 12)).astype(np.float32)
    nodes = [
        ("Reshape", ["eye", "apart"], ["a"]),
        ("Mul", ["a", "tile"], ["b"]),
        ("Reshape", ["b", "flat"], ["c"]),
        ("Mul", ["c", "row"], ["W"]),
    ]
    held = {"eye": np.eye(32, dtype=np.float32), "apart": np.array([32, 1, 32, 1]), "flat": np.array([K, K])}
    held |= {"tile": tile[None, :, None, :], "row": np.arange(1, K + 1, dtype=np.float32)}
    if not small:
        nodes, held = [], {"W": np.kron(held["eye"], tile) * held["row"]}
    model = oracles.graph([*nodes, ("MatMul", ["x", "W"], ["y"])], {"x": ["m", K]}, {"y": ["m", K]}, held)
    path = given(model, "path", tmp_path)
    result = optimize(path, tmp_path / "out.onnx", force=True)
    assert result.outcome == "split", result.reason
    assert ("the file grows" in result.reason) is small
    assert (path.stat().st_size < (tmp_path / "out.onnx").stat().st_size) is small


def test_what_is_no_plan_is_said_to_be_none(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(scission.PlanError, match=r"not a \w*Path; read a file of one with scission.Plan.loads"):
        scission.apply(b"", path)  # the plan is looked at first


def test_preparations_that_come_in_the_place_of_others_are_taken_back_as_well(monkeypatch):
    """A Fourier transform that is no product of two stages becomes a convolution, with which the check fails too."""
    tried = []

    def differing(original, changed, **options):
        tried.append({node.op_type for node in ir.load(changed).graph})
        return Verdict(
            equal=False, identical=False, outputs=(), probes=(), trials=1, provider="cpu", seconds=0.0, reason="off"
        )

    monkeypatch.setattr(compare, "check", differing)
    model = transform(np.hanning(402)[1:-1], 160)
    found = scission.optimize(model, batch=[1], sizes={"n": 48000}, bench=False)
    assert len(tried) == 2 and not any("STFT" in one for one in tried)
    assert found.outcome == "unchanged" and found.taken_back is not None and found.taken_back.faulty
    assert found.model is not None
