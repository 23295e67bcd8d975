import dataclasses
import json

import numpy as np
import oracles
import pytest
from races import FakeRacer
from tune_examples import ROWS, TRIALS, twins

import scission
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.grain import Grain
from scission.ir.plan.plan import Plan
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.notes import LoweredWarning
from scission.runtime.tune import tune as tuning
from scission.runtime.tune import unit_races
from scission.runtime.tune.tune import tune


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tuning.json"


def ffn(**options):
    return planted_ffn.build(np.random.default_rng(0), **{"d": 32, "hidden": 64, "blocks": 4, **options}).model


def tuned(model, speed, *, force=True, regions=True, **options):
    """(Tuned, the calls of the racer) with speeds from a function of way and rows."""
    loaded = load(model)
    racer = FakeRacer(speed)
    plan = make_plan(loaded, PlanSettings(force=force, batch=ROWS, regions=regions))
    return tune(loaded, plan, TRIALS, ROWS, racer=racer, **options), racer.calls


def only(result):
    (unit,) = result.units
    return unit


def test_the_highest_of_the_lowest_speeds_wins():
    ways = [way.way for way in only(tuned(ffn(), lambda way, rows: 2.0, cache=False)[0]).table]
    best = next(way for way in reversed(ways) if "features first" in way)
    speeds = {best: (3.0, 3.1), ways[0]: (2.0, 9.0)}
    result, calls = tuned(ffn(), lambda way, rows: speeds.get(way, (1.5, 1.5))[rows == 16])
    unit = only(result)
    assert unit.winner == best != unit.planned and unit.batch == ROWS and unit.source == "measured"
    assert {best, unit.planned} <= {way.way for way in unit.table}
    assert len(calls) == 2 and result.plan.regions[0].layout == "features_first"
    assert all("measured 3.00x the speed of dense (batch 1, 16)" in step.reason.text for step in result.plan.steps)
    x = {"x": np.random.default_rng(1).standard_normal((5, 32)).astype(np.float32)}
    changed = rewrite(load(ffn()).graph, result.plan)
    oracles.assert_close(oracles.run(ffn(), x), oracles.run(ir.to_proto(changed), x))
    assert Plan.loads(result.plan.dumps()) == result.plan


def test_operators_apart_can_win():
    model = ffn(d=512, hidden=2048, blocks=8)
    result, _ = tuned(model, lambda way, rows: 5.0 if way == "apart" else 2.0)
    assert only(result).winner == "apart" and result.plan.regions == ()
    assert {step.lowering for step in result.plan.steps} != {"region"}
    rewrite(load(model).graph, result.plan)


@pytest.mark.parametrize("force", [False, True])
def test_dense_wins_where_all_is_slower_and_nothing_is_forced(force):
    result, _ = tuned(ffn(), lambda way, rows: 0.93, force=True)
    assert only(result).winner == "dense" and not result.plan.rewrites and not result.plan.regions
    assert all("at most 0.93x the speed of dense is measured (batch 1, 16)" in s.reason.text for s in result.plan.steps)
    loaded = load(ffn())
    plan = make_plan(loaded, PlanSettings(force=True, batch=ROWS))
    racer = FakeRacer(lambda way, rows: 0.95 if "features first" in way else 0.92)
    result = tune(loaded, plan, TRIALS, ROWS, racer=racer, force=force)
    assert ("features first" in only(result).winner) is force and bool(result.plan.rewrites) is force


def test_what_is_not_clear_stays_as_planned_and_is_not_kept(cache):
    """The same race four times, each time with other figures that show nothing."""
    rng = np.random.default_rng(0)
    for _ in range(4):
        loaded, racer = load(ffn()), FakeRacer(lambda way, rows: rng.uniform(0.7, 2.0), spread=2.5)
        plan = make_plan(loaded, PlanSettings(force=True, batch=ROWS))
        result = tune(loaded, plan, TRIALS, ROWS, racer=racer)
        unit = only(result)
        assert racer.calls and unit.winner == unit.planned and not unit.settled and "not measurable" in unit.note
        assert {step.lowering for step in result.plan.steps} == {step.lowering for step in plan.steps}
    assert not cache.exists()


