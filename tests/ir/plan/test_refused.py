"""What was found and is not done, as plans carry it."""

import json

import pytest

from scission import PlanError
from scission.ir.plan.plan import Plan
from scission.ir.plan.refused import Refused
from scission.ir.reason import Cause, Reason

APART = Refused(kind="branches", nodes=("a", "b"), gain=0.9, reason=Reason(Cause.NO_GAIN, "0.90x is predicted"))


def plan_of(*refused):
    return Plan(model="m", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=(), refused=refused)


def test_plans_carry_what_is_refused_and_do_the_same():
    plan = plan_of(APART)
    assert Plan.loads(plan.dumps()) == plan and Plan.loads(plan.dumps()).refused[0].reason.text == APART.reason.text
    assert plan.sha256 == plan_of().sha256 and not plan.changes


@pytest.mark.parametrize("changed", [{"nodes": []}, {"gain": -1.0}, {"gain": float("inf")}, {"cause": "none"}])
def test_nonsense_is_told_where_it_is(changed):
    data = json.loads(plan_of(APART).dumps())
    data["refused"][0] |= changed
    with pytest.raises(PlanError, match="refused"):
        Plan.loads(json.dumps(data))
