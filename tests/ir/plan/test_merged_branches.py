import pytest

from scission import PlanError
from scission.ir.plan.merged_branches import MergedBranches
from scission.ir.plan.plan import preparation_from_dict, told
from scission.ir.reason import Cause, Reason

REASON = Reason(Cause.BRANCHES, "they are alike")
FOUND = MergedBranches(
    nodes=("a0", "a1", "b0", "b1", "join"), gain=2.0, reason=REASON, branches=(("a0", "a1"), ("b0", "b1")), sha256="ab"
)


def test_json_carries_them():
    assert preparation_from_dict(FOUND.to_dict()) == FOUND


def test_what_several_do_is_told():
    assert told([FOUND, FOUND]) == ["4 branches of 10 operators in all merged into 2"]


@pytest.mark.parametrize(
    "change",
    [
        {"branches": []},
        {"branches": [["a0"]]},
        {"branches": [["a0", "a0"]]},
        {"branches": [["a0", 1]]},
        {"branches": "a0"},
        {"sha256": None},
        {"turned": 1},
        {"turned": 1},
        {"more": 1},
    ],
)
def test_nonsense_is_refused(change):
    with pytest.raises(PlanError, match=r"branches|sha256|place|turned"):
        preparation_from_dict(FOUND.to_dict() | change)