def test_a_way_within_the_margin_of_the_planned_one_does_not_take_its_place():
    result, _ = tuned(ffn(), lambda way, rows: 2.05 if "features first" in way else 2.0)
    assert only(result).winner == only(result).planned and only(result).settled


def test_what_was_left_dense_by_prediction_is_tuned_as_well():
    model = build(np.random.default_rng(0), "gemm", sizes=[(8, 8)] * 4).model
    result, _ = tuned(model, lambda way, rows: 3.0 if way.startswith("scatter") else 1.1, force=False)
    unit = only(result)
    assert unit.planned == "dense" and unit.winner.startswith("scatter")
    (step,) = result.plan.rewrites
    assert (
        step.lowering == "scatter"
        and "; measured 3.00x" in step.reason.text
        and "independent blocks" in step.reason.text
    )
    rewrite(load(model).graph, result.plan)


def test_a_wrong_form_never_wins_and_is_not_remembered(monkeypatch, cache):
    def wrong(model, plan):
        changed = rewrite(model, plan)
        if plan.regions and plan.regions[0].layout == "features_first":
            for value in changed.graph.initializers.values():
                if value.const_value.dtype == ir.DataType.FLOAT:
                    value.const_value = ir.Tensor(value.const_value.numpy() * np.float32(1.01), name=value.name)
        return changed

    monkeypatch.setattr(tuning, "rewrite", wrong)
    result, _ = tuned(ffn(), lambda way, rows: 9.0 if "features first" in way else 2.0)
    unit = only(result)
    assert "features first" not in unit.winner and unit.winner != "dense"
    assert all("allowed" in way.problem.text for way in unit.table if "features first" in way.way)
    assert not cache.exists()


def test_a_form_that_cannot_be_rewritten_is_in_the_table_with_its_reason(monkeypatch):
    def refusing(model, plan):
        if plan.regions and plan.regions[0].layout == "features_first":
            raise scission.PlanError("up: not so")
        return rewrite(model, plan)

    monkeypatch.setattr(tuning, "rewrite", refusing)
    result, _ = tuned(ffn(), lambda way, rows: 2.0)
    assert {way.problem.text for way in only(result).table if "features first" in way.way} == {"up: not so"}


def test_equal_units_are_measured_once_in_a_run():
    result, calls = tuned(twins(), lambda way, rows: 2.0 if "permute" in way else 1.5, cache=False, regions=False)
    assert [unit.source for unit in result.units] == ["measured", "product0", "product0"]
    assert len(calls) == 2 and len({unit.winner for unit in result.units}) == 1
    assert len(result.plan.rewrites) == 3
    rewrite(load(twins()).graph, result.plan)


def test_the_next_run_measures_nothing(cache):
    first, calls = tuned(twins(), lambda way, rows: 2.0, regions=False)
    second, none = tuned(twins(), lambda way, rows: 0.1, regions=False)
    assert calls and none == [] and second.plan == first.plan
    assert {unit.source for unit in second.units} == {"cache"}
    _, again = tuned(twins(), lambda way, rows: 2.0, cache=False, regions=False)
    assert len(again) == 2
    assert "W0" not in cache.read_text() and "product0" not in cache.read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"batch": (1, 17)},
        {"trials": dataclasses.replace(TRIALS, threads=2)},
        {"machine": {"cpu": "another"}},
        {"machine": {"onnxruntime": "0.1"}},
        {"machine": {"gpu": "another"}},
        {"version": "0.0"},
    ],
)
def test_elsewhere_it_is_measured_again(change, monkeypatch):
    tuned(twins(), lambda way, rows: 2.0, regions=False)
    here = unit_races.machine("cpu")
    monkeypatch.setattr(unit_races, "machine", lambda provider: {**here, **change.get("machine", {})})
    monkeypatch.setattr(unit_races, "__version__", change.get("version", unit_races.__version__))
    loaded, racer = load(twins()), FakeRacer(lambda way, rows: 2.0)
    plan = make_plan(loaded, PlanSettings(force=True, batch=ROWS, regions=False))
    tune(loaded, plan, change.get("trials", TRIALS), change.get("batch", ROWS), racer=racer)
    assert racer.calls


