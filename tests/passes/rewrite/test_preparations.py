"""What is said of preparations that cannot be carried out."""

import dataclasses

import numpy as np
import oracles
import pytest

from scission.ir.io.load import load
from scission.ir.plan.plan import Plan, PlanError
from scission.passes.planning.make_plan import make_plan
from scission.runtime.pipeline.apply import apply


def net():
    W, V = (np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in ((16, 24), (24, 16)))
    W[:, ::3] = 0
    nodes = [("MatMul", ["x", "W"], ["h"], {"name": "up"}), ("Relu", ["h"], ["r"])]
    nodes.append(("MatMul", ["r", "V"], ["y"], {"name": "down"}))
    return oracles.graph(nodes, {"x": ["m", 16]}, {"y": ["m", 16]}, {"W": W, "V": V})


def plan_with(**fields):
    plan = make_plan(load(net()))
    (one,) = plan.preparations
    changed = Plan.loads(dataclasses.replace(plan, preparations=(dataclasses.replace(one, **fields),)).dumps())
    return changed, plan


def test_one_that_is_listed_twice_is_called_that():
    _, plan = plan_with()
    twice = dataclasses.replace(plan, preparations=plan.preparations * 2)
    with pytest.raises(PlanError) as caught:
        apply(net(), Plan.loads(twice.dumps()))
    said = "channels of up, down: the plan lists this preparation twice; take one of the two out"
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nodes": ("nowhere", "down")}, "nowhere: the model has no such operator"),
        ({"weights": ("0" * 64, "0" * 64)}, "up: the weight is not the one whose channels were to go"),
    ],
)
def test_each_other_problem_keeps_its_own_words_and_names_the_model(fields, said):
    with pytest.raises(PlanError) as caught:
        apply(net(), plan_with(**fields)[0])
    assert f": {said}" in str(caught.value) and "twice" not in str(caught.value)
    assert str(caught.value).startswith(load(net()).name)
