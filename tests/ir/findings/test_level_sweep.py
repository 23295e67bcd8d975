import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.errors import ScissionError
from scission.ir.findings.level_sweep import Jump, LevelError, OperatorLevel, Sweep, strongest, summarise, within

share = st.floats(0, 1)
operators = st.lists(
    st.builds(
        OperatorLevel,
        node=st.text(max_size=3),
        shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
        confirmed=share,
        kept=share,
        components=st.integers(0, 9),
        giant=share,
        dormant=st.integers(0, 9),
        mac_share=share,
    ),
    min_size=1,
    max_size=6,
)


def one(node="a", shape=(4, 6), kept=0.5, **changes):
    values = {"confirmed": 0.25, "components": 2, "giant": 0.5, "dormant": 0, "mac_share": kept} | changes
    return OperatorLevel(node=node, shape=shape, kept=kept, **values)


def level(value=0.05, **changes):
    return summarise(value, [one()], **{"deviation": 0.1} | changes)


def sweep(levels, **changes):
    values = {"model": "m.onnx", "test": "t", "metric_name": "argmax", "higher_is_better": True, "baseline": 1.0}
    values |= {"samples": 3, "jumps": (), "notes": (), "seconds": 1.0} | changes
    return Sweep(levels=tuple(levels), **values)


@given(operators)
def test_totals_are_what_counting_entry_by_entry_gives(found):
    result = summarise(0.1, found, deviation=0.0)
    for name in ("confirmed", "kept", "mac_share"):
        entries = np.concatenate([np.full(math.prod(o.shape), getattr(o, name)) for o in found])
        assert getattr(result, name) == pytest.approx(entries.mean(), abs=1e-12)
    assert result.components == sum(o.components for o in found)
    assert result.giant == max(o.giant for o in found)
    assert result.dormant == sum(o.dormant for o in found)
    assert result.splits == len([o for o in found if o.components > 1])
    assert result.operators == tuple(found)


def test_dormant_features_alone_are_no_split():
    assert not one(components=1, dormant=5).splits and not one(components=0, dormant=10).splits
    assert one(components=2, dormant=0).splits


@given(operators, st.randoms())
def test_totals_do_not_depend_on_the_order(found, random):
    other = list(found)
    random.shuffle(other)
    one_way, other_way = (summarise(0.1, each, deviation=0.0) for each in (found, other))
    assert dataclasses.replace(one_way, operators=()) == dataclasses.replace(other_way, operators=())


@pytest.mark.parametrize(("higher", "expected"), [(True, 0.25), (False, -0.25)])
def test_a_drop_is_positive_when_it_is_worse(higher, expected):
    assert level(metric=0.5, baseline=0.75, higher_is_better=higher).drop == expected


def test_without_a_metric_or_a_baseline_there_is_no_drop():
    assert level().drop is None and level(metric=0.5).drop is None and level(baseline=0.5).drop is None
    assert level().metric is None


@pytest.mark.parametrize("name", ["confirmed", "kept", "giant", "mac_share"])
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_a_share_is_between_0_and_1(name, value):
    with pytest.raises(LevelError, match=f"^node7: {name} is a share"):
        one("node7", **{name: value})


def test_other_nonsense_is_refused():
    assert issubclass(LevelError, ScissionError)
    with pytest.raises(LevelError, match=r"^a: a shape of \(0, 3\)"):
        one(shape=(0, 3))
    with pytest.raises(LevelError, match=r"level 0\.1: there is no operator"):
        summarise(0.1, [], deviation=0.0)


def test_levels_are_in_order():
    assert sweep([level(0.1), level(0.05)]).levels[1].level == 0.05
    assert len(sweep([level(1), level(2), level(3)]).levels) == 3  # a test whose level grows with its strength
    for values in ([0.1, 0.1], [0.1, 0.5, 0.2], [0.1, 0.01, 0.1]):
        with pytest.raises(LevelError, match=r"^m\.onnx: the levels .* repeat or are not in order"):
            sweep([level(value) for value in values])
    with pytest.raises(LevelError, match="at least one level"):
        sweep([])


def test_json_knows_neither_infinity_nor_tuples():
    jump = Jump(level_from=0.1, level_to=0.05, change=math.inf, threshold=0.01, operators=("a",))
    found = sweep([level(0.1), level(0.05, metric=math.nan, deviation=math.inf)], jumps=(jump,)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["levels"][1]["deviation"] is None and found["levels"][1]["metric"] is None
    assert found["levels"][0]["deviation"] == 0.1 and found["levels"][0]["operators"][0]["shape"] == [4, 6]
    assert found["jumps"] == [jump.to_dict()] and found["jumps"][0]["change"] is None
    assert one().to_dict()["node"] == "a" and level().to_dict()["kept"] == 0.5


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_limit_in_thousandths_is_met_exactly_when_the_thousandths_say_so(before, after, limit):
    assert within(before / 1000 - after / 1000, limit / 1000) is (before - after <= limit)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.integers(-3, 3))
def test_the_strongest_level_has_no_weaker_one_beyond_the_limit(drops, limit):
    levels = [level(1 / (2 + place), metric=-float(drop), baseline=0.0) for place, drop in enumerate(drops)]
    good = [k for k in range(len(drops)) if all(drop <= limit for drop in drops[: k + 1])]
    found = strongest(levels, limit)
    assert found is (levels[good[-1]] if good else None)


def test_what_is_not_known_is_never_within_a_limit():
    assert strongest([level()], 1e9) is None
    assert strongest([level(metric=math.nan, baseline=1.0)], 1e9) is None
