"""Axes to cut, as plans tell them."""

import pytest

from scission.ir.plan.plan import PlanError
from scission.ir.plan.removed_channels import LARGEST, CutAxis

ONE = CutAxis(node="up", slot=1, axis=0, size=6, removed=[1, 2, 4], counts=False)


def test_an_axis_to_cut_is_what_it_was_once_written():
    assert CutAxis.from_dict(ONE.to_dict()) == ONE
    assert ONE.to_dict() == {"node": "up", "slot": 1, "axis": 0, "size": 6, "removed": "1-2,4", "counts": False}


@pytest.mark.parametrize(
    "damage",
    [
        {"size": 10**12}, {"size": LARGEST + 1}, {"size": 0}, {"size": 4}, {"axis": -1}, {"axis": True}, {"slot": -1},
        {"slot": "0"}, {"node": ""}, {"node": 3}, {"removed": "0-5"}, {"removed": f"0-{LARGEST}"}, {"value": "h"},
    ],
)  # fmt: skip
def test_a_damaged_axis_to_cut_is_refused_in_words(damage):
    with pytest.raises(PlanError):
        CutAxis.from_dict(ONE.to_dict() | damage)
