import numpy as np
import oracles
import pytest
from perturbed import run
from sparse_networks import WIDE, D, network, planted, samples

from scission import CalibrationError
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.reason import Cause
from scission.runtime.decompose.decompose import METHODS
from scission.runtime.decompose.experts import fitting
from scission.runtime.decompose.experts.method import Experts
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import Declined, DecomposeTask
from scission.runtime.decompose.task.samples import Samples
from scission.runtime.ort.trials import Trials

CPU = Trials(provider="cpu", threads=1)


def task(proto, given=None):
    seen = Samples(feeds=given or feeds())
    return DecomposeTask(
        model=load(proto), calibration=seen, selection=seen, goal=parse_goal("cosine<=0.01"), trials=CPU
    )


def feeds(count=4, seed=0):
    return [{"x": samples(150, seed * 100 + place, WIDE["experts"])} for place in range(count)]


def wide(**options):
    return network(*planted(**WIDE)[:3], **options)


def two_networks(seed=0):
    """Each added to what enters it; the second is fed what the first makes, so that its units are seldom planted."""
    rng = np.random.default_rng(seed)
    up, bias, down, _ = planted(seed, **WIDE)
    other = (rng.standard_normal((D, 600)) / 2).astype(np.float32)
    constants = {"U": up, "a": bias, "V": down / 40, "U2": other, "a2": np.full(600, -2.5, np.float32)}
    constants["V2"] = (rng.standard_normal((600, D)) / 10).astype(np.float32)
    nodes = []
    for x, names, y in (("x", "UaV", "s"), ("s", ("U2", "a2", "V2"), "y")):
        U, a, V = names
        nodes += [
            ("MatMul", [x, U], [y + "p"], {"name": "up." + y}),
            ("Add", [y + "p", a], [y + "h"], {}),
            ("Relu", [y + "h"], [y + "z"], {}),
            ("MatMul", [y + "z", V], [y + "q"], {"name": "down." + y}),
            ("Add", [x, y + "q"], [y], {}),
        ]
    return oracles.graph(nodes, {"x": ["n", D]}, {"y": ["n", D]}, constants)


def error(proto, candidate, given):
    wanted, got = ([run(one, feed)[0] for feed in given] for one in (proto, ir.to_proto(candidate.model)))
    pairs = list(zip(wanted, got, strict=True))
    return sum(np.square(a - b).sum() for a, b in pairs) / sum(np.square(a).sum() for a, _ in pairs)


def refusal(proto, given=None):
    (only,) = Experts().propose(task(proto, given))
    assert isinstance(only, Declined) and only.method == "experts"
    return only.reason


def test_it_is_asked_where_no_methods_are_named():
    assert [one.name for one in METHODS].count("experts") == 1


def test_fewer_and_fewer_experts_run_and_nothing_is_lost_of_those_that_are_planted():
    proto = wide()
    found = list(Experts().propose(task(proto)))
    assert [made.settings for made in found] == [{"experts": [8], "active": [n]} for n in (4, 3, 2, 1)]
    for made, active in zip(found, (4, 3, 2, 1), strict=True):
        (removed,) = made.removed
        assert (removed.count, removed.whole, removed.kind) == (60 * (8 - active), 600, "units a sample")
        assert error(proto, made, feeds(3, seed=9)) < 1e-6


def test_the_same_task_gives_the_same_candidates():
    proto = two_networks()
    found = [[ir.to_proto(one.model).SerializeToString() for one in Experts().propose(task(proto))] for _ in range(2)]
    assert found[0] == found[1] and len(set(found[0])) == len(found[0]) > 2


def test_fitting_again_loses_less_than_leaving_out_alone(monkeypatch):
    proto = two_networks()
    ours = [error(proto, one, feeds(3, seed=9)) for one in Experts(active=(0.5, 0.25)).propose(task(proto))]
    monkeypatch.setattr(fitting, "fitted_down", lambda split, x, hidden, down, target: down)
    bare = [error(proto, one, feeds(3, seed=9)) for one in Experts(active=(0.5, 0.25)).propose(task(proto))]
    assert ours == sorted(ours) and all(a < b for a, b in zip(ours, bare, strict=True))


def test_batches_of_several_axes():
    proto = wide(lead=("n", "m"))
    given = [{"x": samples(120, seed, WIDE["experts"]).reshape(8, 15, D)} for seed in range(4)]
    made = next(Experts(active=(0.125,)).propose(task(proto, given)))
    assert error(proto, made, [{"x": samples(12, 9, WIDE["experts"]).reshape(2, 6, D)}]) < 1e-6


def test_a_network_most_of_whose_units_are_active_is_declined():
    rng = np.random.default_rng(0)
    up, down = rng.standard_normal((D, 600)).astype(np.float32), rng.standard_normal((600, D)).astype(np.float32)
    dense = network(up, np.zeros(600, np.float32), down)
    reason = refusal(dense, [{"x": rng.standard_normal((100, D)).astype(np.float32)}])
    assert reason.cause is Cause.NOT_SPARSE and "50% of its hidden units are not zero in the mean sample" in str(reason)


def test_what_cannot_become_experts_is_declined_with_the_reason():
    assert refusal(wide(between="Sigmoid")).cause is Cause.NOT_SPARSE
    small = refusal(network(*planted()[:3]), [{"x": samples(50)}])
    assert small.cause is Cause.NO_GAIN and "27 hidden units are too few" in str(small)
    alone = oracles.graph(
        [("MatMul", ["x", "W"], ["y"])], {"x": ["n", 3]}, {"y": ["n", 3]}, {"W": np.eye(3, dtype="f")}
    )
    assert refusal(alone, [{"x": np.ones((4, 3), np.float32)}]).cause is Cause.NO_PRODUCT


def test_samples_that_make_nan_are_refused():
    with pytest.raises(CalibrationError, match="a NaN or an Inf"):
        next(Experts().propose(task(wide(), [{"x": np.full((4, D), np.nan, np.float32)}])))
