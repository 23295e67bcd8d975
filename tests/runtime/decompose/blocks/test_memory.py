from dataclasses import replace

import numpy as np
import pytest
from proposals import two_layers

pytest.importorskip("torch")

from scission import NoMemoryError
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.pruning.units import find_units
from scission.passes.rewrite.pruning.remove_unread import at_shapes
from scission.runtime.decompose.blocks import fitting
from scission.runtime.decompose.blocks.memory import training_bytes
from scission.runtime.decompose.blocks.method import Blocks
from scission.runtime.decompose.blocks.places import find_places
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import DecomposeTask
from scission.runtime.decompose.task.samples import Samples
from scission.runtime.ort.trials import Trials


def case(hidden):
    rng = np.random.default_rng(0)
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((32, hidden), (hidden, 32)))
    given = Samples(feeds=[{"x": rng.standard_normal((8, 32)).astype(np.float32)} for _ in range(2)])
    task = DecomposeTask(
        model=load(two_layers(up, down)),
        calibration=given,
        selection=given,
        goal=parse_goal("cosine<=0.1"),
        trials=Trials(provider="cpu", threads=1),
    )
    seen = view(at_shapes(task.model.graph, {"x": (8, 32)}))
    return task, find_places(task, seen, find_units(seen))


def test_an_estimate_counts_squares_of_inputs_and_entries():
    small, large = (training_bytes(*case(hidden)) for hidden in (128, 256))
    assert small == 8 * (3 * (33**2 + 129**2) + 4 * (33 * 128 + 129 * 32)) + 8 * 4 * 2 * 32 * 128
    assert 2 * small < large < 4 * small


def test_more_than_may_be_used_is_refused_before_anything_learns(monkeypatch):
    task, _ = case(256)
    monkeypatch.setattr(fitting.BlockFitting, "of", lambda *a: pytest.fail("it began"))
    little = replace(task, trials=replace(task.trials, memory=1_000_000))
    with pytest.raises(NoMemoryError, match=r"training into blocks needs [\d.]+ MB of memory and 1 MB may be used"):
        next(Blocks().propose(little))
