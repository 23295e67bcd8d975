import dataclasses
import json
import zlib

import numpy as np
import onnx
import oracles
import pytest
from factored import fourier, hadamard, kronecker, product_model
from framed import bank, conv_model, emphasised_model, mel_of, power_of, stft_model
from hierarchical import DAUBECHIES, wavelet
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from races import FakeRacer
from random_convolutions import Grown
from random_prepared import SIZES, random_prepared
from tune_examples import TRIALS

import scission
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
from scission.ir.plan.preparation import Preparation
from scission.ir.reason import Cause
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.tune import preparations
from scission.runtime.tune import tune as tuning
from scission.runtime.tune.preparations import tune_preparations
from scission.runtime.tune.tune import tune

ROWS = (512,)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tuning.json"


def planner(loaded, batch=ROWS, sizes=None):
    """What makes plans of a model, and those that it made."""
    plans = []

    def make(taken_back=(), measured=()):
        asked = PlanSettings(batch=batch, sizes=sizes, taken_back=taken_back, measured=measured)
        plans.append(make_plan(loaded, asked))
        return plans[-1]

    return make, plans


def raced(model, speed, *, batch=ROWS, spread=1.01, samples=8000, **options):
    """(Tuned, calls of the racer) with speeds from a function of way and rows; samples: of signals, where predicted."""
    signals = any(dim.dim_param == "n" for one in model.graph.input for dim in one.type.tensor_type.shape.dim[1:])
    sizes, batch = ({"n": 8000}, [4]) if signals else (None, batch)
    loaded, racer = load(model), FakeRacer(speed, spread)
    make, _ = planner(loaded, batch, sizes)
    trials = dataclasses.replace(TRIALS, sizes={"n": samples} if signals else None)
    return tune_preparations(loaded, make, trials, batch, racer=racer, **options), racer.calls


def only(result):
    (unit,) = result.units
    return unit


def carried_out(model, plan):
    """A model rewritten by a plan that was written to a file."""
    return ir.to_proto(rewrite(load(model).graph, Plan.loads(plan.dumps())))


def same(model, plan, feeds):
    expected = ReferenceEvaluator(model).run(None, feeds)
    oracles.assert_close(expected, oracles.run(carried_out(model, plan), feeds), 1e-4)


def x(*shape):
    return {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}


