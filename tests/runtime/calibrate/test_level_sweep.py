import dataclasses

import numpy as np
import onnx
import pytest
from annealable import SIGMA, network

from scission.ir.findings.level_sweep import strongest
from scission.ir.io.load import load
from scission.passes.anneal.edges.schemes import parse_scheme
from scission.passes.anneal.model import anneal_model
from scission.passes.anneal.settings import Anneal
from scission.runtime.calibrate import level_sweep as validation
from scission.runtime.calibrate.annealer import Annealer
from scission.runtime.calibrate.sources.columns import LabelledError
from scission.runtime.render.text.validation import to_dict, validation_view

INIT = f"normal:{SIGMA}"


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    rng = np.random.default_rng(0)
    model, weights, labels = network(rng)
    onnx.save(model, folder / "m.onnx")
    np.savez(folder / "d.npz", x=rng.standard_normal((60, 48)).astype(np.float32))
    return folder, weights, labels


def outputs(weights, x):
    for weight in weights[:-1]:
        x = np.maximum(x @ weight, 0)
    return x @ weights[-1]


def test_each_level_says_what_numpy_says_of_the_masked_weights(case):
    folder, weights, _ = case
    levels = (0.5, 1e-3, 1e-12)
    found = validation.sweep(
        folder / "m.onnx",
        folder / "d.npz",
        levels=levels,
        metric="mse",
        anneal=Annealer(method="neyman", init=INIT, literal=True),
        explain=False,
    ).sweep
    x = np.load(folder / "d.npz")["x"]
    assert [result.level for result in found.levels] == list(levels) and found.baseline == 0 and found.samples == 60
    for result in found.levels:
        threshold = parse_scheme(INIT).null(48, 96).threshold(result.level / weights[0].size)
        masked = [np.where(np.abs(weight) > threshold, weight, 0) for weight in weights]
        expected = ((outputs(masked, x) - outputs(weights, x)) ** 2).mean()
        assert result.metric == pytest.approx(expected, rel=1e-3)
        assert result.drop == pytest.approx(expected, rel=1e-3)
        kept = sum(int((weight != 0).sum()) for weight in masked) / sum(weight.size for weight in weights)
        assert result.kept == pytest.approx(kept) == pytest.approx(result.confirmed)


def test_blocks_are_found_and_filled(case):
    folder, _, labels = case
    found = validation.sweep(folder / "m.onnx", folder / "d.npz", anneal=Annealer(method="blocks", init=INIT))
    (level,) = found.sweep.levels
    assert level.components == 4 and level.mac_share == pytest.approx(0.5) and level.splits == 2
    assert found.sweep.baseline == pytest.approx(1) and 0.9 < level.metric < 1
    decided = anneal_model(
        load(folder / "m.onnx"), Anneal(method="blocks", null=lambda _: parse_scheme(INIT).null(1, 1))
    )
    for one, left, right in zip(decided.annealing, labels[:-1], labels[1:], strict=True):
        assert (one.kept() == (left[:, None] == right[None, :])).all()


def test_a_model_that_does_not_decompose_is_explained(tmp_path):
    rng = np.random.default_rng(1)
    model, _, _ = network(rng, signal=0.0)
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=rng.standard_normal((20, 48)).astype(np.float32))
    found = validation.sweep(tmp_path / "m.onnx", tmp_path / "d.npz", anneal=Annealer(method="blocks", init=INIT))
    assert not found.decomposes and found.report is not None
    assert all(one.giant == 1 for one in found.report.matrices)
    assert found.report.worth is not None and found.report.worth.metric == "cosine" and found.report.worth.value < 0.9
    shown = to_dict(found)
    assert shown["decomposes"] is False and shown["decomposability"]["matrices"][0]["node"] == "l0"
    silent = validation.sweep(
        tmp_path / "m.onnx", tmp_path / "d.npz", anneal=Annealer(method="blocks", init=INIT), explain=False
    )
    assert silent.report is None and validation_view(silent) is not None


