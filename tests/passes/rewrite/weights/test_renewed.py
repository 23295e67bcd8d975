import dataclasses

import numpy as np
import pytest
from rewritten import plan

from scission import PlanError
from scission.ir.io.load import load
from scission.models.planted.products import build
from scission.passes.rewrite.rewrite import rewrite
from scission.passes.rewrite.weights.put_weights import put_weights
from scission.passes.rewrite.weights.renewed import renewed


def test_a_renewed_plan_splits_what_the_old_one_refuses():
    planted = build(np.random.default_rng(0), "gemm").model
    chosen = plan(planted)
    stored = load(planted).graph.graph.initializers["W"].const_value.numpy()
    other = put_weights(load(planted).graph, {"W": stored * 2})
    with pytest.raises(PlanError, match="the weight is not the one"):
        rewrite(other, chosen)
    made = renewed(chosen, other)
    assert len(rewrite(other, made).graph) == len(rewrite(load(planted).graph, chosen).graph)
    assert [step.decomposition for step in made.steps] == [step.decomposition for step in chosen.steps]


def test_edges_outside_of_blocks_are_still_refused():
    planted = build(np.random.default_rng(0), "gemm").model
    stored = load(planted).graph.graph.initializers["W"].const_value.numpy()
    other = put_weights(load(planted).graph, {"W": np.ones_like(stored)})
    made = renewed(plan(planted), other)
    assert made.steps[0].nonzeros == stored.size
    with pytest.raises(PlanError, match="outside its block"):
        rewrite(other, made)


def test_the_same_weights_make_the_same_plan():
    planted = build(np.random.default_rng(0), "chain").model
    chosen = plan(planted)
    assert renewed(chosen, load(planted).graph) == dataclasses.replace(chosen, refused=())
