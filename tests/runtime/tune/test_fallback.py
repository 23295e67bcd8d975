import json

import numpy as np
import pytest
from races import FakeRacer
from tune_examples import twins

from scission.ir.io.load import load
from scission.ir.reason import Cause, Reason
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.runtime.ort.trials import Trials
from scission.runtime.tune.fallback import Fallback, dropped, to_drop, unit_speeds

TRIALS = Trials(provider="cpu", threads=1)


def speeds_of(model, speed, rows=(1, 16), regions=True):
    loaded, racer = load(model), FakeRacer(speed)
    plan = make_plan(loaded, PlanSettings(force=True, batch=rows, regions=regions))
    return plan, unit_speeds(loaded, plan, TRIALS, rows, racer=racer), racer.calls


def test_a_unit_is_as_fast_as_at_its_worst_row_count():
    _, (found,), _ = speeds_of(
        planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model,
        lambda way, rows: {1: 3.0, 16: 0.95}[rows],
    )
    assert set(found.nodes) == {"up", "down"} and (found.speed, found.batch) == (0.95, 16)
    assert found.reason.text == "measured 0.95x (0.94-0.96x) the speed of dense at batch 16" and found.slower
    json.dumps(found.to_dict())


def test_equal_units_are_measured_once_and_hopeless_ones_at_one_row_count():
    _, found, calls = speeds_of(twins(3), lambda way, rows: 0.5, regions=False)
    assert len(calls) == 1 and [one.speed for one in found] == [0.5] * 3 and found[0].batch == 1


def test_units_that_cannot_be_measured_stand_between_slow_and_fast():
    model = build(np.random.default_rng(0), "matmul-right-unknown").model
    _, (found,), calls = speeds_of(model, lambda way, rows: 2.0)
    assert found.speed is None and "unknown rank" in found.reason.text and calls == []
    slow, fast = (one("a", 0.5), one("z", 2.0))
    assert to_drop((slow, found, fast), (slow,)) == (found,)


def test_a_unit_that_is_not_clearly_slower_goes_alone_whatever_its_ratio():
    loaded, racer = load(twins(2)), FakeRacer(lambda way, rows: 0.95, spread=1.2)
    plan = make_plan(loaded, PlanSettings(force=True, batch=(1,), regions=False))
    units = unit_speeds(loaded, plan, TRIALS, (1,), racer=racer)
    assert not any(unit.slower for unit in units) and len(to_drop(units, ())) == 1


def one(name, speed):
    why = f"{name} was slow"
    return Fallback(
        nodes=(name,), way="split 2", speed=speed, slower=speed < 1, batch=1, reason=Reason(Cause.SLOWER, why)
    )


def test_slow_units_go_at_once_and_others_one_by_one():
    units = tuple(one(name, speed) for name, speed in (("a", 0.5), ("b", 0.99), ("c", 1.0), ("d", 2.0)))
    gone = ()
    rounds = []
    while more := to_drop(units, gone):
        gone += more
        rounds.append([unit.nodes[0] for unit in more])
    assert rounds == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize("count", [1, 2])
def test_dropped_units_stay_dense_each_for_its_reason(count):
    plan, found, _ = speeds_of(twins(3), lambda way, rows: 0.5, regions=False)
    less = dropped(plan, found[:count])
    assert len(less.rewrites) == 3 - count
    reasons = {step.node: step.reason.text for step in less.steps if step.lowering == "dense"}
    assert reasons == {unit.nodes[0]: unit.reason.text for unit in found[:count]}


def test_all_operators_of_a_region_go_together():
    plan, found, _ = speeds_of(
        planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model, lambda way, rows: 0.5
    )
    less = dropped(plan, found)
    assert not less.rewrites and not less.regions and plan.regions
