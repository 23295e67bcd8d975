from itertools import pairwise

import numpy as np
import onnx
import pytest
from annealable import SIGMA, network

import scission
from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.plan.plan import Plan, PlanError
from scission.ir.reason import Cause
from scission.runtime.calibrate.annealer import Annealer, AnnealOptionsError
from scission.runtime.calibrate.budget_search import select, without_useless
from scission.runtime.calibrate.dataset import read_labelled
from scission.runtime.calibrate.metric.metric import MetricError, parse_budget
from scission.runtime.ort.session import open_session
from scission.runtime.ort.tensor_spec import TensorSpec
from scission.runtime.ort.trials import Trials
from scission.runtime.pipeline import attempt

INIT = f"normal:{SIGMA}"
BLOCKS = Annealer(method="blocks", init=INIT)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Three weights; noise in the second one costs more, because its signal is weak."""
    folder = tmp_path_factory.mktemp("selection")
    rng = np.random.default_rng(3)
    model, weights, labels = network(rng, (64, 96, 96, 64), signal=8.0)
    onnx.save(model, folder / "m.onnx")
    np.savez(folder / "d.npz", x=rng.standard_normal((80, 64)).astype(np.float32))
    data = read_labelled(folder / "d.npz", [TensorSpec(name="x", dtype="float32", shape=("n", 64))])
    return folder, weights, labels, data


def run(path, x):
    return open_session(path).run({"x": x})["y"]


def chosen_nodes(selection):
    return sorted(one.node for one in selection.annealing)


def test_a_wide_budget_takes_all_and_a_narrow_one_none(case):
    folder, _, _, data = case
    model = load(folder / "m.onnx")
    wide = select(model, BLOCKS, data, parse_budget("cosine<=0.5"), Trials())
    assert chosen_nodes(wide) == ["l0", "l1", "l2"] and not wide.refused and not wide.reason
    assert wide.held_back.drop <= 0.5 and wide.tuning.drop <= 0.5 and wide.samples == 40
    assert "cosine" in wide.effect and "40 samples" in wide.effect
    none = select(model, BLOCKS, data, parse_budget("cosine<=0.000001"), Trials())
    assert none.chosen == () and none.held_back is None and none.effect == ""
    assert "alone it already costs" in none.reason and len(none.refused) == 3


def test_what_is_chosen_is_within_the_budget_on_data_it_never_saw(case):
    folder, _, _, data = case
    model = load(folder / "m.onnx")
    all_of_it = select(model, BLOCKS, data, parse_budget("mse<=1e9"), Trials()).tuning.drop
    some = select(model, BLOCKS, data, parse_budget(f"mse<={0.6 * all_of_it}"), Trials())
    assert 0 < len(some.chosen) < 3 and some.held_back.drop <= 0.6 * all_of_it
    drops = [candidate.drop for candidate in some.chosen]
    assert drops == sorted(drops)
    assert {one.node for one in some.refused} | set(chosen_nodes(some)) == {"l0", "l1", "l2"}


def test_the_strongest_level_within_the_budget_is_taken(case):
    folder, _, _, data = case
    model = load(folder / "m.onnx")
    options = Annealer(method="neyman", init=INIT, literal=True, correction="none", alpha=0.3)
    found = select(model, options, data, parse_budget("cosine<=0.05"), Trials())
    for candidate in found.chosen:
        assert candidate.level <= 0.3 and candidate.annealing.evidence.level == candidate.level


def test_operators_that_gain_nothing_are_put_back(case):
    folder, _, _, data = case
    model = load(folder / "m.onnx")
    budget = parse_budget("cosine<=0.5")
    wide = select(model, BLOCKS, data, budget, Trials())
    assert without_useless(model, wide, {"l0", "l1", "l2"}, data, 0, budget, Trials()) is wide
    less = without_useless(model, wide, {"l1"}, data, 0, budget, Trials())
    assert chosen_nodes(less) == ["l1"] and less.held_back.drop < wide.held_back.drop
    nothing = without_useless(model, wide, set(), data, 0, budget, Trials())
    assert nothing.chosen == () and "not predicted to be faster" in nothing.reason


def test_optimize_anneals_splits_and_says_so(case, tmp_path):
    folder, weights, labels, data = case
    result = scission.optimize(
        folder / "m.onnx",
        tmp_path / "out.onnx",
        anneal=BLOCKS,
        data=folder / "d.npz",
        max_drop="cosine<=0.5",
        force=True,
        bench=False,
    )
    assert result.outcome == "split" and result.verdict.equal and len(result.plan.annealing) == 3
    x = data.arrays["x"]
    expected = x
    for weight, left, right in zip(weights, labels[:-1], labels[1:], strict=True):
        expected = np.maximum(expected, 0) if expected is not x else expected
        expected = expected @ np.where(left[:, None] == right[None, :], weight, 0)
    assert np.allclose(run(tmp_path / "out.onnx", x), expected, atol=1e-4)
    note = {entry.key: entry.value for entry in onnx.load(tmp_path / "out.onnx").metadata_props}
    assert '"tests": ["blocks"]' in note["scission.annealing"] and "cosine" in note["scission.annealing"]
    assert result.to_dict()["annealing"]["removed"][0]["weight"].startswith("W")
    again = scission.apply(folder / "m.onnx", Plan.loads(result.plan.dumps()), tmp_path / "again.onnx")
    assert np.array_equal(run(again, x), run(tmp_path / "out.onnx", x))


def test_restored_operators_are_those_of_the_original(case, tmp_path):
    folder, weights, labels, data = case
    plan = scission.plan(folder / "m.onnx", anneal=BLOCKS, force=True)
    assert len(plan.annealing) == 3 and {step.node for step in plan.rewrites} == {"l0", "l1", "l2"}
    all_back = plan.restored(["l0", "l1", "l2"])
    assert scission.apply((folder / "m.onnx").read_bytes(), all_back) == (folder / "m.onnx").read_bytes()
    one = scission.apply(folder / "m.onnx", plan.restored(["l1"]), tmp_path / "one.onnx")
    x = data.arrays["x"]
    expected = x
    for index, (weight, left, right) in enumerate(zip(weights, labels[:-1], labels[1:], strict=True)):
        expected = np.maximum(expected, 0) if index else expected
        kept = weight if index == 1 else np.where(left[:, None] == right[None, :], weight, 0)
        expected = expected @ kept
    assert np.allclose(run(one, x), expected, atol=1e-4)
    with pytest.raises(PlanError, match="nothing to restore"):
        plan.restored(["nobody"])


def test_refit_lowers_the_error_and_no_plan_holds_it(case, tmp_path):
    folder, _, _, _ = case
    rng = np.random.default_rng(5)
    mix = rng.standard_normal((8, 64)).astype(np.float32)  # inputs that depend on each other, so blocks can take over
    x = (rng.standard_normal((1200, 8)) @ mix + 0.1 * rng.standard_normal((1200, 64))).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x)
    data = read_labelled(tmp_path / "d.npz", [TensorSpec(name="x", dtype="float32", shape=("n", 64))])
    model, budget = load(folder / "m.onnx"), parse_budget("cosine<=0.5")
    plain = select(model, BLOCKS, data, budget, Trials())
    fitted = select(model, Annealer(method="blocks", init=INIT, refit=True), data, budget, Trials())
    assert fitted.held_back.drop < plain.held_back.drop / 2 and set(fitted.refitted) == {"l0", "l1", "l2"}
    result = scission.optimize(
        folder / "m.onnx",
        tmp_path / "out.onnx",
        anneal=Annealer(method="blocks", init=INIT, refit=True),
        data=data,
        max_drop="cosine<=0.5",
        force=True,
        bench=False,
    )
    assert result.outcome == "split" and all(one.refitted for one in result.plan.annealing)
    with pytest.raises(PlanError, match="fitted again"):
        scission.apply(folder / "m.onnx", result.plan, tmp_path / "again.onnx")
    assert not (tmp_path / "again.onnx").exists()


def test_too_few_samples_are_not_learnt_by_heart(case):
    folder, _, _, data = case
    model = load(folder / "m.onnx")
    found = select(model, Annealer(method="blocks", init=INIT, refit=True), data, parse_budget("cosine<=0.5"), Trials())
    assert found.refitted == {} and all("not refitted" in " ".join(a.evidence.notes) for a in found.annealing)


def test_a_veto_by_calibration_data(case):
    folder, _, _, data = case
    model = load(folder / "m.onnx")
    found = select(model, Annealer(method="blocks", init=INIT, veto=1e-6), data, parse_budget("cosine<=0.5"), Trials())
    assert found.chosen == () and all(one.reason.cause is Cause.VETOED for one in found.refused)


def test_nothing_lossy_happens_without_data_and_a_bound(case, tmp_path):
    folder, _, _, _ = case
    for options in ({}, {"data": folder / "d.npz"}, {"max_drop": "cosine<=0.1"}):
        with pytest.raises(AnnealOptionsError, match="annealing is lossy"):
            scission.optimize(folder / "m.onnx", tmp_path / "o.onnx", anneal=BLOCKS, **options)
    assert not (tmp_path / "o.onnx").exists()
    with pytest.raises(AnnealOptionsError, match="a plan knows no data"):
        scission.plan(folder / "m.onnx", anneal=Annealer(method="blocks", refit=True))


def test_a_refusal_hands_the_original_back(case, tmp_path):
    folder, _, _, _ = case
    result = scission.optimize(
        folder / "m.onnx", tmp_path / "o.onnx", anneal=BLOCKS, data=folder / "d.npz", max_drop="cosine<=1e-9"
    )
    assert result.outcome == "unchanged" and "nothing was annealed" in result.reason
    assert (tmp_path / "o.onnx").read_bytes() == (folder / "m.onnx").read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("metric", ["cosine<=0", "mse<=0", "argmax<=0"])
def test_data_on_which_the_original_has_no_answer_prove_nothing(case, tmp_path, bad, metric):
    folder, _, _, data = case
    x = data.arrays["x"].copy()
    x[:, 3] = bad
    with pytest.raises(MetricError, match="of the original is NaN or infinite in"):
        scission.optimize(folder / "m.onnx", tmp_path / "o.onnx", anneal=BLOCKS, data={"x": x}, max_drop=metric)
    assert not (tmp_path / "o.onnx").exists()


@pytest.mark.parametrize("victim", ["data.npz", "labels.npy", "start.npz"])
@pytest.mark.parametrize("beside", [False, True], ids=["the output itself", "its data file"])
def test_no_input_is_ever_written_to(case, tmp_path, victim, beside):
    folder, weights, _, data = case
    name = victim if not beside else "out.onnx.data"
    np.savez(tmp_path / "data.npz", **data.arrays)
    np.save(tmp_path / "labels.npy", np.zeros(80, int))
    np.savez(tmp_path / "start.npz", **{f"W{index}": weight for index, weight in enumerate(weights)})
    (tmp_path / victim).rename(tmp_path / name)
    files = {"data.npz": tmp_path / "data.npz", "labels.npy": tmp_path / "labels.npy", "start.npz": None}
    files[victim] = tmp_path / name
    options = Annealer(method="update", initial=files["start.npz"]) if victim == "start.npz" else BLOCKS
    before = (tmp_path / name).read_bytes()
    with pytest.raises(ModelError, match="is the input itself"):
        scission.optimize(
            folder / "m.onnx",
            tmp_path / ("out.onnx" if beside else name),
            anneal=options,
            data=files["data.npz"],
            labels=files["labels.npy"],
            max_drop="cosine<=1",
            overwrite=True,
        )
    assert (tmp_path / name).read_bytes() == before


def test_nodes_without_names_keep_their_addresses_beside_residual_entries(tmp_path):
    rng = np.random.default_rng(7)
    model, _, labels = network(rng, (96, 96, 96), signal=8.0)
    for node in model.graph.node:
        node.name = ""
    for index, (left, right) in enumerate(pairwise(labels)):
        weight = onnx.numpy_helper.to_array(model.graph.initializer[index]).copy()
        weight[np.flatnonzero(left == 0)[0], np.flatnonzero(right == 1)[0]] = 3.0
        model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(weight, f"W{index}"))
    onnx.save(model, tmp_path / "m.onnx")
    plan = scission.plan(tmp_path / "m.onnx", anneal=BLOCKS, force=True)
    nodes = ["MatMul#0", "MatMul#2"]
    assert [one.node for one in plan.annealing] == nodes and all(one.residual for one in plan.annealing)
    assert {step.node for step in plan.rewrites} == set(nodes)
    scission.apply(tmp_path / "m.onnx", plan, tmp_path / "all.onnx")
    scission.apply(tmp_path / "m.onnx", plan.restored(["MatMul#0"]), tmp_path / "second.onnx")
    back = scission.apply((tmp_path / "m.onnx").read_bytes(), plan.restored(nodes))
    assert back == (tmp_path / "m.onnx").read_bytes()


def test_dropped_residual_entries_are_told(tmp_path):
    rng = np.random.default_rng(7)
    model, weights, labels = network(rng, (96, 96), signal=8.0)
    weight = weights[0].copy()
    weight[np.flatnonzero(labels[0] == 0)[:4], np.flatnonzero(labels[1] == 1)[:4]] = 2.0
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "W0"))
    options = Annealer(method="blocks", init=INIT, drop_residual=True)
    (one,) = scission.plan(model, anneal=options, force=True).annealing
    assert (
        not one.residual
        and "4 residual weights outside the blocks are removed as well, up to 40.0 sigma" in one.evidence.notes
    )


def test_what_is_slower_hands_back_all_weights_and_says_so(case, tmp_path, monkeypatch):
    folder, _, _, data = case
    monkeypatch.setattr(attempt, "_judge", lambda *_: ("slower", "measured 0.5x"))
    result = scission.optimize(
        folder / "m.onnx",
        tmp_path / "o.onnx",
        anneal=BLOCKS,
        data=data,
        max_drop="cosine<=0.5",
        force=True,
        bench=False,
    )
    assert result.outcome == "slower" and (tmp_path / "o.onnx").read_bytes() == (folder / "m.onnx").read_bytes()
    told = result.to_dict()["annealing"]
    assert told["removed"] == [] == told["chosen"] and result.plan.annealing == ()
    assert "measured 0.5x" in told["reason"]


def test_data_held_back_are_looked_at_once(case):
    folder, _, _, data = case
    model = load(folder / "m.onnx")
    wide = select(model, BLOCKS, data, parse_budget("cosine<=0.5"), Trials())
    limit = (wide.tuning.drop + wide.held_back.drop) / 2
    found = select(model, BLOCKS, data, parse_budget(f"cosine<={limit}"), Trials())
    if wide.tuning.drop < wide.held_back.drop:
        assert found.chosen == () and "on the data held back" in found.reason
    else:
        assert len(found.chosen) < 3


def test_a_plan_removes_nothing_where_nothing_is_split():
    model, _, _ = network(np.random.default_rng(0), (32, 32), signal=8.0)
    plan = scission.plan(model, anneal=BLOCKS)
    assert plan.annealing == () and plan.rewrites == ()
    assert plan.steps[0].reason.text.startswith("not annealed: annealed it would not be split")
    assert (
        "noise"
        in scission.plan(network(np.random.default_rng(0), (64, 64), signal=0.0)[0], anneal="blocks")
        .steps[0]
        .reason.text
    )


def test_an_annealing_that_is_worth_it_for_the_error_alone_is_offered_with_its_figures(case, tmp_path):
    """The labels are those of a network without the noise."""
    folder, weights, labels, data = case
    clean = onnx.load(folder / "m.onnx")
    for index, (weight, (left, right)) in enumerate(zip(weights, pairwise(labels), strict=True)):
        quiet = np.where(left[:, None] == right, weight, 0)
        clean.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(quiet, f"W{index}"))
    onnx.save(clean, tmp_path / "clean.onnx")
    x = np.load(folder / "d.npz")["x"]
    np.savez(tmp_path / "d.npz", x=x, y=run(tmp_path / "clean.onnx", x))
    labelled = read_labelled(tmp_path / "d.npz", [TensorSpec(name="x", dtype="float32", shape=("n", 64))])
    model, budget = load(folder / "m.onnx"), parse_budget("mse<=0")
    wide = select(model, BLOCKS, labelled, budget, Trials())
    assert wide.chosen and wide.held_back.drop < 0
    nothing = without_useless(model, wide, set(), labelled, 0, budget, Trials())
    assert not nothing.chosen
    offered = [one for one in nothing.refused if one.reason.cause is Cause.ERROR_ONLY]
    assert {one.node for one in offered} == {c.annealing.node for c in wide.chosen if c.drop < 0} != set()
    assert "mse" in nothing.reason and "->" in nothing.reason and "force anneals" in nothing.reason
    assert nothing.to_dict()["refused"][-1]["cause"] == "error_only"
    made = scission.optimize(  # as the reason says
        folder / "m.onnx",
        tmp_path / "out.onnx",
        anneal=BLOCKS,
        data=tmp_path / "d.npz",
        max_drop="mse<=0",
        force=True,
        bench=False,
    )
    assert made.outcome == "split" and made.selection.held_back.drop < 0
    worse = select(model, BLOCKS, data, parse_budget("cosine<=0.5"), Trials())
    refused = without_useless(model, worse, set(), data, 0, parse_budget("cosine<=0.5"), Trials()).refused
    assert {one.reason.cause for one in refused} == {Cause.NO_GAIN}
