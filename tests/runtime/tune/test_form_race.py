from typing import NamedTuple

import numpy as np
import onnx
import pytest
from races import FakeRacer, told

from scission.ir.errors import ScissionError
from scission.ir.graph.activations import Activations
from scission.ir.graph.view import View
from scission.ir.io.load import Model, load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.reason import Cause
from scission.models.planted.products import build
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.planning.units.unit import alone, plan_units
from scission.passes.rewrite.extract import extract
from scission.passes.rewrite.prepare import planned_view
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.inputs.sizes.settings import settings_of
from scission.runtime.ort.trials import Trials
from scission.runtime.tune.form_race import race_submodel

QUICK = Trials(provider="cpu", threads=1)


def prepared(source, kind="matmul-right-3", **options):
    loaded = load(source or build(np.random.default_rng(0), kind, **options).model)
    plan = make_plan(loaded, PlanSettings(force=True))
    seen = planned_view(loaded.graph, plan)
    (unit,) = plan_units(plan, seen)
    part = extract(seen, unit.operators, unit.inner)
    return Prepared(loaded, seen, part, rewrite(part, alone(plan, unit.steps, ())))


class Prepared(NamedTuple):
    home: Model
    seen: View
    part: ir.Model
    form: ir.Model

    def race(self, forms, batch, trials=QUICK, **options):
        activations = Activations(self.seen.model, settings_of(self.home, batch, trials.sizes))
        return race_submodel(self.home, self.part, forms, activations, trials=trials, **options)


def test_every_form_is_raced_with_dense_at_every_row_count():
    case = prepared(None)
    racer = FakeRacer(lambda way, rows: {"a": 2.0, "b": 3.0}[way])
    races = case.race({"a": case.form, "b": case.form}, (1, 16), racer=racer)
    assert races.counts == (1, 16) and [names for names, _ in racer.calls] == [("dense", "a", "b")] * 2
    assert (
        races.forms["a"].speeds == (2.0, 2.0)
        and races.forms["b"].worst == 3.0
        and races.forms["b"].lowest == (told(3.0), 0)
    )


def test_forms_stand_beside_one_another_and_hopeless_is_only_what_is_so_clearly():
    case = prepared(None)
    racer = FakeRacer(lambda way, rows: {"a": 0.6, "b": 3.0}[way], spread=2.0)
    races = case.race({"a": case.form, "b": case.form}, (1, 16), racer=racer)
    assert races.beside("b", "a") == (told(5.0, 2.0),) * 2 and races.forms["a"].complete
    assert len(racer.calls) == 2 and racer.calls[1][0] == ("dense", "a", "b")


def test_a_form_that_cannot_win_any_more_is_not_run_again():
    case = prepared(None)
    racer = FakeRacer(lambda way, rows: 0.5 if way == "slow" else 2.0)
    races = case.race({"slow": case.form, "a": case.form}, (1, 4, 16), racer=racer)
    assert (
        races.forms["slow"].speeds == (0.5, None, None)
        and races.forms["slow"].worst == 0
        and races.forms["slow"].lowest == (told(0.5), 0)
    )
    assert [names for names, _ in racer.calls] == [("dense", "slow", "a"), ("dense", "a"), ("dense", "a")]
    races = case.race({"slow": case.form}, (1, 4, 16), racer=racer)
    assert races.forms["slow"].speeds == (0.5, None, None) and len(racer.calls) == 4


def test_a_wrong_form_is_thrown_out_and_says_so():
    case = prepared(None)
    wrong = case.form.clone()
    for value in wrong.graph.initializers.values():
        if value.const_value.dtype == ir.DataType.FLOAT:
            value.const_value = ir.Tensor(value.const_value.numpy() * np.float32(1.01), name=value.name)
    broken = case.form.clone()
    broken.graph[0].op_type = "NoSuchOperator"
    racer = FakeRacer(lambda way, rows: 9.0)
    forms = {"wrong": wrong, "broken": broken, "right": case.form}
    races = case.race(forms, (1, 16), racer=racer)
    differs, refused = races.forms["wrong"].problem, races.forms["broken"].problem
    assert (differs.cause, refused.cause) == (Cause.DIFFERENT, Cause.REFUSED)
    assert "allowed" in differs.text and "NoSuchOperator" in refused.text
    assert races.forms["wrong"].worst == races.forms["broken"].worst == 0 and races.forms["right"].worst == 9
    assert all(names == ("dense", "right") for names, _ in racer.calls)
    races = case.race({"wrong": wrong}, (1,), racer=racer)
    assert races.forms["wrong"].problem and len(racer.calls) == 2


def test_sizes_of_the_user_hold_where_the_submodel_has_the_symbol():
    case = prepared(None)
    symbol = next(dim.value for dim in case.part.graph.inputs[0].shape if not isinstance(dim, int))
    trials = Trials(provider="cpu", threads=1, sizes={symbol: 5})
    racer = FakeRacer(lambda way, rows: 2.0)
    case.race({"a": case.form}, (16,), trials, racer=racer)
    assert racer.calls[0][1] == 5


def test_fixed_sizes_are_run_once():
    model = build(np.random.default_rng(0), "matmul-right-2").model
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = 7
    case = prepared(model)
    racer = FakeRacer(lambda way, rows: 2.0)
    races = case.race({"a": case.form}, (1, 16), racer=racer)
    assert races.counts == (None,) and races.forms["a"].speeds == (2.0,) and [rows for _, rows in racer.calls] == [7]


@pytest.mark.parametrize("external", [False, True])
def test_weights_are_read_from_where_they_lie(external, tmp_path):
    model = build(np.random.default_rng(0), "matmul-right-3").model
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=external, location="data", size_threshold=0)
    case = prepared(tmp_path / "m.onnx")
    races = case.race({"a": case.form}, (3,), racer=FakeRacer(lambda way, rows: 2.0))
    assert races.forms["a"].problem is None and races.forms["a"].worst == 2


def test_what_onnx_runtime_refuses_dense_is_an_error():
    case = prepared(None)
    case.part.graph[0].op_type = "NoSuchOperator"
    with pytest.raises(ScissionError):
        case.race({"a": case.form}, (1,), racer=FakeRacer(lambda way, rows: 2.0))


def test_a_real_race():
    case = prepared(None)
    races = case.race({"a": case.form}, (2,), seconds=0.01)
    assert races.counts == (2,) and races.forms["a"].speeds[0] > 0 and not races.forms["a"].problem
