import dataclasses

import numpy as np
import oracles
import pytest

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.decomposition import Block, Decomposition
from scission.ir.plan.grain import Grain
from scission.models.networks.autoregressive import build as made
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import KINDS, build
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.lowering.target import Target
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.planning.units.alternatives import MOST, alternatives
from scission.passes.planning.units.unit import plan_units, replaced
from scission.passes.rewrite.prepare import planned_view
from scission.passes.rewrite.rewrite import rewrite


def hidden_block(model, **options):
    loaded = load(model)
    plan = make_plan(loaded, PlanSettings(**{"force": True, **options}))
    seen = planned_view(loaded.graph, plan)
    return loaded, plan, seen, plan_units(plan, seen, idle=True)


@pytest.mark.parametrize("kind", KINDS)
def test_every_alternative_can_take_the_place_of_its_unit(kind):
    loaded, plan, seen, units = hidden_block(build(np.random.default_rng(0), kind).model)
    assert units
    for unit in units:
        found = alternatives(unit, seen, plan, Target())
        assert 0 < len(found) <= MOST and unit.way in {one.way for one in found}
        assert len({one.way for one in found}) == len(found)
        assert [one.gain for one in found] == sorted((one.gain for one in found), reverse=True)
        for one in found:
            assert [step.node for step in one.steps] == list(unit.nodes)
            rewrite(loaded.graph, replaced(plan, unit, one.steps, one.regions))


def test_a_region_is_lowered_in_other_layouts_and_apart_and_computes_the_same():
    model = planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model
    loaded, plan, seen, (unit,) = hidden_block(model)
    found = alternatives(unit, seen, plan, Target(), most=9)
    kinds = {(one.regions[0].layout, one.regions[0].blocks_per_node > 1) for one in found if one.regions}
    assert kinds == {
        ("features_last", False),
        ("features_last", True),
        ("features_first", False),
        ("features_first", True),
    }
    x = {"x": np.random.default_rng(1).standard_normal((5, 32)).astype(np.float32)}
    before = oracles.run(model, x)
    for one in found:
        changed = rewrite(loaded.graph, replaced(plan, unit, one.steps, one.regions))
        oracles.assert_close(before, oracles.run(ir.to_proto(changed), x))


def test_operators_apart_are_an_alternative_where_they_gain():
    model = planted_ffn.build(np.random.default_rng(0), d=512, hidden=2048, blocks=8).model
    _, plan, seen, (unit,) = hidden_block(model)
    assert unit.region is not None
    (apart,) = (one for one in alternatives(unit, seen, plan, Target()) if one.way == "apart")
    assert apart.regions == () and any(step.lowering != "dense" for step in apart.steps)


def test_few_alternatives_hold_the_planned_one_and_every_kind_comes_before_a_second_of_one():
    _, plan, seen, (unit,) = hidden_block(build(np.random.default_rng(0), "gemm", sizes=[(32, 32)] * 16).model)
    assert [one.way for one in alternatives(unit, seen, plan, Target(), most=1)] == [unit.way]
    ways = alternatives(unit, seen, plan, Target(), most=4)
    assert len({one.steps[0].lowering for one in ways}) == 4


def test_a_plan_edited_by_hand_is_an_alternative_too():
    _, plan, seen, (unit,) = hidden_block(build(np.random.default_rng(0), "gemm", sizes=[(4, 4)] * 6).model)
    step = unit.steps[0]
    inputs, outputs = (np.arange(extent) for extent in step.shape)
    whole = Decomposition(step.shape, (Block(inputs, outputs),))  # no halving of 6 blocks makes this scatter
    edited = dataclasses.replace(step, lowering="scatter", decomposition=whole)
    changed = dataclasses.replace(plan, steps=(edited,))
    (unit,) = plan_units(changed, seen)
    assert any(one.steps[0] is edited for one in alternatives(unit, seen, changed, Target()) if one.way == unit.way)


def test_row_groups_have_alternatives():
    _, plan, seen, units = hidden_block(made(np.random.default_rng(0), 64, 128)[0])
    ways = {one.way for unit in units for one in alternatives(unit, seen, plan, Target())}
    assert any("row groups" in way for way in ways)


def test_recurrent_operators_are_tried_with_fewer_groups():
    cell = Cell(op="LSTM", direction="bidirectional", sizes=((4, 8),) * 4)
    loaded, plan, seen, (unit,) = hidden_block(build_cell(np.random.default_rng(0), cell).model)
    assert {one.way for one in alternatives(unit, seen, plan, Target())} == {"cells 4+4"}  # every block was forced
    found = alternatives(unit, seen, dataclasses.replace(plan, grain=Grain()), Target())
    assert {one.way for one in found} == {"cells 4+4", "cells 2+2"}
    for one in found:
        rewrite(loaded.graph, replaced(plan, unit, one.steps, one.regions))