MELS = bank(101, 24, np.random.default_rng(0))
WINDOW = np.hanning(201)[:-1]
FRONT = conv_model(fourier(200, window=WINDOW), 80, then=[*power_of(101, "p"), *mel_of(MELS)], pads=(100, 100))
EMPHASISED = emphasised_model(fourier(200, window=WINDOW), 80, 0.97, then=[*power_of(101, "p"), *mel_of(MELS)])
DFT = Grown(0)
DFT.opset, DFT.inputs["x"], DFT.feeds["x"] = 17, ["b", 200, 1], np.zeros(1, np.float32)
DFT = DFT.model(DFT.op("DFT", "x", axis=1, onesided=1))
KINDS = {
    "factors": (product_model(hadamard(512)), (5, 512)),
    "hierarchical": (product_model(wavelet(512, DAUBECHIES)), (5, 512)),
    "frames": (FRONT, (2, 1, 700)),
    "filtered": (EMPHASISED, (2, 700)),
    "stft": (stft_model(WINDOW, 80, x=("b", "n", 1)), (2, 700, 1)),
    "dft": (DFT, (3, 200, 1)),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_faster_stays_and_is_told_to_be(name):
    model, shape = KINDS[name]
    result, calls = raced(model, lambda way, rows: 3.0 if "then" in way else 2.0)
    assert calls and result.plan.preparations
    for one in result.plan.preparations:
        assert "; measured " in one.reason.text and "x the speed of dense (batch " in one.reason.text
    for unit in result.units:
        assert unit.winner == unit.planned and unit.preparation and unit.settled and not unit.note
        assert [way.problem for way in unit.table if way.problem] == []
    same(model, result.plan, x(*shape))


@pytest.mark.parametrize("name", KINDS)
def test_what_is_slower_is_taken_back_and_the_plan_says_why(name):
    model, shape = KINDS[name]
    result, _ = raced(model, lambda way, rows: 0.8)
    assert result.plan.preparations == () and {unit.winner for unit in result.units} == {"dense"}
    refused = [one for one in result.plan.refused if one.reason.cause is Cause.SLOWER]
    assert len(refused) == len(result.units) > 0
    assert all("is measured 0.80x the speed of dense (batch " in one.reason.text for one in refused)
    assert [one.reason for one in Plan.loads(result.plan.dumps()).refused] == [
        one.reason for one in result.plan.refused
    ]
    same(model, result.plan, x(*shape))


def test_a_clearly_faster_form_of_the_same_takes_its_place():
    model, shape = KINDS["factors"]
    planned = make_plan(load(model), PlanSettings(batch=ROWS)).preparations[0]
    forms = {}
    ways = [way.way for way in only(raced(model, lambda way, rows: 2.0, cache=False)[0]).table]
    assert {"factors 2, features first", "factors 2, rows first"} <= set(ways)
    for wanted in ways:
        result, calls = raced(model, lambda way, rows, wanted=wanted: 4.0 if way == wanted else 2.0, cache=False)
        (one,) = result.plan.preparations
        assert only(result).winner == wanted and len(calls) == 1
        assert one.splits == planned.splits and "measured 4.00x" in one.reason.text
        forms[one.rows_first] = oracles.operators(carried_out(model, result.plan))
        same(model, result.plan, x(*shape))
    assert len(forms) == len(ways) == len({tuple(sorted(one.items())) for one in forms.values()})


def test_fewer_stages_may_be_faster():
    rng = np.random.default_rng(0)
    whole = kronecker(*(rng.standard_normal((8, 8)) for _ in range(3)))
    model = product_model(whole[rng.permutation(512)][:, rng.permutation(512)])
    (planned,) = make_plan(load(model), PlanSettings(batch=[256])).preparations
    ways = [way.way for way in only(raced(model, lambda way, rows: 2.0, batch=[256], cache=False)[0]).table]
    counts = {way.split(",")[0] for way in ways}
    assert len(counts) > 1
    for wanted in ways:
        result, _ = raced(
            model, lambda way, rows, wanted=wanted: 4.0 if way == wanted else 2.0, batch=[256], cache=False
        )
        (one,) = result.plan.preparations
        assert only(result).winner == wanted and one.splits == planned.splits[: len(one.splits)]
        same(model, result.plan, x(5, 512))


def test_blocks_of_other_sizes_may_be_faster():
    model, shape = KINDS["hierarchical"]
    ways = [way.way for way in only(raced(model, lambda way, rows: 2.0, cache=False)[0]).table]
    others = [way for way in ways if way.startswith("hierarchical")]
    assert len(others) > 1
    result, _ = raced(model, lambda way, rows: 4.0 if way == others[-1] else 2.0)
    assert f"hierarchical {result.plan.preparations[0].block}" == others[-1] == only(result).winner
    same(model, result.plan, x(*shape))


def test_what_is_planned_without_it_may_be_faster():
    """Groups of outputs that share inputs: the preparation goes, and the step is what is tuned."""
    model, shape = KINDS["hierarchical"]
    result, _ = raced(model, lambda way, rows: 2.0 if way.startswith("hierarchical") else 5.0)
    unit = only(result)
    assert result.plan.preparations == () and unit.winner in {way.way for way in unit.table} - {"dense"}
    (one,) = [one for one in result.plan.refused if one.kind == "hierarchical"]
    assert one.reason.cause is Cause.SLOWER and f"2.00x the speed of dense, {unit.winner} 5.00x" in one.reason.text
    loaded = load(model)
    after = tune(loaded, result.plan, TRIALS, ROWS, racer=FakeRacer(lambda way, rows: 5.0))
    assert len(after.plan.rewrites) == 1
    same(model, after.plan, x(*shape))


def test_another_preparation_may_be_faster():
    model, shape = KINDS["stft"]
    result, _ = raced(model, lambda way, rows: 5.0 if way == "convolution" else 2.0)
    assert [unit.planned for unit in result.units] == ["frames 10", "convolution"]
    assert [one.kind for one in result.plan.preparations] == ["convolutions"]
    same(model, result.plan, x(*shape))


def test_what_a_preparation_makes_may_be_prepared_again_and_both_are_raced():
    model, shape = KINDS["dft"]
    result, _ = raced(model, lambda way, rows: 3.0 if "then" in way else 0.5)
    first, second = result.units
    assert first.winner.startswith("matrix then factors") and second.winner == "dense"
    assert [one.kind for one in result.plan.preparations] == ["convolutions"]
    same(model, result.plan, x(*shape))
    result, _ = raced(model, lambda way, rows: 0.5, cache=False)
    assert [unit.nodes for unit in result.units] == [("DFT0",)]  # what it would make is not raced


def test_what_a_preparation_makes_may_be_faster_as_it_is():
    model, shape = KINDS["dft"]
    result, _ = raced(model, lambda way, rows: 0.6 if "then" in way else 3.0)
    (unit,) = result.units
    assert "then" in unit.planned and unit.winner == "matrix"
    (one,) = result.plan.preparations
    assert one.kind == "convolutions" and "measured 3.00x" in one.reason.text
    (gone,) = [one for one in result.plan.refused if one.reason.cause is Cause.SLOWER]
    assert gone.kind == "factors" and "0.60x the speed of dense, matrix 3.00x" in gone.reason.text
    same(model, result.plan, x(*shape))


def test_what_is_not_clear_stays_as_planned_and_is_not_kept(cache):
    model, _ = KINDS["factors"]
    result, calls = raced(model, lambda way, rows: 1.1, spread=2.5)
    unit = only(result)
    assert calls and unit.winner == unit.planned and not unit.settled and "not measurable" in unit.note
    assert len(result.plan.preparations) == 1 and not cache.exists()


def test_what_cannot_be_run_by_itself_stays_as_planned():
    """Signals shorter than a frame."""
    result, calls = raced(KINDS["stft"][0], lambda way, rows: 0.5, samples=100)
    unit = only(result)
    assert not calls and unit.winner == unit.planned and "cannot be measured by itself" in unit.note
    assert len(result.plan.preparations) == 1 and unit.table == ()


def test_a_form_that_computes_something_else_is_taken_back(monkeypatch):
    def wrong(model, found):
        changed = real(model, found)
        if found:
            for value in changed.graph.initializers.values():
                if value.const_value.dtype == ir.DataType.FLOAT:
                    value.const_value = ir.Tensor(value.const_value.numpy() * np.float32(1.01), name=value.name)
        return changed

    real = preparations.prepared
    monkeypatch.setattr(preparations, "prepared", wrong)
    for name in KINDS:
        result, _ = raced(KINDS[name][0], lambda way, rows: 9.0)
        assert result.plan.preparations == () and "allowed" in result.units[0].table[0].problem.text, name
        refused = [one for one in result.plan.refused if one.reason.cause is Cause.DIFFERENT]
        assert len(refused) == len(result.units), name


def test_what_computes_something_else_says_nothing_of_other_weights(monkeypatch):
    def wrong(model, found):
        changed = real(model, found)
        if model.graph.name == "MatMul0" and found:
            for value in changed.graph.initializers.values():
                if value.const_value.dtype == ir.DataType.FLOAT:
                    value.const_value = ir.Tensor(value.const_value.numpy() * np.float32(1.01), name=value.name)
        return changed

    real = preparations.prepared
    monkeypatch.setattr(preparations, "prepared", wrong)
    result, _ = raced(alike(3), lambda way, rows: 2.0)
    assert [one.nodes for one in result.plan.preparations] == [("MatMul2",), ("MatMul4",)]
    assert [unit.source for unit in result.units] == ["measured", "measured", "MatMul2"]


def test_what_is_forced_stays_however_slow_it_is():
    model, _ = KINDS["factors"]
    result, _ = raced(model, lambda way, rows: 0.5, force=True)
    assert len(result.plan.preparations) == 1 and only(result).winner == only(result).planned


def alike(count):
    made = Grown(0)
    made.opset, made.inputs["x"], made.feeds["x"] = 17, ["n", 512], np.zeros(1, np.float32)
    value = "x"
    for place in range(count):
        weight = hadamard(512) * np.float32(2.0**-place / 16)
        value = made.op("Tanh", made.op("MatMul", value, made.constant(weight)))
    return made.model(value)


def test_equal_ones_are_measured_once_and_remembered(cache):
    result, calls = raced(alike(3), lambda way, rows: 2.0)
    assert [unit.source for unit in result.units] == ["measured", "MatMul0", "MatMul0"] and len(calls) == 1
    again, calls = raced(alike(3), lambda way, rows: 1 / 0)
    assert not calls and {unit.source for unit in again.units} == {"cache"}
    assert again.plan == result.plan
    (entry,) = json.loads(cache.read_text())["entries"].values()
    assert entry["what"]["unit"]["weights"] == [[512, 512]] and entry["winner"] == 0


def test_what_was_measured_before_it_was_killed_is_there():
    """Ended in its second race, as by `kill -9`: what was written after the first one is all that there is."""
    made = Grown(0)
    made.opset, made.inputs["x"], made.feeds["x"] = 17, ["n", 512], np.zeros(1, np.float32)
    value = made.op("Tanh", made.op("MatMul", "x", made.constant(hadamard(512))))
    model = made.model(made.op("MatMul", value, made.constant(wavelet(512, DAUBECHIES))))

    class Killed(BaseException):
        pass

    seen = []

    def speed(way, rows):
        seen.append(way.split()[0])
        if {"hierarchical", "factors"} <= set(seen):
            raise Killed
        return 2.0

    with pytest.raises(Killed):
        raced(model, speed)
    done = seen[0]
    result, calls = raced(model, lambda way, rows: 2.0)
    assert len(calls) == 1 and not any(way.startswith(done) for way in calls[0][0])
    assert [unit.source for unit in result.units if unit.planned.startswith(done)] == ["cache"]
    assert len(result.plan.preparations) == 2


def test_what_is_split_beside_preparations_is_tuned_as_ever():
    made = Grown(0)
    made.opset, made.inputs["x"], made.feeds["x"] = 17, ["n", 512], np.zeros(1, np.float32)
    value = made.op("Softmax", made.op("MatMul", "x", made.constant(hadamard(512))))
    blocks = np.kron(np.eye(8), np.random.default_rng(0).standard_normal((64, 64))).astype(np.float32)
    model = made.model(made.op("MatMul", value, made.constant(blocks)))
    loaded = load(model)
    plan = make_plan(loaded, PlanSettings(batch=ROWS))
    assert plan.preparations and plan.rewrites
    result = tune(loaded, plan, TRIALS, ROWS, racer=FakeRacer(lambda way, rows: 3.0))
    assert (
        only(result).winner == only(result).planned and [way.problem for way in only(result).table if way.problem] == []
    )
    same(model, result.plan, x(5, 512))


def test_the_table_of_what_was_measured_tells_them_apart():
    model, _ = KINDS["factors"]
    result, _ = raced(model, lambda way, rows: 2.0)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))["units"][0]
    assert told["preparation"] == "factors" and told["planned"] == told["winner"] == "factors 2, rows first"


