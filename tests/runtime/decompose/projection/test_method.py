import numpy as np
import oracles
import pytest
from perturbed import run
from projectable import correlated, low_rank, planted, two_layers
from projections import task

from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.reason import Cause
from scission.runtime.decompose.projection import fitting, method
from scission.runtime.decompose.projection.method import Projection
from scission.runtime.decompose.task.method import Declined


def error(proto, candidate, given):
    wanted, got = ([run(one, feed)[0] for feed in given] for one in (proto, ir.to_proto(candidate.model)))
    pairs = list(zip(wanted, got, strict=True))
    whole = sum(np.square(a - a.mean(0)).sum() for a, _ in pairs)
    return sum(np.square(a - b).sum() for a, b in pairs) / whole


def shown(candidate):
    return {one.node: (one.form, one.rank) for one in candidate.projected}


@pytest.fixture(scope="module")
def case():
    return planted(256, 512), correlated(256), correlated(256, count=4, seed=7)


@pytest.fixture(scope="module")
def proposed(case):
    proto, given, _ = case
    return list(Projection(shares=(0.1, 0.3, 0.5, 0.7, 0.9)).propose(task(proto, given)))


def test_a_planted_rank_is_found_and_nothing_is_lost(case, proposed):
    proto, _, others = case
    assert [one.method for one in proposed] == ["projection"] * len(proposed)
    exact = [one for one in proposed if error(proto, one, others) < 1e-3]
    assert exact and shown(exact[-1])["down"] == ("low_rank", 16)


def test_candidates_are_different_and_lose_more(case, proposed):
    proto, _, others = case
    assert len(proposed) > 2
    assert len({tuple(one.projected) for one in proposed}) == len(proposed)
    errors = [error(proto, one, others) for one in proposed]
    assert errors == sorted(errors)
    assert all(0 < weight.share < 1 for one in proposed for weight in one.projected)


def test_the_same_task_gives_the_same_candidates(case, proposed):
    proto, given, _ = case
    again = list(Projection(shares=(0.1, 0.3)).propose(task(proto, given)))
    for one, other in zip(proposed, again, strict=False):
        assert one.projected == other.projected
        assert ir.to_proto(one.model).SerializeToString() == ir.to_proto(other.model).SerializeToString()


def test_layers_behind_are_fitted_to_what_they_read_now(monkeypatch):
    rng = np.random.default_rng(0)
    up = rng.standard_normal((128, 256)).astype(np.float32) / 11
    proto = two_layers(up, rng.standard_normal((256, 64)).astype(np.float32) / 16)
    given, others = correlated(128, count=128), correlated(128, count=4, seed=7)
    (ours,) = Projection(shares=(0.5,)).propose(task(proto, given))
    moments = fitting.moments_of
    monkeypatch.setattr(fitting, "moments_of", lambda gram, weight, *_: moments(gram, weight))
    (alone,) = Projection(shares=(0.5,)).propose(task(proto, given))
    assert shown(ours) == shown(alone) and "up" in shown(ours)
    assert error(proto, ours, others) < 0.98 * error(proto, alone, others)


def test_samples_say_which_directions_matter():
    """Inputs of a low rank need no more of a weight of full rank."""
    rng = np.random.default_rng(0)
    proto = two_layers(rng.standard_normal((256, 256)).astype(np.float32), low_rank(rng, 256, 64, 8).astype(np.float32))
    basis = rng.standard_normal((8, 256))
    given, others = ([{"x": (rng.standard_normal((64, 8)) @ basis).astype(np.float32)} for _ in range(8)] for _ in "ab")
    made = [one for one in Projection().propose(task(proto, given)) if error(proto, one, others) < 1e-5]
    assert shown(made[-1])["up"] == ("low_rank", 8)


def test_a_model_of_small_weights_is_declined():
    proto = oracles.graph(
        [("MatMul", ["x", "W"], ["y"], {"name": "m"})],
        {"x": ["n", 3]},
        {"y": ["n", 3]},
        {"W": np.eye(3, dtype=np.float32)},
    )
    (only,) = Projection().propose(task(proto, [{"x": np.ones((4, 3), np.float32)}]))
    assert isinstance(only, Declined) and only.reason.cause is Cause.NO_GAIN
    assert str(only.reason) == "m stays dense: it is too small, or too large to be taken apart"


def test_weights_that_no_form_makes_faster_are_declined():
    rng = np.random.default_rng(0)
    proto = two_layers(*(rng.standard_normal(shape).astype(np.float32) for shape in ((48, 64), (64, 48))))
    (only,) = Projection().propose(task(proto, [{"x": rng.standard_normal((1, 48)).astype(np.float32)}] * 4))
    assert only.reason.cause is Cause.NO_GAIN
    assert str(only.reason) == "of 2 weights none is predicted to be faster as a product of smaller ones"


def test_weights_that_are_too_wide_and_models_without_any_are_named(monkeypatch):
    monkeypatch.setattr(method, "LONGEST", 64)
    (only,) = Projection().propose(task(planted(128, 256), correlated(128)))
    assert only.reason.cause is Cause.UNSUPPORTED
    assert str(only.reason) == "up stays dense: of 256 features, where at most 64 are looked at"
    constant = {"c": np.ones(3, np.float32)}
    proto = oracles.graph([("Mul", ["x", "c"], ["y"], {})], {"x": ["n", 3]}, {"y": ["n", 3]}, constant)
    (only,) = Projection().propose(task(proto, [{"x": np.ones((4, 3), np.float32)}]))
    assert only.reason.cause is Cause.NO_PRODUCT


def test_weights_in_other_types_are_named():
    rng = np.random.default_rng(0)
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "m"})]
    half = oracles.graph(nodes, {"x": ["n", 64]}, {"y": ["n", 64]}, {"W": rng.standard_normal((64, 64))})
    given = [{"x": rng.standard_normal((4, 64))}]
    for value in (*half.graph.input, *half.graph.output):
        value.type.tensor_type.elem_type = 11
    (only,) = Projection().propose(task(half, given))
    assert only.reason.cause is Cause.UNSUPPORTED and "float32" in str(only.reason)
