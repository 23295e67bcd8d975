import json

import pytest

from scission.ir.plan.plan import Plan, PlanError
from scission.ir.plan.rewritten_convolution import ConvolutionForm, RewrittenConvolution
from scission.ir.reason import Cause, Reason

WHY = Reason(Cause.CONVOLUTION, "why")


def one(**changed):
    fields = {"nodes": ("a", "b"), "reason": WHY, "form": ConvolutionForm.BIAS, "sha256": "0" * 64}
    return RewrittenConvolution(**{**fields, **changed})


def plan_of(*found):
    return Plan(model="m", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=(), preparations=found)


def test_plans_carry_convolutions_and_say_what_is_done_with_them():
    plan = plan_of(one(gain=3.0), one(), one(form=ConvolutionForm.FOURIER), one(form=ConvolutionForm.WINDOW))
    assert Plan.loads(plan.dumps()) == plan
    assert plan.done == (
        "1 Fourier transform written as a convolution, 1 convolution over a smaller window, "
        "2 convolutions with what followed inside"
    )
    assert plan.sha256 != plan_of(one()).sha256


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"form": "other"}, "'form' is .*none of fourier"),
        ({"sha256": "ab"}, "SHA-256"),
        ({"sha256": 3}, "no text"),
        ({"more": 1}, "more"),
    ],
)
def test_malformed_convolutions_are_refused_with_what_is_wrong(changed, told):
    data = json.loads(plan_of(one()).dumps())
    data["preparations"][0] |= changed
    with pytest.raises(PlanError, match=told):
        Plan.loads(json.dumps(data))


def test_a_form_that_is_plain_text_is_refused():
    with pytest.raises(PlanError, match="none of fourier"):
        one(form="fouriers")
