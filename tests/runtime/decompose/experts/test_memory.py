"""What choosing experts takes is estimated before, and refused where it is more than may be used."""

import tracemalloc
from dataclasses import replace

import pytest
from sparse_networks import WIDE, network, planted, samples

from scission import NoMemoryError
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.experts.find import find_places
from scission.passes.rewrite.pruning.remove_unread import at_shapes
from scission.runtime.decompose.experts.fitting import ExpertFitting
from scission.runtime.decompose.experts.memory import choosing_bytes
from scission.runtime.decompose.experts.method import Experts
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import DecomposeTask
from scission.runtime.decompose.task.samples import Samples
from scission.runtime.ort.trials import Trials


def case(rows, memory=None):
    given = Samples(feeds=[{"x": samples(rows, seed, WIDE["experts"])} for seed in range(2)])
    task = DecomposeTask(
        model=load(network(*planted(**WIDE)[:3])),
        calibration=given,
        selection=given,
        goal=parse_goal("cosine<=0.01"),
        trials=Trials(provider="cpu", threads=1, memory=memory),
    )
    return task, find_places(view(at_shapes(task.model.graph, {"x": (rows, 12)})).found)[0]


@pytest.mark.parametrize("rows", [500, 4000])
def test_an_estimate_is_about_what_is_taken(rows):
    task, places = case(rows)
    estimate = choosing_bytes(places, 2)
    tracemalloc.start()
    try:
        next(Experts(active=(0.25,)).propose(task))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert estimate / 3 < peak < 3 * estimate


def test_more_than_may_be_used_is_refused_before_anything_runs(monkeypatch):
    task, _ = case(2000, memory=1_000_000)
    monkeypatch.setattr(ExpertFitting, "__post_init__", lambda self: pytest.fail("it began"))
    with pytest.raises(NoMemoryError, match=r"choosing experts needs up to [\d.]+ MB of memory and 1 MB may be used"):
        next(Experts().propose(task))


def test_what_is_allowed_is_enough():
    task, places = case(500)
    enough = replace(task, trials=replace(task.trials, memory=choosing_bytes(places, 2)))
    assert next(Experts(active=(0.25,)).propose(enough)).removed
