import dataclasses

import numpy as np

from scission.ir.io.load import load
from scission.ir.reason import Cause, Reason
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.planning.units.unit import alone, plan_units, replaced
from scission.passes.rewrite.prepare import planned_view
from scission.passes.rewrite.rewrite import rewrite


def planned(model, **options):
    loaded = load(model)
    plan = make_plan(loaded, PlanSettings(**options))
    return loaded, plan, planned_view(loaded.graph, plan)


def planned_ffn(**options):
    model = planted_ffn.build(np.random.default_rng(0), d=16, hidden=32, blocks=4).model
    return planned(model, **{"force": True, **options})


def test_a_region_is_one_unit_and_each_other_step_is_one():
    _, plan, seen = planned_ffn()
    (unit,) = plan_units(plan, seen)
    assert unit.region == plan.regions[0] and set(unit.nodes) == {"up", "down"} and unit.inner
    assert unit.way.startswith("region 4, features ") or unit.way.startswith("region 2, features ")
    _, plan, seen = planned_ffn(regions=False)
    units = plan_units(plan, seen)
    assert [unit.nodes for unit in units] == [("up",), ("down",)] and not any(unit.region for unit in units)
    assert all(unit.way.startswith(unit.steps[0].lowering) for unit in units)


def test_both_directions_of_a_recurrent_operator_are_one_unit():
    cell = Cell(op="GRU", direction="bidirectional", sizes=((2, 3), (2, 3)))
    _, plan, seen = planned(build_cell(np.random.default_rng(0), cell).model, force=True)
    (unit,) = plan_units(plan, seen)
    assert len(unit.steps) == len(unit.operators) == 2 and not unit.linears and unit.way == "cells 2+2"


def test_what_stays_dense_is_a_unit_only_when_it_splits_and_little_is_predicted():
    model = build(np.random.default_rng(0), "gemm").model
    _, plan, seen = planned(model)
    assert not plan.rewrites and plan_units(plan, seen) == ()
    (unit,) = plan_units(plan, seen, idle=True)
    assert unit.way == "dense" and unit.steps == plan.steps
    gaining = dataclasses.replace(plan, steps=tuple(dataclasses.replace(s, gain=2.0) for s in plan.steps))
    assert plan_units(gaining, seen, idle=True) == ()  # left dense for another reason
    quantised = build(np.random.default_rng(0), "through-dequantize-tensor").model
    _, plan, seen = planned(quantised)
    assert plan_units(plan, seen, idle=True) == ()


def test_units_are_replaced_in_the_plan_and_nothing_else():
    loaded, plan, seen = planned_ffn()
    (unit,) = plan_units(plan, seen)
    dense = [dataclasses.replace(step, lowering="dense", reason=Reason(Cause.SLOWER, "why")) for step in unit.steps]
    without = replaced(plan, unit, dense, ())
    assert without.regions == () and not without.rewrites
    assert replaced(without, plan_units(plan, seen)[0], unit.steps, (unit.region,)) == plan
    own = alone(plan, unit.steps, (unit.region,))
    assert own.steps == unit.steps and not own.annealing and not own.reorderings and not own.inline
    rewrite(loaded.graph, own)


def test_a_step_without_an_operator_is_left_out():
    _, plan, seen = planned_ffn()
    renamed = dataclasses.replace(
        plan,
        regions=(),
        steps=tuple(dataclasses.replace(s, node=f"not {s.node}", lowering="scatter") for s in plan.steps),
    )
    assert plan_units(renamed, seen) == ()
