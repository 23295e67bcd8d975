"""The outcomes of optimising a model, and what comes back."""

import json

import numpy as np
import onnx
import onnx_ir as ir
import oracles
import pytest
from optimised import FORMS, SPLITS, WHOLE, given, model_of, optimize

import scission
from scission import ModelError
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.compare import compare
from scission.runtime.pipeline import attempt, planner


def contents(source):
    if isinstance(source, ir.Model):
        return ir.to_proto(source).SerializeToString()
    if isinstance(source, onnx.ModelProto):
        return source.SerializeToString()
    return source if isinstance(source, bytes) else open(source, "rb").read()  # noqa: PTH123


# What comes back.


@pytest.mark.parametrize("form", FORMS)
def test_a_model_with_nothing_to_split_comes_back_byte_identical(form, tmp_path):
    source = given(model_of(WHOLE), form, tmp_path)
    before, output = contents(source), tmp_path / "out.onnx"
    is_file = form in ("path", "text")
    plan = scission.plan(source, force=True)
    assert not plan.rewrites
    applied = scission.apply(source, plan, output if is_file else None)
    assert contents(applied) == before and (is_file or applied is source)
    result = optimize(source, output if is_file else None, overwrite=True)
    assert (result.outcome, result.ok) == ("unchanged", True) and result.verdict is None
    assert contents(result.model) == before and (result.model == output if is_file else result.model is source)
    assert result.written == ((output,) if is_file else ())
    assert result.reason == "nothing splits: none of 1 operator comes apart"


@pytest.mark.parametrize("form", ["bytes", "proto", "onnx_ir"])
@pytest.mark.parametrize("outcome", ["unchanged", "split"])
def test_models_in_memory_may_go_to_a_file_as_well(form, outcome, tmp_path):
    source = given(model_of(SPLITS if outcome == "split" else WHOLE), form, tmp_path)
    before = contents(source)
    result = optimize(source, tmp_path / "out.onnx", force=True)
    assert result.outcome == outcome and result.written == (tmp_path / "out.onnx",)
    assert type(result.model) is type(source)
    if outcome == "unchanged":
        written = (tmp_path / "out.onnx").read_bytes()
        assert written == before or form == "onnx_ir"
        assert onnx.ModelProto.FromString(written).graph == onnx.ModelProto.FromString(before).graph
    else:
        assert scission.check(source, tmp_path / "out.onnx").equal


@pytest.mark.parametrize("form", FORMS)
def test_a_split_model_comes_back_in_the_form_it_came_in(form, tmp_path):
    source = given(model_of(SPLITS), form, tmp_path)
    before, is_file = contents(source), form in ("path", "text")
    result = optimize(source, tmp_path / "out.onnx" if is_file else None, force=True)
    assert result.outcome == "split" and result.verdict.equal and result.reason == "1 of 1 operator split"
    assert contents(source) == before
    assert result.model == tmp_path / "out.onnx" if is_file else type(result.model) is type(source)
    changed = onnx.ModelProto.FromString(contents(result.model))
    assert oracles.stored(changed) and not oracles.stored(changed) & oracles.stored(model_of(SPLITS))
    assert (changed.producer_name, changed.doc_string) == ("somebody", "kept")
    assert scission.check(source, result.model).equal


def test_the_callers_onnx_ir_model_is_never_touched(tmp_path):
    graph = ir.from_proto(model_of(SPLITS))
    before, nodes = contents(graph), list(graph.graph)
    plan = scission.plan(graph, force=True)
    for changed in (scission.apply(graph, plan), optimize(graph, force=True, bench=True, overwrite=True).model):
        assert changed is not graph
        assert contents(graph) == before and list(graph.graph) == nodes
        changed.graph.name = "mine"
        next(iter(changed.graph.initializers.values())).const_value = None
        assert contents(graph) == before


def external(folder):
    onnx.save(model_of(SPLITS), folder / "in.onnx", save_as_external_data=True, location="in.data", size_threshold=0)
    return folder / "in.onnx"


