import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plan.axis_order import Reordering
from scission.ir.plan.plan import PlanError


@given(st.permutations(range(12)), st.integers(1, 4))
def test_json_and_back(order, axis):
    one = Reordering(value="h", axis=axis, order=order)
    again = Reordering.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one and hash(again) == hash(one) and again.order.tolist() == list(order)


def test_runs_are_written_as_runs():
    order = np.concatenate([np.arange(50, 100), np.arange(50)])
    assert Reordering(value="h", axis=1, order=order).to_dict() == {"value": "h", "axis": 1, "order": "50-99,0-49"}


def test_what_is_another_is_not_equal():
    one = Reordering(value="h", axis=1, order=[1, 0])
    others = [Reordering(value="g", axis=1, order=[1, 0]), Reordering(value="h", axis=2, order=[1, 0])]
    assert all(one != other for other in [*others, Reordering(value="h", axis=1, order=[0, 1]), "h"])
    with pytest.raises(ValueError, match="read-only"):
        one.order[0] = 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": ""}, "names no value"),
        ({"value": None}, "names no value"),
        ({"axis": -1}, "axis is -1"),
        ({"axis": True}, "axis is true"),
        ({"order": [0, 0]}, "no permutation"),
        ({"order": [1, 2]}, "no permutation"),
        ({"order": [-1, 0]}, "no permutation"),
    ],
)
def test_nonsense_is_refused(fields, said):
    with pytest.raises(PlanError, match=said):
        Reordering(**{"value": "h", "axis": 1, "order": [1, 0], **fields})


@pytest.mark.parametrize(
    "order", [None, [1, 0], "1,x", "3-1,0", "0-99999999999", "0" * 70, "1-0", "0-1-2", "0,0", "-1,0"]
)
def test_malformed_json_is_refused(order):
    with pytest.raises(PlanError):
        Reordering.from_dict({"value": "h", "axis": 1, "order": order})
    with pytest.raises(PlanError):
        Reordering.from_dict([order])
