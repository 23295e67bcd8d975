"""Weights as products in a plan: carried by JSON, counted, and refused where they are nonsense."""

import json

import pytest

from scission.ir.plan.factored_weight import FactoredWeight, FramedProduct, HierarchicalWeight
from scission.ir.plan.plan import Plan, PlanError
from scission.ir.reason import Cause, Reason

WHY = Reason(Cause.FACTORS, "why")


def one(**changed):
    fields = {"splits": ((16, 25),), "scaled": True, "sha256": "0" * 64, "macs": 24000, "bound": 0.2}
    return FactoredWeight(nodes=("up",), reason=WHY, **{**fields, **changed})


def plan_of(*found):
    return Plan(model="m", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=(), preparations=found)


def test_plans_carry_factors_and_say_what_is_done():
    plan = plan_of(one(gain=3.0), one(splits=((64, 1), (8, 1)), scaled=False, rows_first=3, hidden=True))
    assert Plan.loads(plan.dumps()) == plan
    assert plan.done == "2 weights written as products of smaller ones"
    assert plan.sha256 != plan_of(one()).sha256


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"splits": []}, "no pairs of a stride and a step"),
        ({"splits": [[1, 2, 3]]}, "no pairs of a stride and a step"),
        ({"splits": [[0, 2]]}, "no pairs of a stride and a step"),
        ({"splits": [[2, 1]] * 40}, "no pairs of a stride and a step"),
        ({"splits": [3]}, "no list of pairs"),
        ({"scaled": 1}, "scaled"),
        ({"rows_first": 3}, "no number of its stages"),
        ({"rows_first": -1}, "no whole number"),
        ({"rows_first": True}, "rows_first"),
        ({"hidden": "yes"}, "hidden"),
        ({"sha256": "ab"}, "SHA-256"),
        ({"macs": 0}, "no number of multiply-adds"),
        ({"bound": 2}, "no share of an error"),
        ({"more": 1}, "more"),
    ],
)
def test_malformed_factors_are_refused_with_what_is_wrong(changed, told):
    data = json.loads(plan_of(one()).dumps())
    data["preparations"][0] |= changed
    with pytest.raises(PlanError, match=told):
        Plan.loads(json.dumps(data))


def test_plans_of_before_have_features_first_in_their_order():
    data = json.loads(plan_of(one()).dumps())
    del data["preparations"][0]["rows_first"], data["preparations"][0]["hidden"]
    assert Plan.loads(json.dumps(data)) == plan_of(one())


def framed(**changed):
    fields = {"places": 16, "gap": 25, "sha256": "0" * 64, "macs": 24000, "bound": 0.2}
    return FramedProduct(nodes=("stft",), reason=WHY, **{**fields, **changed})


def test_plans_carry_frames_and_say_what_is_done():
    plan = plan_of(framed(gain=3.0), framed(places=20, gap=40, bands=(3, 1, 76)))
    assert Plan.loads(plan.dumps()) == plan
    assert plan.done == "2 transforms of frames written as products of smaller ones"
    assert plan.sha256 != plan_of(framed()).sha256


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"places": 0}, "places is 0, which is no number"),
        ({"gap": True}, "gap"),
        ({"places": 2**62}, "no number of places"),
        ({"places": 2**80}, "no whole number"),
        ({"sha256": "ab"}, "SHA-256"),
        ({"macs": 0}, "no number of multiply-adds"),
        ({"bound": 2}, "no share of an error"),
        ({"bands": 3}, "no list"),
        ({"bands": [0, 2]}, "no numbers of outputs"),
        ({"bands": [True]}, "no numbers of outputs"),
        ({"bands": [[1]]}, "no numbers of outputs"),
        ({"more": 1}, "more"),
    ],
)
def test_malformed_frames_are_refused_with_what_is_wrong(changed, told):
    data = json.loads(plan_of(framed()).dumps())
    data["preparations"][0] |= changed
    with pytest.raises(PlanError, match=told):
        Plan.loads(json.dumps(data))


def test_plans_of_before_have_no_bands():
    data = json.loads(plan_of(framed()).dumps())
    del data["preparations"][0]["bands"]
    assert Plan.loads(json.dumps(data)) == plan_of(framed())


def hierarchical(**changed):
    fields = {"block": 64, "sha256": "0" * 64, "macs": 24000, "bound": 0.2}
    return HierarchicalWeight(nodes=("wavelet",), reason=WHY, **{**fields, **changed})


def test_plans_carry_hierarchical_weights_and_say_what_is_done():
    plan = plan_of(hierarchical(gain=3.0), hierarchical(block=8))
    assert Plan.loads(plan.dumps()) == plan
    assert plan.done == "2 weights written as products of blocks and of what these tell"
    assert len({plan_of(each).sha256 for each in (hierarchical(), hierarchical(block=32), one())}) == 3


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"block": 0}, "block is 0, which is no number"),
        ({"block": True}, "block"),
        ({"block": 2**62}, "no number of inputs"),
        ({"block": 2**80}, "no whole number"),
        ({"sha256": "ab"}, "SHA-256"),
        ({"macs": 0}, "no number of multiply-adds"),
        ({"bound": 2}, "no share of an error"),
        ({"more": 1}, "more"),
    ],
)
def test_malformed_hierarchical_weights_are_refused_with_what_is_wrong(changed, told):
    data = json.loads(plan_of(hierarchical()).dumps())
    data["preparations"][0] |= changed
    with pytest.raises(PlanError, match=told):
        Plan.loads(json.dumps(data))
