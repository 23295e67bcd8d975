from itertools import pairwise

import numpy as np
import onnx
import pytest
from annealable import SIGMA, network

from scission.ir.evidence.null import Null
from scission.ir.io.load import load
from scission.passes.anneal.edges.schemes import parse_scheme
from scission.passes.anneal.model import anneal_model
from scission.runtime.calibrate.annealer import Annealer, AnnealOptionsError
from scission.runtime.calibrate.prepare import SHOWN, prepare


@pytest.fixture(scope="module")
def case():
    model, weights, labels = network(np.random.default_rng(0))
    untrained = np.random.default_rng(1).normal(scale=SIGMA, size=(100, 100)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(untrained, "pooler"))
    return load(model), weights, labels


def linears(prepared):
    return {linear.address: linear for linear in prepared.survey.linears}


def test_a_scheme_gives_each_linear_its_own_null(case):
    model, _, _ = case
    prepared = prepare(model, Annealer(method="neyman", init="xavier_uniform", alpha=0.01, correction="none"))
    for linear in linears(prepared).values():
        assert prepared.settings.null(linear) == parse_scheme("xavier_uniform").null(*linear.shape)
    assert (prepared.settings.level, prepared.settings.correction, prepared.settings.fill) == (0.01, "none", True)
    assert prepare(model, Annealer(method="neyman", literal=True)).settings.fill is False


@pytest.mark.parametrize("name", ["pooler", "l0", "W0"])
def test_the_null_may_be_that_of_a_tensor_of_the_model(case, name):
    model, _, _ = case
    prepared = prepare(model, Annealer(method="neyman", init=f"like:{name}"))
    null = prepared.settings.null(linears(prepared)["l1"])
    assert isinstance(null, Null) and not null.estimated and name in null.source
    if name == "pooler":
        assert null.sigma == pytest.approx(SIGMA, rel=0.03)


def test_an_initial_checkpoint_gives_the_blocks_exactly(case, tmp_path):
    model, weights, labels = case
    insides = [left[:, None] == right[None, :] for left, right in pairwise(labels)]
    start = {f"W{i}": np.where(inside, w + 1e-6, w) for i, (w, inside) in enumerate(zip(weights, insides, strict=True))}
    np.savez(tmp_path / "start.npz", **start)
    prepared = prepare(model, Annealer(method="update", initial=tmp_path / "start.npz"))
    found = anneal_model(model, prepared.settings)
    assert len(found.annealing) == 2
    for one, inside in zip(found.annealing, insides, strict=True):
        assert (one.kept() == inside).all()


def test_what_the_checkpoint_lacks_is_noted(case, tmp_path):
    model, weights, _ = case
    np.savez(tmp_path / "start.npz", W0=weights[0] * 2)
    prepared = prepare(model, Annealer(method="update", initial=tmp_path / "start.npz"))
    assert any(note.startswith("l1") for note in prepared.notes) and len(prepared.notes) <= 2 * (SHOWN + 1)
    assert list(prepared.settings.initial) == ["l0"]


def test_auto_takes_the_test_that_suits_what_is_known(case, tmp_path):
    model, weights, _ = case
    np.savez(tmp_path / "start.npz", W0=weights[0] * 2, W1=weights[1] * 2)
    with_start = anneal_model(model, prepare(model, Annealer(initial=tmp_path / "start.npz")).settings)
    assert {one.evidence.test for one in with_start.found} == {"update"}
    bounded = anneal_model(model, prepare(model, Annealer(init="uniform:0.2")).settings)
    assert {one.evidence.test for one in bounded.found} == {"support"}
    nothing = anneal_model(model, prepare(model, Annealer()).settings)
    assert {one.evidence.test for one in nothing.found} == {"blocks"}
    assert all(one.evidence.null.estimated for one in nothing.found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "bert", "initial": "x.npz"}, "one of them"),
        ({"refit": True, "literal": True}, "choose one"),
        ({"veto": -1.0}, "veto must be a number of at least 0, got -1.0"),
        ({"veto": float("nan")}, "veto must be a number of at least 0, got nan"),
        ({"method": "update"}, "initial=…"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(AnnealOptionsError, match=message):
        Annealer(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"init": "like:nobody"}, "no initializer 'nobody'"), ({"exposed": True}, "needs calibration data")],
)
def test_options_that_do_not_fit_the_model_are_refused(case, options, message):
    with pytest.raises(AnnealOptionsError, match=message):
        prepare(case[0], Annealer(**options))
