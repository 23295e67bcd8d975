import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.reason import Cause
from scission.runtime.calibrate.metric_runner import Measured
from scission.runtime.decompose.choosing import choose
from scission.runtime.decompose.task.goal import Goal, parse_goal
from scission.runtime.decompose.task.method import ModelCandidate
from scission.runtime.decompose.trying import TriedCandidate, front_of
from scission.runtime.measure.comparison import Comparison
from scission.runtime.validation import OptionError


def tried(speedup, drop, sure=True):
    latency = Comparison(ratio=speedup, low=speedup * (0.99 if sure else 0.5), high=speedup * 2, pairs=20)
    measured = Measured(metric=1 - drop, baseline=1.0, drop=drop, deviation=0.0, cosine=None)
    made = ModelCandidate(method="removal", model=None)
    return TriedCandidate(candidate=made, measured=measured, latency=latency)


points = st.lists(st.tuples(st.sampled_from([0.9, 1.2, 1.5, 2.0, 3.0]), st.sampled_from([0.0, 0.01, 0.05, 0.2])))


def test_of_several_that_are_as_fast_the_one_that_loses_least_is_kept():
    found = [tried(2.0, 0.05), tried(2.0, 0.01), tried(2.0, 0.2), tried(1.5, 0.0)]
    assert choose(parse_goal("cosine<=0.1"), found)[0] is found[1]


@given(points)
def test_the_front_is_what_nothing_beats(points):
    found = [tried(*point) for point in points]
    front = front_of(found)

    def beaten(one):
        return any(
            (other.speedup, -other.drop) != (one.speedup, -one.drop)
            and other.speedup >= one.speedup
            and other.drop <= one.drop
            for other in found
        )

    assert {(one.speedup, one.drop) for one in front} == {(one.speedup, one.drop) for one in found if not beaten(one)}
    assert [one.speedup for one in front] == sorted({one.speedup for one in front})


@given(points, st.sampled_from([None, 0.01, 0.1]), st.sampled_from([None, 1.3, 2.5]))
def test_what_is_chosen_is_best_of_what_is_allowed(points, limit, target):
    if limit is None and target is None:
        return
    goal = Goal(metric=parse_goal(target=2).metric, limit=limit, target=target)
    found = [tried(*point) for point in points]
    chosen, reason = choose(goal, found)
    allowed = [one for one in found if one.speedup > 1.1 and goal.allows(one.drop) and goal.reached(one.speedup)]
    assert (chosen is None) == (not allowed) == (reason is not None)
    if allowed and limit is None:
        assert chosen.drop == min(one.drop for one in allowed)
    elif allowed:
        assert chosen.speedup == max(one.speedup for one in allowed)


def test_why_nothing_is_chosen_is_typed():
    goal = parse_goal("cosine<=0.01", "2x")
    cases = [
        ([], Cause.NO_GAIN),
        ([tried(1.5, 0.0, sure=False)], Cause.NO_GAIN),
        ([tried(3.0, 0.5)], Cause.OVER_BUDGET),
        ([tried(3.0, 0.5), tried(1.5, 0.0)], Cause.BELOW_TARGET),
    ]
    assert [choose(goal, found)[1].cause for found, _ in cases] == [cause for _, cause in cases]


@pytest.mark.parametrize("target", ["fast", "1x", 0.5, float("inf"), "nan"])
def test_a_target_that_is_none_is_refused(target):
    with pytest.raises(OptionError, match="target"):
        parse_goal(target=target)


def test_a_goal_needs_something_and_one_metric():
    with pytest.raises(OptionError, match="nothing is asked for"):
        parse_goal()
    with pytest.raises(OptionError, match="about argmax"):
        parse_goal("argmax<=0.01", metric="cosine")
    assert parse_goal("argmax<=0.01", metric="argmax").metric.name == "argmax"


@pytest.mark.parametrize("asked", [{"target": 1.3}, {"budget": "cosine<=0.1"}])
@pytest.mark.parametrize("unknown", [float("nan"), float("inf")])
def test_what_no_metric_can_judge_is_never_kept(asked, unknown):
    goal = parse_goal(**asked)
    assert choose(goal, [tried(2.0, unknown), tried(2.0, 0.05)])[0].drop == 0.05
    chosen, reason = choose(goal, [tried(2.0, unknown)])
    assert chosen is None and reason.cause is Cause.OVER_BUDGET and not goal.allows(unknown)
