"""Preparations from the plan to the model, with the simplest kind that can be thought of."""

import dataclasses

import numpy as np
import onnx
import oracles
import pytest
from doubled_relu import doubled_relu  # noqa: F401
from factored import hadamard, product_model
from hierarchical import wavelet

import scission
from scission import PlanError, Trials
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
from scission.ir.plan.wanted import Wanted
from scission.ir.reason import Cause
from scission.models.matrix import weight
from scission.passes.explain.explain import explain_node
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.pipeline import attempt

SPLITS, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)
WHOLE = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)
pytestmark = pytest.mark.usefixtures("doubled_relu")


def model_of(W, relus=2):
    nodes = [("MatMul", ["x", "W"], ["h0"]), *(("Relu", [f"h{at}"], [f"h{at + 1}"]) for at in range(relus))]
    nodes.append(("Neg", [f"h{relus}"], ["y"]))
    return oracles.graph(nodes, {"x": ["m", 48]}, {"y": ["m", 48]}, {"W": W})


def operators(model):
    return [node.op_type for node in (model.graph if isinstance(model, ir.Model) else model.graph.node)]


@pytest.mark.parametrize("W", [SPLITS, WHOLE], ids=["splits", "whole"])
def test_steps_are_about_the_model_that_preparations_leave(W):
    model = load(model_of(W, 4))
    plan = make_plan(model, PlanSettings(force=True))
    assert [type(one).__name__ for one in plan.preparations] == ["DoubledRelu"] * 3
    changed = rewrite(model.graph, plan)
    assert operators(changed).count("Relu") == 1 and operators(model.graph).count("Relu") == 4
    assert plan.sha256 == changed.metadata_props["scission.plan"] and "3 doubled" in changed.metadata_props["scission"]
    assert bool(plan.rewrites) == (W is SPLITS)


def test_a_kind_can_be_left_away():
    plan = make_plan(load(model_of(WHOLE)), PlanSettings(unprepared=frozenset({"doubled_relu"})))
    assert not plan.changes


def test_a_plan_for_another_model_is_refused():
    plan = make_plan(load(model_of(WHOLE)))
    with pytest.raises(PlanError, match="no Relu of a Relu"):
        rewrite(load(model_of(WHOLE, 1)).graph, Plan.loads(plan.dumps()))


def test_explain_tells_why_a_node_is_none_of_the_plan():
    model = load(model_of(SPLITS))
    gone = make_plan(model).preparations[0].nodes[0]
    assert "a Relu of a Relu" in str(explain_node(model, gone).skipped.reason)


@pytest.mark.parametrize("W", [SPLITS, WHOLE], ids=["splits", "whole"])
def test_optimize_proves_and_keeps_what_is_prepared_alone_as_well(W, tmp_path):
    path, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(model_of(W), path)
    result = scission.optimize(path, out, force=True, bench=False, trials=Trials(provider="cpu", threads=1))
    assert result.outcome == "split" and result.verdict.equal and "1 doubled" in result.reason
    assert operators(onnx.load(out)).count("Relu") == 1
    assert "1 doubled" in str(scission.apply(path, result.plan, tmp_path / "again.onnx") and result.plan)
    assert (tmp_path / "again.onnx").read_bytes() == out.read_bytes()


@pytest.mark.parametrize("bad", ["failed", "slower"])
def test_optimize_leaves_a_kind_away_with_which_the_model_is_wrong_or_slower(bad, monkeypatch):
    true = attempt.Attempt.run

    def run(self, draft):
        tried = true(self, draft)
        return dataclasses.replace(tried, outcome=bad, reason="so") if draft.plan.preparations else tried

    monkeypatch.setattr(attempt.Attempt, "run", run)
    options = {"force": True, "bench": False, "trials": Trials(provider="cpu", threads=1)}
    kept = scission.optimize(model_of(SPLITS), **options)
    assert kept.outcome == "split" and not kept.plan.preparations and kept.plan.rewrites
    assert operators(kept.model).count("Relu") == 2
    left = scission.optimize(model_of(WHOLE), **options)
    assert left.outcome == ("unchanged" if bad == "failed" else "slower") and left.ok
    assert bool(left.plan.preparations) == (bad == "slower") and bool(left.taken_back) == (bad == "failed")


BRANCHES = 8


def branches():
    """Eight branches of two products with weights of their own, joined."""
    rng = np.random.default_rng(0)
    nodes, weights = [], {}
    for at in range(BRANCHES):
        weights |= {f"W{at}": rng.standard_normal((64, 64)), f"V{at}": rng.standard_normal((64, 16))}
        nodes.append(("MatMul", ["x", f"W{at}"], [f"h{at}"], {"name": f"first{at}"}))
        nodes.append(("Relu", [f"h{at}"], [f"r{at}"], {"name": f"relu{at}"}))
        nodes.append(("MatMul", [f"r{at}", f"V{at}"], [f"o{at}"], {"name": f"second{at}"}))
    nodes.append(("Concat", [f"o{at}" for at in range(BRANCHES)], ["y"], {"name": "join", "axis": 1}))
    singles = {name: weight.astype(np.float32) for name, weight in weights.items()}
    return oracles.graph(nodes, {"x": ["m", 64]}, {"y": ["m", 16 * BRANCHES]}, singles)


@pytest.mark.parametrize(
    ("model", "rows", "kind", "node", "weight"),
    [
        (product_model(hadamard(512)), 1000, "factors", "MatMul0", "c0"),
        (product_model(wavelet(1024)), 1000, "hierarchical", "MatMul0", "c0"),
        (branches(), 1, "branches", "first3", "W3"),
    ],
)
def test_an_operator_of_which_a_lowering_is_asked_by_name_stays_one(model, rows, kind, node, weight):
    """And keeps the name that was asked for, by which it is found."""
    assert [one.kind for one in make_plan(load(model), PlanSettings(batch=[rows])).preparations] == [kind]
    for name in (node, weight):
        plan = make_plan(load(model), PlanSettings(batch=[rows], wanted=Wanted.of(f"{name}=dense")))
        step = next(step for step in plan.steps if step.node == node)
        assert step.lowering == "dense" and plan.preparations == ()
        (refused,) = [one for one in plan.refused if one.reason.cause is Cause.AS_ASKED]
        assert refused.kind == kind and node in refused.nodes and node in refused.reason.text
        assert Plan.loads(plan.dumps()) == plan
    every = make_plan(load(model), PlanSettings(batch=[rows], wanted=Wanted(every="dense")))
    assert not any(one.reason.cause is Cause.AS_ASKED for one in every.refused)
