from dataclasses import replace

import numpy as np
import oracles
import pytest
from perturbed import run
from proposals import two_layers
from prunable import feeds, residual

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.reason import Cause
from scission.runtime.decompose.removal.method import Removal
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import Declined, DecomposeTask
from scission.runtime.decompose.task.samples import Samples
from scission.runtime.ort.trials import Trials

CPU = Trials(provider="cpu", threads=1)


def task(proto, given=None):
    samples = Samples(feeds=given or feeds(8))
    return DecomposeTask(
        model=load(proto), calibration=samples, selection=samples, goal=parse_goal("cosine<=0.01"), trials=CPU
    )


def error(proto, candidate, given):
    wanted, got = ([run(one, feed)[0] for feed in given] for one in (proto, ir.to_proto(candidate.model)))
    pairs = list(zip(wanted, got, strict=True))
    return sum(np.square(a - b).sum() for a, b in pairs) / sum(np.square(a).sum() for a, _ in pairs)


def removed(candidate):
    return {one.kind: one.count for one in candidate.removed}


def test_heads_and_units_that_others_stand_in_for_go_first_and_nothing_is_lost():
    proto = residual(24, twins=2)
    for made, heads in zip(Removal(shares=(0.03, 0.15)).propose(task(proto)), (1, 2), strict=True):
        assert removed(made) == {"heads": heads} and error(proto, made, feeds(5, seed=9)) < 1e-8
    rng = np.random.default_rng(0)
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 16), (16, 6)))
    up[:, 12:] = 2 * up[:, :4]
    proto, others = two_layers(up, down), [{"x": rng.standard_normal((64, 6)).astype(np.float32)} for _ in range(2)]
    for made, gone in zip(Removal(shares=(0.1, 0.25, 0.6)).propose(task(proto, others[:1])), (2, 4, 9), strict=True):
        assert removed(made) == {"units": gone}
        assert (error(proto, made, others[1:]) < 1e-6) == (gone <= 4)


def test_candidates_become_smaller_and_lose_more_and_are_the_same_every_time():
    proto = residual(24)
    found, again = (list(Removal(shares=(0.2, 0.5, 0.8)).propose(task(proto))) for _ in range(2))
    sizes = [sum(one.const_value.size for one in made.model.graph.initializers.values()) for made in found]
    assert len(found) == 3 and sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    errors = [error(proto, one, feeds(4, seed=7)) for one in found]
    assert errors == sorted(errors)
    for one, other in zip(found, again, strict=True):
        assert one.removed == other.removed
        assert ir.to_proto(one.model).SerializeToString() == ir.to_proto(other.model).SerializeToString()
    counts = [sum(removed(one).values()) for one in found]
    assert counts == sorted(counts) and all(one.count < one.whole for made in found for one in made.removed)


def test_fitting_again_loses_less_than_leaving_out_alone(monkeypatch):
    proto = residual(24)
    ours = error(proto, next(Removal(shares=(0.5,)).propose(task(proto))), feeds(4, seed=7))
    from scission.runtime.decompose.removal import fitting

    fit = fitting.prune

    def bare(readings, units, count=None, **options):
        found = fit(readings, units, count, **options)
        gone = np.isin(units, found.order)
        weights = tuple(np.where(gone[:, None], 0, one.weight) for one in readings)
        return type(found)(order=found.order, counts=found.counts, losses=found.losses, weights=weights)

    monkeypatch.setattr(fitting, "prune", bare)
    assert ours < error(proto, next(Removal(shares=(0.5,)).propose(task(proto))), feeds(4, seed=7))


def test_a_model_without_hidden_units_is_declined():
    proto = oracles.graph(
        [("MatMul", ["x", "W"], ["y"], {})], {"x": ["n", 3]}, {"y": ["n", 3]}, {"W": np.eye(3, dtype=np.float32)}
    )
    (only,) = Removal().propose(task(proto, [{"x": np.ones((4, 3), np.float32)}]))
    assert isinstance(only, Declined) and only.reason.cause is Cause.NO_PRODUCT


def test_samples_that_make_nan_are_refused():
    from scission import CalibrationError

    bad = {"x": np.full((4, 5, 12), np.nan, np.float32)}
    with pytest.raises(CalibrationError, match="a NaN or an Inf"):
        list(Removal(shares=(0.5,)).propose(task(residual(), [bad])))


def test_units_that_are_too_many_are_named_with_the_reason(monkeypatch):
    from scission.runtime.decompose.removal import method

    monkeypatch.setattr(method, "LONGEST", 8)
    up, down = np.ones((6, 16), np.float32), np.ones((16, 6), np.float32)
    (only,) = Removal().propose(task(two_layers(up, down), [{"x": np.ones((4, 6), np.float32)}]))
    assert only.reason.cause is Cause.UNSUPPORTED
    assert str(only.reason) == "16 units that second reads stay: of 16 inputs, where at most 8 are looked at"


def test_products_that_read_no_units_are_fitted_behind_what_is_smaller():
    """A product behind one that lost heads takes other weights, those in front of it keep theirs."""
    found = next(Removal(shares=(0.6,)).propose(task(residual(24), feeds(40, batch=32))))
    assert "heads" in removed(found)
    before, after = ({node.name: node for node in graph.graph} for graph in (load(residual(24)).graph, found.model))

    def columns(nodes, name):
        return next(value.const_value.numpy() for value in nodes[name].inputs if value.const_value is not None).T

    for name, same in (("q", True), ("k", True), ("v", True), ("up", False)):
        alike = [any(np.array_equal(one, other) for other in columns(before, name)) for one in columns(after, name)]
        assert alike == [same] * len(alike)


def test_where_a_speed_alone_is_asked_for_no_candidate_that_is_far_from_it_is_made():
    """Of the products more than a third has to go for 2x, of which half of the units are not enough."""
    wanted = replace(task(residual(24)), goal=parse_goal(target="2x"))
    first = next(Removal().propose(wanted))
    assert first.settings["share"] > 0.3
    again = next(Removal().propose(task(residual(24))))
    assert again.settings["share"] < 0.3