def test_what_decomposes_within_the_limit_needs_no_report(case):
    folder, _, _ = case
    options = Annealer(method="blocks", init=INIT)
    found = validation.sweep(folder / "m.onnx", folder / "d.npz", anneal=options, max_drop="cosine<=0.2")
    assert found.decomposes and found.report is None
    assert strongest(found.sweep.levels, 0.2) is found.sweep.levels[0]
    dear = validation.sweep(folder / "m.onnx", folder / "d.npz", anneal=options, max_drop="cosine<=0.0")
    assert dear.decomposes and dear.report is None  # a certified block is one, whatever it costs to cut it out
    edgewise = Annealer(method="neyman", init=INIT)
    strict = validation.sweep(
        folder / "m.onnx", folder / "d.npz", levels=[1e-3], anneal=edgewise, max_drop="cosine<=0.0"
    )
    assert not strict.decomposes


def test_labels_are_taken_for_the_metric(case, tmp_path):
    folder, weights, _ = case
    x = np.load(folder / "d.npz")["x"]
    np.save(tmp_path / "labels.npy", outputs(weights, x).argmax(1))
    found = validation.sweep(
        folder / "m.onnx",
        folder / "d.npz",
        labels=tmp_path / "labels.npy",
        metric="argmax",
        levels=[0.5],
        anneal=Annealer(method="neyman", init=INIT),
    )
    assert found.sweep.baseline == 1.0 and 0 <= found.sweep.levels[0].metric <= 1


def test_data_that_do_not_fit_are_refused(case, tmp_path):
    folder, _, _ = case
    np.savez(tmp_path / "wrong.npz", other=np.zeros((3, 48), np.float32))
    with pytest.raises(LabelledError, match=r"wrong\.npz"):
        validation.sweep(folder / "m.onnx", tmp_path / "wrong.npz")
    for wrong in (None, 3, [1.0]):
        with pytest.raises(LabelledError, match=r"m\.onnx: a \w+ holds no labelled inputs; give \{'x': …\}"):
            validation.sweep(folder / "m.onnx", wrong)


def test_unexposed_weights_are_not_confirmed(case, tmp_path):
    folder, _, _ = case
    x = np.load(folder / "d.npz")["x"].copy()
    x[:, 5] = 0
    np.savez(tmp_path / "d.npz", x=x)
    options = Annealer(method="neyman", init=INIT, exposed=True, literal=True)
    found = validation.sweep(folder / "m.onnx", tmp_path / "d.npz", levels=[0.5], anneal=options, explain=False)
    plain = validation.sweep(
        folder / "m.onnx", tmp_path / "d.npz", levels=[0.5], anneal=dataclasses.replace(options, exposed=False)
    )
    assert found.sweep.levels[0].operators[0].dormant == plain.sweep.levels[0].operators[0].dormant + 1


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (None, "neyman"),
        ("auto", "neyman"),
        (Annealer(init="bert"), "neyman"),
        (Annealer(init="torch_linear"), "support"),
        (Annealer(init="like:W0"), "neyman"),
        (Annealer(initial="start.npz"), "auto"),
        ("blocks", "blocks"),
    ],
)
def test_a_sweep_without_a_method_takes_one_that_suits_what_is_known(options, method):
    assert validation.swept_by(options).method == method


def test_without_any_option_blocks_are_one_row_and_without_blocks_many_levels_are_swept(tmp_path, case):
    folder = case[0]
    whole = validation.sweep(folder / "m.onnx", folder / "d.npz", explain=False)
    assert whole.decomposes and not whole.sweep.leveled and whole.sweep.test.startswith("blocks")
    dense, _, _ = network(np.random.default_rng(0), blocks=1)
    onnx.save(dense, tmp_path / "dense.onnx")
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(1).standard_normal((20, 48)).astype(np.float32))
    found = validation.sweep(tmp_path / "dense.onnx", tmp_path / "d.npz", explain=False).sweep
    assert [one.level for one in found.levels] == list(validation.LEVELS)
    assert found.leveled and found.bounded is None
    assert any("circular" in note for note in found.notes) and any("no blocks" in note for note in found.notes)
    bounded = validation.sweep(folder / "m.onnx", folder / "d.npz", anneal=Annealer(init="uniform:1e-3")).sweep
    assert len(bounded.levels) == 1 and not bounded.leveled and bounded.bounded == "stated"
