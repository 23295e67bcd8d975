"""Real inputs in parts: together they are the whole, and each fits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import scission
from scission.ir.io.load import load
from scission.runtime.compare.real_inputs import real_feeds, require_room
from scission.runtime.notes import LoweredWarning
from scission.runtime.ort.memory import MemoryLimit, NoMemoryError, footprint
from scission.runtime.ort.trials import Trials

WIDE = 64


def model(*firsts: str | int, second: int | str = WIDE) -> onnx.ModelProto:
    """Inputs whose first dimensions are these, each multiplied by a weight, and the sum of all of that."""
    W = numpy_helper.from_array(np.eye(WIDE, dtype=np.float32), "W")
    inputs = [helper.make_tensor_value_info(f"x{i}", 1, [first, second]) for i, first in enumerate(firsts)]
    nodes = [helper.make_node("MatMul", [f"x{i}", "W"], [f"m{i}"]) for i in range(len(firsts))]
    nodes.append(helper.make_node("Sum", [f"m{i}" for i in range(len(firsts))], ["y"]))
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", 1, None)], [W])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(folder: Path, rows: int, count: int = 1) -> tuple[Path, dict[str, np.ndarray]]:
    rng = np.random.default_rng(rows)
    arrays = {f"x{i}": rng.standard_normal((rows, WIDE), dtype=np.float32) for i in range(count)}
    np.savez(folder / "x.npz", **arrays)  # type: ignore[arg-type]
    return folder / "x.npz", arrays


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 700), memory=st.integers(200_000, 4_000_000), count=st.integers(1, 2))
def test_the_parts_are_the_whole_and_fit_one_by_one(
    rows: int, memory: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, arrays = saved(tmp_path_factory.mktemp("x"), rows, count)
    loaded = load(model(*["n"] * count))
    with pytest.MonkeyPatch.context() as patch:
        told: list[str] = []
        patch.setattr("warnings.warn", lambda text, *_, **__: told.append(text))
        feeds = real_feeds(loaded, path, Trials(memory=memory))
    for name, whole in arrays.items():
        np.testing.assert_array_equal(np.concatenate([feed[name] for feed in feeds]), whole)
    assert len(told) == (len(feeds) > 1)
    for feed in feeds if len(feeds[0]["x0"]) > 1 else ():
        shapes = {name: array.shape for name, array in feed.items()}
        assert footprint(loaded.graph, shapes).compared <= max(memory - 3 * WIDE * WIDE * 4, memory // 16)


@pytest.mark.parametrize(
    "first", [("n", "m"), (600, 600), ("n", 600)], ids=["other names", "fixed", "one of them is fixed"]
)
def test_what_cannot_be_parted_stays_whole(first: tuple[str | int, ...], tmp_path: Path) -> None:
    path, arrays = saved(tmp_path, 600, 2)
    (feed,) = real_feeds(load(model(*first)), path, Trials(memory=1_300_000))
    assert all(np.array_equal(feed[name], array) for name, array in arrays.items())


def test_a_size_that_stands_elsewhere_too_is_not_parted(tmp_path: Path) -> None:
    path, arrays = saved(tmp_path, WIDE, 2)
    loaded = load(model("n", "n", second="n"))
    (feed,) = real_feeds(loaded, path, Trials(memory=200_000))
    assert feed["x1"].shape == arrays["x1"].shape


def test_what_is_more_than_may_be_used_is_refused(tmp_path: Path) -> None:
    path, _ = saved(tmp_path, 600, 2)
    with pytest.raises(NoMemoryError, match=r"x\.npz holds 307 kB and 100 kB may be used; give fewer samples"):
        require_room(path, MemoryLimit(usual=100_000, most=100_000))
    require_room(path, MemoryLimit(usual=None, most=None))
    require_room(tmp_path / "none.npz", MemoryLimit(usual=1, most=1))  # whoever reads it says that it is not there
    with pytest.raises(NoMemoryError, match="of memory at the least for"):
        real_feeds(load(model(600, 600)), path, Trials(memory=400_000))


def test_two_models_are_compared_on_all_parts(tmp_path: Path) -> None:
    path, _ = saved(tmp_path, 600)
    trials = Trials(inputs=path, memory=2_000_000, seconds=0.01)
    with pytest.warns(LoweredWarning, match=r"x\.npz: \d+ rows at a time instead of 600: that would need") as caught:
        verdict = scission.check(model("n"), model("n"), trials=trials)
    assert verdict.identical
    rows = int(re.search(r"(\d+) rows", str(caught[0].message))[1])  # type: ignore[index]
    assert verdict.trials == -(-600 // rows)
    with pytest.warns(LoweredWarning):
        (bench,) = scission.bench(model("n"), model("n"), trials=trials)
    assert bench.rows == rows
