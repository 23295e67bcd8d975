import json

import pytest

from scission.ir.plan.plan import Plan, PlanError
from scission.ir.plan.preparation import FixedSizes
from scission.ir.reason import Cause, Reason


def one(**changed):
    fields = {"nodes": ("a", "b"), "reason": Reason(Cause.AS_ASKED, "why"), "sizes": {"batch": 1, "sequence": 128}}
    return FixedSizes(**{**fields, **changed})


def plan_of(*found):
    return Plan(model="m", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=(), preparations=found)


def test_plans_carry_the_sizes_also_where_nothing_is_computed_from_them():
    for plan in (plan_of(one()), plan_of(one(nodes=()))):
        assert Plan.loads(plan.dumps()) == plan
    assert plan_of(one()).done == "2 sizes fixed (batch=1, sequence=128), 2 operators folded"
    assert plan_of(one(nodes=())).done == "2 sizes fixed (batch=1, sequence=128)"
    assert plan_of(one()).sha256 != plan_of(one(sizes={"batch": 2})).sha256


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([], "no sizes of dimensions by name"),
        ([["batch", 0]], "no sizes of dimensions by name"),
        ([["batch", True]], "no sizes of dimensions by name"),
        ([["batch", "1"]], "no sizes of dimensions by name"),
        ([["batch", 2**63]], "no sizes of dimensions by name"),
        ([["batch"]], "no list of names with sizes"),
        ([[1, 1]], "no list of names with sizes"),
        ({"batch": 1}, "no list"),
    ],
)
def test_malformed_sizes_are_refused_with_what_is_wrong(sizes, told):
    data = json.loads(plan_of(one()).dumps())
    data["preparations"][0]["sizes"] = sizes
    with pytest.raises(PlanError, match=told):
        Plan.loads(json.dumps(data))
