"""What keeps a model off CUDA graphs, and what fixed sizes take away of it."""

import numpy as np
import oracles
import pytest

import scission
from scission.ir.findings.recording import Blocker, told_of_recording
from scission.ir.io.load import load
from scission.passes.rewrite.static.fix_sizes import fixed
from scission.passes.rewrite.static.obstacles import recording_obstacles

TWO = np.array([2], np.float32)


def positions():
    """x (batch, time), to which the numbers of its places in time are added."""
    nodes = [
        ("Shape", ["x"], ["shape"]),
        ("Gather", ["shape", "one"], ["time"]),
        ("Range", ["zero", "time", "one"], ["places"]),
        ("Cast", ["places"], ["real"], {"to": 1}),
        ("Add", ["x", "real"], ["y"]),
    ]
    held = {"two": TWO, "one": np.array(1), "zero": np.array(0)}
    return oracles.graph(nodes, {"x": ["batch", "time"]}, {"y": ["batch", "time"]}, held)


def reshaped():
    """x (batch, 4) reshaped by what its shape says, which is only a size to the GPU."""
    nodes = [("Shape", ["x"], ["shape"]), ("Mul", ["x", "two"], ["h"]), ("Reshape", ["h", "shape"], ["y"])]
    return oracles.graph(nodes, {"x": ["batch", 4]}, {"y": ["batch", 4]}, {"two": TWO})


def found(model):
    return [(one.blocker, one.node) for one in recording_obstacles(load(model).graph)]


def test_numbers_that_are_computed_from_sizes_are_copied_to_the_gpu():
    cast, *open_ = recording_obstacles(load(positions()).graph)
    assert (cast.blocker, cast.op, cast.readers) == (Blocker.ON_CPU, "Cast", ("n4",)) and cast.blocks
    assert [(one.blocker, one.node) for one in open_] == [(Blocker.OPEN_SIZE, name) for name in ("batch", "time")]
    assert "sizes of batch, time can be fixed" in told_of_recording([cast, *open_])


def test_fixed_sizes_take_it_away():
    changed, _ = fixed(load(positions()).graph, {"time": 3})
    assert [one.blocker for one in recording_obstacles(changed)] == [Blocker.OPEN_SIZE]
    assert told_of_recording(recording_obstacles(changed)) == ""


def test_a_target_of_a_reshape_is_no_obstacle():
    assert found(reshaped()) == [(Blocker.OPEN_SIZE, "batch")]


@pytest.mark.parametrize("op", ["NonZero", "Compress"])
def test_sizes_that_depend_on_data_are_obstacles(op):
    more = [] if op == "NonZero" else ["flags"]
    nodes = [(op, ["x", *more], ["y"])]
    held = {"two": TWO, "flags": np.array([True, False])}
    model = oracles.graph(nodes, {"x": [2, 4]}, {"y": None}, held)
    assert found(model) == [(Blocker.SIZED_BY_DATA, "n0")]


def test_reports_and_explanations_of_plans_for_cuda_say_so():
    page = scission.report(positions(), plan=scission.plan(positions(), provider="cuda"), check=False, bench=False)
    assert [one.blocker for one in page.recording if one.blocks] == [Blocker.ON_CPU]
    assert "cannot be recorded as a CUDA graph" in page.sentence and page.to_dict()["recording"][0]["op"] == "Cast"
    plan = scission.plan(positions(), provider="cuda", fix={"batch": 2, "time": 3})
    static = scission.report(positions(), plan=plan, check=False, bench=False)
    assert static.recording == ()
    told = scission.explain(positions(), "n3", provider="cuda")
    assert [one.blocker for one in told.recording] == [Blocker.ON_CPU]
    assert scission.explain(positions(), "n3", provider="cpu").recording == ()
