"""Preparations from the plan to the model, with the simplest kind that can be thought of."""

import dataclasses

import numpy as np
import onnx
import oracles
import pytest
from doubled_relu import doubled_relu  # noqa: F401

import scission
from scission import PlanError, Trials
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
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
