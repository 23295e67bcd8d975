import json

import pytest

from scission.ir.plan.plan import PlanError
from scission.ir.plan.region_split import RegionSplit

GOOD = {"nodes": ("up", "down"), "layout": "features_first", "blocks_per_node": 4, "gain": 1.5, "reason": "4 blocks"}


def test_json_and_back():
    one = RegionSplit(**GOOD)
    assert RegionSplit.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert RegionSplit(nodes=("a",)) == RegionSplit(
        nodes=("a",), layout="features_last", blocks_per_node=1, gain=None, reason=""
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("nodes", (), "needs the names"),
        ("nodes", ("a", 3), "needs the names"),
        ("nodes", ("a", "a"), "twice"),
        ("layout", "diagonal", "layout is .* none of features_last, features_first"),
        ("layout", None, "layout is .* none of features_last, features_first"),
        ("blocks_per_node", 0, "no number of blocks"),
        ("blocks_per_node", True, "no number of blocks"),
        ("blocks_per_node", 2.0, "no number of blocks"),
        ("gain", "much", "no speed-up"),
        ("gain", True, "no speed-up"),
        ("reason", None, "no text"),
    ],
)
def test_nonsense_is_refused(field, value, said):
    with pytest.raises(PlanError, match=said):
        RegionSplit(**{**GOOD, field: value})


@pytest.mark.parametrize(
    "data", [None, [], {}, {"nodes": "up"}, {"nodes": ["a"], "colour": "red"}, {"nodes": ["a"], "layout": []}]
)
def test_malformed_json_is_refused(data):
    with pytest.raises(PlanError):
        RegionSplit.from_dict(data)