def at_sizes(model):
    """Trials with a size for each open dimension, and no batch."""
    named = {dim.dim_param for one in model.graph.input for dim in one.type.tensor_type.shape.dim if dim.dim_param}
    return dataclasses.replace(TRIALS, sizes={name: SIZES[name] for name in named}), None


def drawn(seed, least=0.5, most=3.0):
    """Speeds of ways that a seed draws, the same wherever they are asked for."""

    def speed(way, rows):
        share = zlib.crc32(f"{seed}/{way}".encode()) / 2**32
        return least * (most / least) ** share

    return speed


def chosen(result, speed):
    """Whether what is kept is as fast as anything that was raced, and none of it slower than dense."""
    for unit in result.units:
        best = max([1.0, *(speed(way.way, 1) for way in unit.table if not way.problem)])
        won = 1.0 if unit.winner == "dense" else speed(unit.winner, 1)
        if unit.settled and unit.table:
            assert won >= 1.0 and won * 1.1 >= best, unit


@settings(max_examples=4)
@example(3)
@example(11)
@given(st.integers(0, 10**6))
def test_whatever_is_fastest_the_model_computes_what_it_did(seed):
    model, feeds = random_prepared(seed)
    speed = drawn(seed)
    loaded, racer = load(model), FakeRacer(speed)
    trials, batch = at_sizes(model)
    make, _ = planner(loaded, batch, trials.sizes)
    before = tune_preparations(loaded, make, trials, batch, racer=racer, cache=False)
    chosen(before, speed)
    after = tune(loaded, before.plan, trials, batch, racer=racer, cache=False)
    assert Plan.loads(after.plan.dumps()) == after.plan
    assert after.plan.preparations == before.plan.preparations
    same(model, after.plan, feeds)