@pytest.mark.parametrize("form", ["path", "onnx_ir"])
def test_external_data(form, tmp_path):
    path = external(tmp_path)
    source = path if form == "path" else ir.load(path)
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    (tmp_path / "new").mkdir()
    result = optimize(source, tmp_path / "new" / "out.onnx", force=True)
    assert result.outcome == "split" and result.written[0].name == "out.onnx"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == files
    assert scission.check(path, tmp_path / "new" / "out.onnx").equal
    if form == "onnx_ir":
        assert isinstance(source.graph.initializers["W"].const_value, ir.ExternalTensor)
        assert scission.check(path, scission.apply(source, scission.plan(source, force=True))).equal


def test_unchanged_external_data_is_copied_with_the_model(tmp_path):
    path = external(tmp_path)
    (tmp_path / "new").mkdir()
    plan = oracles.edited(scission.plan(path), "dense")
    scission.apply(path, plan, tmp_path / "new" / "out.onnx")
    assert onnx.load(tmp_path / "new" / "out.onnx") == onnx.load(path)
    assert (tmp_path / "new" / "out.onnx.data").read_bytes() == (tmp_path / "in.data").read_bytes()


# Outcomes.


@pytest.mark.parametrize("form", FORMS)
def test_a_slower_model_is_not_kept(form, tmp_path, slow):
    source = given(model_of(SPLITS), form, tmp_path)
    before, is_file = contents(source), form in ("path", "text")
    plan = scission.plan(source, force=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "make_plan", lambda *_, **__: plan)
        result = optimize(source, tmp_path / "out.onnx" if is_file else None, bench=True, batch=[1])
    assert (result.outcome, result.ok) == ("slower", True) and "0.50x" in result.reason
    assert contents(result.model) == before and result.verdict.equal and len(result.benches) == 1
    if is_file:
        assert result.model == tmp_path / "out.onnx" and result.written == (tmp_path / "out.onnx",)
    else:
        assert result.model is source


def test_force_keeps_a_slower_model(tmp_path, slow):
    source = given(model_of(SPLITS), "path", tmp_path)
    result = optimize(source, tmp_path / "out.onnx", bench=True, batch=[1], force=True)
    assert result.outcome == "split" and result.benches[0].speedup == 0.5


@pytest.mark.parametrize("form", FORMS)
def test_a_failed_check_writes_nothing(form, tmp_path, broken):
    source = given(model_of(SPLITS), form, tmp_path)
    before, files = contents(source), sorted(tmp_path.iterdir())
    result = optimize(source, tmp_path / "out.onnx", force=True, bench=True)
    assert (result.outcome, result.ok) == ("failed", False) and "output 'y'" in result.reason
    assert not result.written and not result.benches and sorted(tmp_path.iterdir()) == files
    assert contents(result.model) == before


def test_without_a_check_nothing_is_proved(tmp_path, broken, monkeypatch):
    monkeypatch.setattr(compare, "check", None)
    monkeypatch.setattr(compare, "bench", None)
    result = optimize(model_of(SPLITS), force=True, check=False)
    assert result.outcome == "split" and result.verdict is None and result.benches == ()


def test_a_failed_check_leaves_an_older_output_alone(tmp_path, broken):
    source = given(model_of(SPLITS), "path", tmp_path)
    (tmp_path / "out.onnx").write_text("older")
    assert optimize(source, tmp_path / "out.onnx", force=True, overwrite=True).outcome == "failed"
    assert (tmp_path / "out.onnx").read_text() == "older"


@pytest.mark.parametrize("W", [SPLITS, WHOLE], ids=["split", "unchanged"])
@pytest.mark.parametrize("call", ["optimize", "apply"])
def test_an_output_that_exists_is_not_replaced_unasked(W, call, tmp_path):
    source = given(model_of(W), "path", tmp_path)
    plan = scission.plan(source, force=True)
    (tmp_path / "out.onnx").write_text("older")
    run = {
        "optimize": lambda **more: optimize(source, tmp_path / "out.onnx", force=True, **more),
        "apply": lambda **more: scission.apply(source, plan, tmp_path / "out.onnx", **more),
    }[call]
    with pytest.raises(ModelError, match="exists already"):
        run()
    assert (tmp_path / "out.onnx").read_text() == "older"
    run(overwrite=True)
    assert scission.check(source, tmp_path / "out.onnx").equal


