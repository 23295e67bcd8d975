"""One plan looks at a model once, and reads each of its weights once."""

from collections import Counter

import numpy as np
import onnx
import oracles
import pytest
from idle_networks import network

import scission
from scission.ir.graph import constants, view
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.passes.channels.contraction import Contraction
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.search import Looks
from scission.passes.planning.settings import PlanSettings

SPLITS = weight(np.random.default_rng(0), [(12, 12)] * 4)[0]
WHOLE = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)


def model_of(*weights):
    nodes = [("MatMul", [f"h{at}", f"W{at}"], [f"h{at + 1}"]) for at in range(len(weights))]
    held = {f"W{at}": W for at, W in enumerate(weights)}
    return oracles.graph(nodes, {"h0": ["m", 48]}, {f"h{len(weights)}": ["m", 48]}, held)


@pytest.mark.parametrize("W", [SPLITS, WHOLE], ids=["splits", "whole"])
def test_each_weight_is_read_once(W, monkeypatch):
    model = load(model_of(W, WHOLE, W.copy()))
    read, reads = constants.read, Counter()
    monkeypatch.setattr(constants, "read", lambda tensor: reads.update([tensor.name]) or read(tensor))
    plan = make_plan(model, PlanSettings(regions=False))
    assert len(plan.steps) == 3
    assert set(reads.values()) == {1} and len(reads) == 3, reads


@pytest.mark.parametrize("W", [SPLITS, WHOLE], ids=["splits", "whole"])
def test_shapes_are_inferred_once(W, monkeypatch):
    model = load(model_of(W, WHOLE))
    infer, seen = view.infer_shapes, []
    monkeypatch.setattr(view, "infer_shapes", lambda one: seen.append(one) or infer(one))
    assert not make_plan(model, PlanSettings(regions=False)).preparations and len(seen) == 1


def test_a_view_is_that_of_the_model_that_was_asked_for_last():
    first, second = (load(model_of(W)).graph for W in (SPLITS, WHOLE))
    look = Looks()
    seen = look(first)
    assert look(first) is seen and look(second) is not seen and look(first) is not seen
    assert [linear.shape for linear in look(second).found.linears] == [(48, 48)]


@pytest.mark.parametrize("kinds", [("channels",), ("channels", "branches", "convolutions", "forests")])
@pytest.mark.parametrize("W", [SPLITS, WHOLE], ids=["splits", "whole"])
def test_steps_are_the_same_however_the_model_was_looked_at(W, kinds):
    model = load(model_of(W, WHOLE))
    found = make_plan(model, PlanSettings(force=True))
    assert found.steps == make_plan(model, PlanSettings(force=True, unprepared=frozenset(kinds))).steps


@pytest.mark.parametrize("seed", range(12))
def test_what_one_reading_told_of_a_weight_changes_nothing(seed, monkeypatch):
    model = onnx.ModelProto()
    model.CopyFrom(network(seed)[0])
    found = scission.plan(model, provider="cpu").preparations
    monkeypatch.setattr(Contraction, "_is_full", lambda self: False)
    assert scission.plan(model, provider="cpu").preparations == found
