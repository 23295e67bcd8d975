"""Sizes that would take too long to time are lowered, and only those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from scission.ir.io.load import load
from scission.runtime.inputs.sizes.room import Room
from scission.runtime.inputs.spec import spec_of
from scission.runtime.measure import duration
from scission.runtime.measure.duration import shortest_run, timed_within
from scission.runtime.measure.rounds import WARM_UP
from scission.runtime.measure.sequential import least_samples
from scission.runtime.notes import LoweredWarning
from scission.runtime.ort.trials import Trials

ROW = 8 * 1024  # bytes of the values of one row


def relu(first: str | int = "n") -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, 1, [first, 1024]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Slow:
    """A session of which each row takes so many seconds on a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.rows = seconds, 0.0, []  # type: ignore[var-annotated]

    def run(self, feed: Mapping[str, Any]) -> None:
        self.rows.append(len(feed["x"]))
        self.now += self.seconds * len(feed["x"])


def lowered(slow: Slow, rows: int, seconds: float = 1.0, first: str | int = "n") -> int:
    model = load(relu(first))
    spec = spec_of(model)
    room = Room(model, spec, Trials(), asked=True)
    draw = lambda sizes: {"x": np.broadcast_to(np.float32(0), (sizes["n"], 1))}  # noqa: E731
    found = timed_within({"n": rows}, seconds, room, [slow], draw, lambda: slow.now)  # type: ignore[list-item]
    return found["n"]


@settings(deadline=None)
@given(rows=st.integers(1, 10**7), each=st.floats(1e-9, 1.0), seconds=st.floats(0.1, 300))
def test_what_is_left_is_as_much_as_can_be_timed(rows: int, each: float, seconds: float) -> None:
    slow, runs = Slow(each), least_samples() + WARM_UP
    allowed = max(seconds, duration.PATIENCE)
    with pytest.MonkeyPatch.context() as patch:
        told: list[str] = []
        patch.setattr("warnings.warn", lambda text, *_, **__: told.append(text))
        found = lowered(slow, rows, seconds)
    tried = bool(slow.rows)
    assert tried == (rows * ROW >= duration.QUICK)
    assert (found < rows) == bool(told) == (tried and runs * each * rows > allowed * (1 + 1e-9))
    if found < rows and found > 1:
        assert runs * each * found <= allowed * (1 + 1e-9) < 2.01 * runs * each * (found + 1)
    assert all(16 * one <= rows for one in slow.rows)


@pytest.mark.parametrize(
    ("takes", "enough", "found", "runs"),
    [
        ((5.0, 1.0, 2.0), 60.0, 1.0, 3),
        ((5.0, 1.0, 2.0), 4.0, 5.0, 1),
        ((1.0, 5.0, 0.1), 3.0, 1.0, 2),
        ((0,) * 3, 1, 1e-6, 3),
    ],
)
def test_a_run_takes_as_long_as_the_shortest_of_a_few(takes, enough, found, runs) -> None:
    now, left = [0.0], list(takes)

    class Slow:
        def run(self, feed) -> None:
            now[0] += left.pop(0)

    assert shortest_run(Slow(), {}, enough, lambda: now[0]) == found
    assert len(left) == len(takes) - runs


def test_it_says_what_it_lowered_and_leaves_fixed_sizes() -> None:
    rows = 2 * duration.QUICK // ROW
    with pytest.warns(LoweredWarning, match=r"^n \d+ instead of \d+: timing that would take [\d,]+ s, 60 s are spent"):
        assert lowered(Slow(0.01), rows) < rows
    slow = Slow(1.0)
    assert lowered(slow, rows, first=rows) == rows and not slow.rows
