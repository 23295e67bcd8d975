import json

import pytest

from scission.ir.plan.plan import PlanError
from scission.ir.plan.region_split import Joint

GOOD = {"nodes": ("up", "down"), "flow": "columns", "stack": 4, "gain": 1.5, "reason": "4 blocks"}


def test_json_and_back():
    one = Joint(**GOOD)
    assert Joint.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert Joint(nodes=("a",)) == Joint(nodes=("a",), flow="rows", stack=1, gain=None, reason="")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("nodes", (), "needs the names"),
        ("nodes", ("a", 3), "needs the names"),
        ("nodes", ("a", "a"), "twice"),
        ("flow", "diagonal", "flow is .* none of rows, columns"),
        ("flow", None, "flow is .* none of rows, columns"),
        ("stack", 0, "no number of blocks"),
        ("stack", True, "no number of blocks"),
        ("stack", 2.0, "no number of blocks"),
        ("gain", "much", "no speed-up"),
        ("gain", True, "no speed-up"),
        ("reason", None, "no text"),
    ],
)
def test_nonsense_is_refused(field, value, said):
    with pytest.raises(PlanError, match=said):
        Joint(**{**GOOD, field: value})


@pytest.mark.parametrize(
    "data", [None, [], {}, {"nodes": "up"}, {"nodes": ["a"], "colour": "red"}, {"nodes": ["a"], "flow": []}]
)
def test_malformed_json_is_refused(data):
    with pytest.raises(PlanError):
        Joint.from_dict(data)