def test_what_ran_at_lower_sizes_holds_only_where_those_run_again(cache):
    """Room for a few rows, then for all, then for few again: what ran as asked holds everywhere."""
    loaded = load(twins())
    plan = make_plan(loaded, PlanSettings(force=True, batch=[4096], regions=False))
    small, large = (dataclasses.replace(TRIALS, memory=count) for count in (2_000_000, 2_000_000_000))
    rows, sources = [], []
    with pytest.warns(LoweredWarning, match="instead of 4096"):
        for trials in (small, small, large, small):
            racer = FakeRacer(lambda way, rows: 2.0)
            result = tune(loaded, plan, trials, [4096], racer=racer)
            rows.append([called for _, called in racer.calls])
            sources.append(result.units[0].source)
            if trials is small and not rows[1:]:
                (entry, *_) = json.loads(cache.read_text())["entries"].values()
                (told,), (ran,) = entry["what"]["sizes"], entry["sizes"]
                assert told == ran and entry["what"]["extents"] == [[[rows[0][0]]]]
    assert rows[0] and rows[0][0] < 4096 and rows[1:] == [[], [4096], []]
    assert sources == ["measured", "cache", "measured", "cache"]


def test_a_damaged_cache_is_a_warning_and_no_error(cache):
    cache.parent.mkdir()
    cache.write_text("{")
    result, calls = tuned(ffn(), lambda way, rows: 2.0)
    assert calls and len(result.warnings) == 1 and "begun anew" in result.warnings[0]
    assert json.loads(cache.read_text())["entries"]


def test_what_cannot_be_measured_stays_as_planned_and_says_why():
    model = build(np.random.default_rng(0), "matmul-right-unknown").model
    result, calls = tuned(model, lambda way, rows: 2.0)
    unit = only(result)
    assert calls == [] and unit.winner == unit.planned and "unknown rank" in unit.note and unit.table == ()
    assert result.plan == make_plan(load(model), PlanSettings(force=True, batch=ROWS))


def test_recurrent_operators_are_tuned():
    model = build_cell(np.random.default_rng(0), Cell(op="LSTM", sizes=((4, 8),) * 4)).model
    loaded = load(model)
    plan = dataclasses.replace(
        make_plan(loaded, PlanSettings(force=True, batch=ROWS)), grain=Grain()
    )  # blocks may be merged again
    result = tune(loaded, plan, TRIALS, ROWS, racer=FakeRacer(lambda way, rows: 2.0 if way == "cells 2" else 1.5))
    assert only(result).winner == "cells 2" and len(result.plan.rewrites[0].decomposition.blocks) == 2
    rewrite(load(model).graph, result.plan)


def test_progress_and_json():
    seen = []
    result, _ = tuned(twins(), lambda way, rows: 2.0, progress=lambda *done: seen.append(done))
    assert seen == [(index, 3, f"product{index}") for index in range(3)]
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["units"][0]["nodes"] == ["product0"] and data["warnings"] == []


def test_a_model_that_was_reordered_is_tuned_in_its_new_order():
    model = planted_ffn.build(np.random.default_rng(0), d=64, hidden=256, blocks=4).model
    loaded = load(model)
    plan = make_plan(loaded, PlanSettings(force=True, batch=ROWS))
    reorderings = reordered(loaded, plan)
    result = tune(loaded, reorderings, TRIALS, ROWS, racer=FakeRacer(lambda way, rows: 2.0))
    assert all(unit.note == "" for unit in result.units) and result.plan.reorderings
    x = {"x": np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)}
    changed = rewrite(loaded.graph, result.plan)
    oracles.assert_close(oracles.run(model, x), oracles.run(ir.to_proto(changed), x))


def reordered(loaded, plan):
    """A plan for the same model with the hidden units in the order of their blocks."""
    from scission.ir.axes.shared_axis import find_shared_axes
    from scission.ir.graph.view import view
    from scission.passes.planning.axis_orders import choose_orders
    from scission.passes.rewrite.reorder_axes import reorder_axes

    seen = view(loaded.graph)
    orders = choose_orders(
        find_shared_axes(seen.found, seen.model), {step.node: step.decomposition for step in plan.steps}
    )
    assert orders
    changed = reorder_axes(loaded.graph, orders)
    return dataclasses.replace(make_plan(load(changed), PlanSettings(force=True, batch=ROWS)), reorderings=orders)
