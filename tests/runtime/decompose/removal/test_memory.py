"""What fitting takes is estimated before, and refused where it is more than may be used."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from proposals import two_layers

from scission import NoMemoryError
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.pruning.units import find_units
from scission.passes.rewrite.pruning.remove_unread import at_shapes
from scission.runtime.decompose.removal.fitting import Fitting
from scission.runtime.decompose.removal.memory import fitting_bytes
from scission.runtime.decompose.removal.method import Removal
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import DecomposeTask
from scission.runtime.decompose.task.samples import Samples
from scission.runtime.ort.trials import Trials


def case(rows, units, feeds=2, memory=None):
    rng = np.random.default_rng(0)
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, units), (units, 40)))
    given = Samples(feeds=[{"x": rng.standard_normal((rows, 6)).astype(np.float32)} for _ in range(feeds)])
    trials = Trials(provider="cpu", threads=1, memory=memory)
    task = DecomposeTask(
        model=load(two_layers(up, down)),
        calibration=given,
        selection=given,
        goal=parse_goal("cosine<=0.01"),
        trials=trials,
    )
    shapes = {"x": (rows, 6)}
    seen = view(at_shapes(task.model.graph, shapes))
    return task, seen, find_units(seen), shapes


@pytest.mark.parametrize(("rows", "units"), [(20_000, 64), (10_000, 200), (300, 400)])
def test_an_estimate_is_about_what_is_taken(rows, units):
    task, _, sites, _ = case(rows, units)
    estimate = fitting_bytes(sites, len(task.calibration.feeds))
    tracemalloc.start()
    try:
        made = next(Removal(shares=(0.5,)).propose(task))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.removed and estimate / 3 < peak < 3 * estimate


def test_more_than_may_be_used_is_refused_before_anything_runs(monkeypatch):
    task, *_ = case(2000, 64, memory=1_000_000)
    monkeypatch.setattr(Fitting, "__post_init__", lambda self: pytest.fail("it began"))
    with pytest.raises(NoMemoryError, match=r"leaving out units needs [\d.]+ MB of memory and 1 MB may be used; give"):
        next(Removal().propose(task))


def test_twice_as_many_rows_take_twice_as_much_of_what_grows_with_them():
    sizes = [fitting_bytes(case(rows, 8)[2], 2) for rows in (1000, 2000, 4000)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0


def test_what_is_allowed_is_enough():
    task, _, sites, _ = case(500, 32)
    enough = replace(task, trials=replace(task.trials, memory=fitting_bytes(sites, 2)))
    assert next(Removal(shares=(0.5,)).propose(enough)).removed
