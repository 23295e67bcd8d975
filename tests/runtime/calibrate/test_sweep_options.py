import dataclasses

import pytest

from scission import MetricError, OptionError
from scission.runtime.calibrate.metric.metric import Budget, parse_metric
from scission.runtime.calibrate.sweep_options import SweepKeywords, SweepOptions


def test_the_metric_is_that_of_the_limit_where_only_that_is_given():
    assert SweepOptions().judge.name == "cosine" and SweepOptions().budget is None
    asked = SweepOptions(max_drop="argmax<=1%")
    assert asked.judge.name == "argmax" and asked.budget.limit == 0.01
    assert SweepOptions(metric="argmax", max_drop="argmax<=1%").judge.name == "argmax"
    made = Budget(parse_metric("mse"), 0.5)
    assert SweepOptions(max_drop=made).budget is made and SweepOptions(max_drop=made).judge is made.metric


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (
            {"metric": "cosine", "max_drop": "argmax<=0.01"},
            OptionError,
            "max_drop=… is about argmax, metric=… about cosine",
        ),
        ({"max_drop": "argmax"}, MetricError, "is no limit"),
        ({"metric": "best"}, MetricError, "best"),
        ({"explain": "yes"}, OptionError, "explain"),
    ],
)
def test_what_cannot_be_is_refused_at_once(asked, error, message):
    with pytest.raises(error, match=message):
        SweepOptions(**asked)


def test_type_checkers_know_every_field():
    assert {field.name for field in dataclasses.fields(SweepOptions)} == set(SweepKeywords.__annotations__)
