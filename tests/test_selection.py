import numpy as np
import onnx
import pytest
from annealable import SIGMA, network

import scission
from scission.ir.model import load
from scission.ir.plan import Plan, PlanError
from scission.runtime.annealer import Annealer, AnnealOptionsError
from scission.runtime.compare import Trials
from scission.runtime.labelled import read_labelled
from scission.runtime.metric import parse_budget
from scission.runtime.selection import select, without_useless
from scission.runtime.session import TensorSpec, open_session

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
    assert {node for node, _ in some.refused} | set(chosen_nodes(some)) == {"l0", "l1", "l2"}


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
    assert found.chosen == () and all("veto" in why for _, why in found.refused)


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