@pytest.mark.parametrize("W", [SPLITS, WHOLE], ids=["split", "unchanged"])
def test_the_input_is_never_written_to(W, tmp_path):
    source = given(model_of(W), "path", tmp_path)
    before = source.read_bytes()
    with pytest.raises(ModelError, match="the input itself"):
        optimize(source, source, force=True, overwrite=True)
    assert source.read_bytes() == before and list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("call", ["apply", "optimize"])
def test_a_path_needs_an_output(call, tmp_path):
    source = given(model_of(SPLITS), "path", tmp_path)
    with pytest.raises(ValueError, match="needs an output path"):
        optimize(source) if call == "optimize" else scission.apply(source, scission.plan(source))


def test_an_unknown_provider_is_refused():
    with pytest.raises(scission.ScissionError, match="'tpu' is none of auto, cpu, cuda"):
        scission.plan(model_of(SPLITS), provider="tpu")


def test_small_models_stay_as_they_are_without_force():
    result = optimize(model_of(SPLITS), bench=True)
    assert result.outcome == "unchanged" and "it is not predicted to gain" in result.reason
    empty = oracles.graph([("Relu", ["x"], ["y"])], {"x": ["m"]}, {"y": ["m"]}, {"unused": WHOLE[:1, :1]})
    assert "no linear with a constant weight" in optimize(empty).reason


def test_a_result_is_json(tmp_path):
    for W, force in ((SPLITS, True), (WHOLE, False)):
        result = optimize(model_of(W), tmp_path / f"{force}.onnx", force=force, bench=True, batch=[1, 2])
        data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert data["outcome"] == result.outcome and data["written"] == [str(p) for p in result.written]
        assert scission.Plan.loads(json.dumps(data["plan"])) == result.plan
        assert [b["rows"] for b in data["bench"]] == ([1, 2] if force else [])


def test_a_rewrite_that_onnx_runtime_refuses_fails_and_writes_nothing(tmp_path, monkeypatch):
    original = tmp_path / "in.onnx"
    original.write_bytes(build(np.random.default_rng(0), "gemm").model.SerializeToString())

    def spoilt(model, plan):
        changed = rewrite(model, plan)
        changed.graph[0].op_type = "NoSuchOperator"
        return changed

    monkeypatch.setattr(attempt, "rewrite", spoilt)
    result = scission.optimize(original, tmp_path / "out.onnx", force=True, trials=scission.Trials(provider="cpu"))
    assert (result.outcome, result.written) == ("failed", ())
    assert "takes the original and refuses the rewritten model" in result.reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx"]


def test_what_fails_the_check_together_is_split_one_by_one_and_said(monkeypatch):
    def wrong_together(model, plan):
        changed = rewrite(model, plan)
        if plan.regions:
            floats = (v for v in changed.graph.initializers.values() if v.dtype == ir.DataType.FLOAT)
            weight = next(value for value in floats if len(value.shape) >= 2)
            weight.const_value = ir.Tensor(weight.const_value.numpy() + 1, name=weight.name)
        return changed

    model = planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model
    assert scission.plan(model, provider="cpu", threads=1, force=True).regions
    monkeypatch.setattr(attempt, "rewrite", wrong_together)
    trials = scission.Trials(provider="cpu", threads=1)
    result = scission.optimize(model, force=True, bench=False, trials=trials)
    assert (result.outcome, result.plan.regions) == ("split", ()) and result.plan.rewrites
    assert "split one by one, since together they failed the check: output 'y'" in result.reason
    assert scission.check(model, result.model).equal
