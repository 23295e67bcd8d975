"""A plan is refused by every model but those whose operators are what it says, also where it splits nothing."""

import dataclasses

import numpy as np
import pytest
from onnx import helper as h
from small_models import graph, mlp

import scission
from scission.models.planted.products import KINDS, build

RNG = np.random.default_rng
PLAIN = graph([h.make_node("Relu", ["x"], ["y"])], {}, 4, y=4)


def dense(model):
    return scission.plan(model, provider="cpu", threads=1, lowering="dense")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_fits_the_model_that_it_was_made_for(kind):
    model = build(RNG(7), kind, dormant=(1, 2)).model
    for plan in (dense(model), scission.plan(model, provider="cpu", threads=1)):
        scission.apply(model, plan)
        scission.report(model, plan=plan)


def test_a_plan_that_splits_nothing_is_refused_by_another_model():
    model, _ = mlp(RNG(0))
    plan = dense(model)
    other, _ = mlp(RNG(0), hidden=8)  # the same names, other shapes
    renamed = graph([h.make_node("MatMul", ["x", "V"], ["y"], name="up")], {"V": np.ones((4, 6))}, 4, y=6)
    for wrong, node in ((other, "up"), (renamed, "down"), (PLAIN, "up")):
        for call in (scission.apply, lambda model, plan: scission.report(model, plan=plan)):
            with pytest.raises(scission.PlanError, match=f"^(g: )?{node}: .*the plan is for another model"):
                call(wrong, plan)
    assert scission.apply(model, plan) is model


def test_a_plan_that_names_nothing_counts():
    plan = dense(PLAIN)
    assert not plan.steps and scission.apply(PLAIN, plan) is PLAIN
    biased = graph([h.make_node("Add", ["x", "b"], ["y"])], {"b": np.ones(4)}, 4, y=4)
    with pytest.raises(scission.PlanError, match="the plan counts 0 parameters, the model has 4;"):
        scission.apply(biased, plan)


def test_what_was_skipped_is_there_too():
    model, _ = mlp(RNG(0))
    gone = scission.Skipped("/rnn", "LSTM", scission.Reason(scission.Cause.NOT_CONSTANT, "its weights are computed"), 9)
    plan = dataclasses.replace(dense(model), skipped=(gone,))
    with pytest.raises(scission.PlanError, match=r"^g: /rnn: the model has no such operator; the plan is"):
        scission.apply(model, plan)
