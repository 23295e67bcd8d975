"""Products of channels behind operators that move them, written as convolutions before these."""

from __future__ import annotations

import dataclasses

import numpy as np
import oracles
import pytest
from convolved import model_of, rewritten, steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from random_convolutions import random_product

import scission
from scission import Trials
from scission.ir.graph.sizes import Setting
from scission.ir.io.load import load
from scission.passes.convolutions.find import find
from scission.passes.lowering.target import Target
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.pipeline import attempt

CHANNELS, RESULTS = 16, 5
rng = np.random.default_rng(0)
HELD = {
    "k": rng.standard_normal((CHANNELS, 3, 1, 2)).astype(np.float32),
    "w": rng.standard_normal((CHANNELS, RESULTS)).astype(np.float32),
    "b": rng.standard_normal(RESULTS).astype(np.float32),
    "axes": np.array([2]),
}


def chain(*nodes, y=None, x=(2, 3, 1, 9), **held):
    given = HELD | held
    first = [helper.make_node("Conv", ["x", "k"], ["c"], "conv"), helper.make_node("Relu", ["c"], ["r"], "relu")]
    used = {name for node in (*first, *nodes) for name in node.input}
    return model_of([*first, *nodes], list(x), y, {name: one for name, one in given.items() if name in used})


SQUEEZE = helper.make_node("Squeeze", ["r", "axes"], ["s"], "squeeze")
TURN = helper.make_node("Transpose", ["s"], ["t"], "turn", perm=[2, 0, 1])
PRODUCT = helper.make_node("MatMul", ["t", "w"], ["m"], "product")
SUM = helper.make_node("Add", ["b", "m"], ["y"], "sum")
WHOLE = [SQUEEZE, TURN, PRODUCT, SUM]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 30))
def test_random_products_compute_the_same_as_convolutions(seed):
    model, feeds = random_product(seed)
    before = oracles.runs(model, feeds)
    if before is None:  # an axis that is too short
        return
    changed, _ = rewritten(model)
    assert oracles.interface(changed) == oracles.interface(model)
    for optimised in (True, False):
        oracles.assert_close(oracles.run(model, feeds, optimised), oracles.run(changed, feeds, optimised), 1e-4)


def test_the_product_comes_before_what_moves_its_channels():
    model = chain(*WHOLE)
    changed, forms = rewritten(model)
    assert forms == ["product"]
    assert [node.op_type for node in changed.graph.node] == ["Conv", "Relu", "Conv", "Squeeze", "Transpose"]
    assert oracles.interface(changed) == oracles.interface(model)
    assert not {"s", "t", "m"} & {name for node in changed.graph.node for name in node.output}
    feeds = {"x": rng.standard_normal((2, 3, 1, 9)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds), 1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        [SQUEEZE, TURN, helper.make_node("MatMul", ["w", "t"], ["y"])],  # the weight on the left
        [SQUEEZE, TURN, PRODUCT, SUM, helper.make_node("Relu", ["t"], ["z"])],  # what is moved has another reader
        [SQUEEZE, helper.make_node("Transpose", ["s"], ["t"], perm=[0, 1, 2]), PRODUCT, SUM],  # places are multiplied
        [SQUEEZE, helper.make_node("Softmax", ["s"], ["e"]), TURN, PRODUCT, SUM],
    ],
)
def test_other_products_stay(nodes):
    long = {"x": (2, 3, 1, CHANNELS + 1)}  # as many places as channels
    assert steps_of(chain(*nodes, **long)) == []


def test_more_results_than_channels_stay():
    wide = rng.standard_normal((CHANNELS, CHANNELS + 1)).astype(np.float32)
    assert steps_of(chain(SQUEEZE, TURN, helper.make_node("MatMul", ["t", "w"], ["y"]), w=wide)) == []


def test_it_is_looked_for_once_all_else_is_done_and_on_processors_only():
    graph = load(chain(*WHOLE)).graph
    settings_ = (Setting(sizes={}, batch=2),)
    assert find(graph, Target(), lambda: settings_) == ()
    (step,) = find(graph, Target(), lambda: settings_, last=True)
    assert step.form == "product" and step.gain > 1
    assert step.nodes == ("product", "squeeze", "turn", "sum")
    assert find(graph, Target(provider="cuda"), lambda: settings_, last=True) == ()


def with_late_bias():
    late = helper.make_node("Add", ["s", "d"], ["a"], "late")
    turn = helper.make_node("Transpose", ["a"], ["t"], "turn", perm=[2, 0, 1])
    model = chain(SQUEEZE, late, turn, PRODUCT, SUM, d=np.ones((CHANNELS, 1), np.float32))
    model.graph.node.remove(model.graph.node[1])
    model.graph.node[1].input[0] = "c"
    return model


def test_a_plan_takes_it_with_the_bias_that_was_moved_inside_first():
    loaded = load(with_late_bias())
    plan = make_plan(loaded, PlanSettings(batch=[2]))
    assert [one.form for one in plan.preparations] == ["bias", "product"]
    changed = rewrite(loaded.graph, plan)
    assert [node.op_type for node in changed.graph] == ["Conv", "Conv", "Squeeze", "Transpose"]


def test_where_its_rounding_is_too_much_the_bias_stays_inside(monkeypatch):
    true = attempt.Attempt.run

    def run(self, draft):
        tried = true(self, draft)
        wrong = any(one.form == "product" for one in draft.plan.preparations)
        return dataclasses.replace(tried, outcome="failed", reason="so") if wrong else tried

    monkeypatch.setattr(attempt.Attempt, "run", run)
    kept = scission.optimize(with_late_bias(), bench=False, trials=Trials(provider="cpu", threads=1))
    assert kept.outcome == "split" and [one.form for one in kept.plan.preparations] == ["bias"]
    assert [one.form for one in kept.taken_back.preparations] == ["product"]