def test_a_plan_that_is_tuned_again_stays_what_it_is():
    (model, _), speed = random_prepared(3), drawn(3)
    loaded, (trials, batch) = load(model), at_sizes(model)
    make, plans = planner(loaded, batch, trials.sizes)
    first = tune_preparations(loaded, make, trials, batch, racer=FakeRacer(speed))
    second = tune_preparations(loaded, make, trials, batch, racer=FakeRacer(lambda way, rows: 1 / 0))
    assert first.plan == second.plan and len(plans) > 2


def test_it_is_done_by_plan_and_optimize(monkeypatch):
    for one in (tuning.tune, preparations.tune_preparations):
        racer = FakeRacer(lambda way, rows: 0.5 if way.startswith("factors") else 2.0)
        monkeypatch.setattr(one, "__kwdefaults__", {**one.__kwdefaults__, "racer": racer})
    model = alike(1)
    plan = scission.plan(model, tune=True, provider="cpu", threads=1, batch=[512])
    assert not plan.changes and plan.refused[0].reason.cause is Cause.SLOWER
    found = scission.optimize(model, tune=True, provider="cpu", threads=1, batch=[512], bench=False)
    assert found.outcome == "unchanged" and found.reason.endswith("1 other form was measured and is no faster")
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [one["preparation"] for one in told["tuning"]["units"]] == ["factors"]
    assert isinstance(found.model, onnx.ModelProto) and found.model == model


def test_preparations_that_others_ask_for_are_the_planned_ones_unless_measured():
    model, _ = KINDS["factors"]
    (one,) = make_plan(load(model), PlanSettings(batch=ROWS)).preparations
    assert isinstance(one, Preparation)
    other = dataclasses.replace(one, rows_first=0)
    (found,) = make_plan(load(model), PlanSettings(batch=ROWS, measured=(other,))).preparations
    assert found == other != one
