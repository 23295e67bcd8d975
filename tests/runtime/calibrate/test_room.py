"""Labelled samples are run in feeds that fit, and all of them are run."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from scission.ir.io.load import load
from scission.runtime.calibrate.dataset import BATCH, labelled
from scission.runtime.calibrate.metric.metric import parse_metric
from scission.runtime.calibrate.metric_runner import HELD, side_by_side
from scission.runtime.calibrate.room import within_memory
from scission.runtime.inputs.spec import spec_of
from scission.runtime.ort.memory import COMPARED, NoMemoryError, footprint
from scission.runtime.ort.trials import Trials

WIDE = 128


def model(first: str | int = "n") -> onnx.ModelProto:
    W = numpy_helper.from_array(np.ones((WIDE, WIDE), np.float32), "W")
    x, y = (helper.make_tensor_value_info(name, 1, [first, 50, WIDE]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "W"], ["y"])], "g", [x], [y], [W])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(1, 100), memory=st.integers(400_000, 20_000_000))
def test_every_sample_is_in_a_feed_that_fits(samples: int, memory: int) -> None:
    loaded = load(model())
    data = labelled({"x": np.zeros((samples, 50, WIDE), np.float32)}, spec_of(loaded, given=True))
    found = within_memory(loaded, data, Trials(memory=memory))
    assert sum(len(feed["x"]) for feed in found.feeds) == samples
    room = max(memory - 3 * WIDE * WIDE * 4, memory // 16)

    def need(batch: int) -> int:
        one = footprint(loaded.graph, {"x": (batch, 50, WIDE)})
        return 2 * one.values + COMPARED * one.outputs

    assert found.batch == 1 or need(found.batch) <= room
    assert found.batch == BATCH or need(2 * found.batch) > room or need(2 * found.batch + 1) > room


def test_a_batch_that_the_model_fixes_stays_or_is_refused() -> None:
    loaded = load(model(8))
    data = labelled({"x": np.zeros((16, 50, WIDE), np.float32)}, spec_of(loaded, given=True))
    assert within_memory(loaded, data, Trials(memory=2_000_000)).batch == 8
    with pytest.raises(NoMemoryError, match="a batch of"):
        within_memory(loaded, data, Trials(memory=200_000))


def test_outputs_are_kept_within_a_part_of_the_memory() -> None:
    loaded = load(model())
    data = labelled({"x": np.ones((40, 50, WIDE), np.float32)}, spec_of(loaded, given=True))
    small, large = (side_by_side(loaded, data, parse_metric("cosine"), Trials(memory=m)) for m in (2_000_000, 1 << 40))
    assert large.held == HELD and small.held == 500_000 and small.data.batch < large.data.batch == BATCH
    same = [one.measure(loaded.graph) for one in (small, large)]
    assert [one.drop for one in same] == [0, 0] and same[0].cosine == pytest.approx(same[1].cosine)
