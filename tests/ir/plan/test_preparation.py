import json

import pytest
from doubled_relu import DoubledRelu, doubled_relu  # noqa: F401

from scission.ir.plan.plan import Plan, PlanError
from scission.ir.plan.preparation import FixedSizes, Refused
from scission.ir.reason import Cause, Reason

WHY = Reason(Cause.SELECTION, "why")


def plan_of(*found):
    return Plan(model="m", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=(), preparations=found)


def one(**changed):
    return DoubledRelu(**{"nodes": ("a",), "reason": WHY, **changed})


@pytest.mark.usefixtures("doubled_relu")
def test_plans_carry_preparations_and_are_told_apart_by_what_these_do():
    plan = plan_of(one(gain=2.0), one(nodes=("b",), depth=2))
    assert Plan.loads(plan.dumps()) == plan
    assert plan.changes and plan.done == "2 doubled" and "why" in str(plan)
    assert not plan_of().changes
    differ = {plan_of(), plan_of(one()), plan_of(one(depth=3)), plan_of(one(nodes=("b",)))}
    assert len({each.sha256 for each in differ}) == 4
    assert plan_of(one(gain=1.0)).sha256 == plan_of(one(gain=3.0)).sha256  # a prediction changes no model


@pytest.mark.usefixtures("doubled_relu")
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kind": "other"}, "'kind' is \"other\", which is none of sizes, forests"),
        ({"nodes": "a"}, "no list"),
        ({"nodes": []}, "names"),
        ({"gain": -1}, "no speed-up"),
        ({"gain": True}, "no number"),
        ({"cause": "other"}, "cause"),
        ({"more": 1}, "more"),
    ],
)
def test_malformed_preparations_are_refused_with_what_is_wrong(changed, told):
    data = json.loads(plan_of(one()).dumps())
    data["preparations"][0] |= changed
    with pytest.raises(PlanError, match=told):
        Plan.loads(json.dumps(data))


@pytest.mark.usefixtures("doubled_relu")
@pytest.mark.parametrize("given", [3, [3], {"a": 1}])
def test_what_is_no_list_of_objects_is_refused(given):
    data = json.loads(plan_of().dumps()) | {"preparations": given}
    with pytest.raises(PlanError):
        Plan.loads(json.dumps(data))


def sizes_of(**changed):
    return FixedSizes(**{"nodes": ("a", "b"), "reason": WHY, "sizes": {"batch": 1, "sequence": 128}, **changed})


def test_plans_carry_the_sizes_also_where_nothing_is_computed_from_them():
    for plan in (plan_of(sizes_of()), plan_of(sizes_of(nodes=()))):
        assert Plan.loads(plan.dumps()) == plan
    assert plan_of(sizes_of()).done == "2 sizes fixed (batch=1, sequence=128), 2 operators folded"
    assert plan_of(sizes_of(nodes=())).done == "2 sizes fixed (batch=1, sequence=128)"
    assert plan_of(sizes_of()).sha256 != plan_of(sizes_of(sizes={"batch": 2})).sha256


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
        ([["batch", 2], ["batch", 3]], "'sizes' names \"batch\" twice"),
        ({"batch": 1}, "no list"),
    ],
)
def test_malformed_sizes_are_refused_with_what_is_wrong(sizes, told):
    data = json.loads(plan_of(sizes_of()).dumps())
    data["preparations"][0]["sizes"] = sizes
    with pytest.raises(PlanError, match=told):
        Plan.loads(json.dumps(data))


APART = Refused(kind="branches", nodes=("a", "b"), gain=0.9, reason=Reason(Cause.NO_GAIN, "0.90x is predicted"))


def refusing(*refused):
    return Plan(model="m", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=(), refused=refused)


def test_plans_carry_what_is_refused_and_do_the_same():
    plan = refusing(APART)
    assert Plan.loads(plan.dumps()) == plan and Plan.loads(plan.dumps()).refused[0].reason.text == APART.reason.text
    assert plan.sha256 == refusing().sha256 and not plan.changes


@pytest.mark.parametrize("changed", [{"nodes": []}, {"gain": -1.0}, {"gain": float("inf")}, {"cause": "none"}])
def test_nonsense_of_what_is_refused_is_told_where_it_is(changed):
    data = json.loads(refusing(APART).dumps())
    data["refused"][0] |= changed
    with pytest.raises(PlanError, match="refused"):
        Plan.loads(json.dumps(data))
