"""Memory: what is estimated covers what is allocated, and sizes are lowered until it fits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from scission import Trials
from scission.ir.io.load import load
from scission.models.matrices import mel
from scission.runtime.compare.feeds import bench_feeds
from scission.runtime.inputs.sizes.room import Room
from scission.runtime.inputs.sizes.settings import settings_of, smaller_settings
from scission.runtime.inputs.spec import spec_of
from scission.runtime.notes import LoweredWarning
from scission.runtime.ort import memory

UNBOUND = memory.MemoryLimit(usual=None, most=None)


def convolution(channels: int = 8, side: int = 12) -> onnx.ModelProto:
    """A 1x1 convolution over a picture, with a bias and a Relu behind it."""
    w = np.random.default_rng(0).normal(size=(channels, channels, 1, 1)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"), helper.make_node("Relu", ["c"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, 1, ["N", channels, side, side]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(w, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def allocated(proto: onnx.ModelProto, shape: Sequence[int]) -> int:
    """Bytes of the input and of everything that nodes compute, by running it with every value as an output."""
    from onnx.reference import ReferenceEvaluator

    exposed = onnx.ModelProto()
    exposed.CopyFrom(proto)
    del exposed.graph.output[:]
    for node in proto.graph.node:
        exposed.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in node.output)
    feed = {proto.graph.input[0].name: np.zeros(shape, np.float32)}
    found = ReferenceEvaluator(exposed).run(None, feed)
    return sum(one.nbytes for one in (*feed.values(), *found))


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(["conv", "mel"]), batch=st.integers(1, 40), wide=st.integers(2, 9))
@example(kind="conv", batch=1, wide=2)
def test_the_estimate_covers_every_value(kind: str, batch: int, wide: int) -> None:
    proto = convolution(wide, 5) if kind == "conv" else mel.build(bins=wide, bands=4)
    shape = (batch, wide, 5, 5) if kind == "conv" else (batch, wide)
    found = memory.footprint(load(proto).graph, {proto.graph.input[0].name: shape})
    assert found.values >= allocated(proto, shape)
    assert found.inputs == 4 * np.prod(shape)
    assert found.inputs <= found.live <= found.values


def test_what_is_unknown_counts_as_the_largest() -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["where"]), helper.make_node("Cast", ["where"], ["y"], to=1)]
    x, y = helper.make_tensor_value_info("x", 1, ["N", 4]), helper.make_tensor_value_info("y", 1, None)
    proto = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    assert memory.footprint(load(proto).graph, {"x": (10, 4)}).values == 3 * 160


@given(parts=st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_a_value_is_alive_until_the_last_node_that_reads_it(parts: list[int]) -> None:
    """Each Tile makes a value of its own size that goes once it is summed up; the input stays."""
    nodes, inits, name = [], [], "x"
    for place, times in enumerate(parts):
        inits.append(numpy_helper.from_array(np.array([times], np.int64), f"t{place}"))
        nodes.append(helper.make_node("Tile", ["x", f"t{place}"], [f"v{place}"]))
        nodes.append(helper.make_node("ReduceSum", [f"v{place}"], [f"s{place}"], keepdims=1))
        name = f"s{place}"
    x, y = helper.make_tensor_value_info("x", 1, [8]), helper.make_tensor_value_info(name, 1, [1])
    graph = helper.make_graph(nodes, "g", [x], [y], inits)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = memory.footprint(load(proto).graph, {"x": (8,)})
    assert found.live == 32 + max(32 * times for times in parts) + 4
    assert found.values == 32 + sum(32 * times + 4 for times in parts)


@given(count=st.integers(1, 10**13))
def test_bytes_come_back(count: int) -> None:
    assert memory.parse_bytes(str(count)) == memory.parse_bytes(f" {count} b ") == count
    assert memory.parse_bytes(memory.shown_bytes(count).replace("ytes", "")) == pytest.approx(count, rel=0.006)


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "2 XB", "1,5GB", "nan", "1e3", "2GBs"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(memory.NoMemoryError, match="no size of memory"):
        memory.parse_bytes(text)


@given(sizes=st.dictionaries(st.sampled_from("abc"), st.integers(1, 5000), min_size=1), room=st.integers(1, 10**6))
def test_sizes_are_halved_until_they_fit(sizes: dict[str, int], room: int) -> None:
    def need(one: dict[str, int]) -> tuple[int, int]:
        return int(np.prod(list(one.values()))), 1

    limit = memory.MemoryLimit(usual=room, most=None)
    chosen, wanted = memory.fitting(sizes, memory.halvings(sizes, list(sizes)), need, limit, 0, "it")
    assert wanted == need(sizes)[0]
    assert need(chosen)[0] <= room  # all ones always fit
    steps = [sizes, *memory.halvings(sizes, list(sizes))]
    place = steps.index(chosen)
    assert place == 0 or need(steps[place - 1])[0] > room  # and no step before does
    assert all(set(sizes) == set(one) and min(one.values()) >= 1 for one in steps)


def test_fixed_sizes_stay_and_ties_hold() -> None:
    model = load(convolution())
    (setting,) = settings_of(model, [64], None)()
    assert [one.sizes["N"] for one in smaller_settings(model, setting)] == [32, 16, 8, 4, 2, 1]
    assert list(smaller_settings(model, setting, {"N": 64})) == []


def test_feeds_of_a_batch_fit_into_the_memory_given(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(convolution(), path)
    model = load(path)
    trials = Trials(memory=20_000_000)
    with pytest.warns(LoweredWarning, match=r"^N \d+ instead of 3000: that would need .* allow more with memory=…$"):
        (feed,) = bench_feeds([path], model, trials, [3000])
    room = Room(model, spec_of(model), trials, asked=True)
    assert len(feed["x"]) < 3000
    assert room.fits({"N": len(feed["x"])})
    assert not room.fits({"N": 2 * len(feed["x"])})


def test_without_a_size_asked_for_a_gibibyte_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 64 << 30)
    assert memory.limit_of(None, asked=False) == memory.MemoryLimit(usual=1 << 30, most=32 << 30)
    assert memory.limit_of(None, asked=True).usual == 32 << 30
    assert memory.limit_of(None, asked=False, weights=9).usual == (1 << 30) + 9
    assert memory.limit_of(5, asked=False, weights=9) == memory.MemoryLimit(usual=5, most=5)
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert memory.limit_of(None, asked=True) == UNBOUND


def test_a_group_of_processes_may_use_less_than_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, usage = tmp_path / "max", tmp_path / "current"
    limit.write_text("1000\n"), usage.write_text("400\n")
    monkeypatch.setattr(memory, "CGROUPS", ((limit, usage), (tmp_path / "none", usage)))
    assert memory.free_bytes() == 600
    limit.write_text("max\n")
    assert (memory.free_bytes() or 0) > 600


def scission(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scission", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_the_command_line_says_what_it_lowered_and_what_cannot_fit(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(convolution(), path)
    words = ("check", path, path, "--memory", "20MB")
    done = scission(*words, "--batch", "3000")
    assert done.returncode == 0, done.stderr
    assert "instead of 3000: that would need" in done.stderr
    assert scission(*words, "--batch", "3000", "-q").stderr == ""
    refused = scission(*words, "--size", "N=900000")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "of memory at the least and 20 MB may be used" in refused.stderr
    assert scission("check", path, path, "--memory", "much").returncode == 2


def test_texts_take_room_as_well() -> None:
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.STRING, ["n"]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    model = onnx.helper.make_model(graph, ir_version=8)
    small, large = (memory.footprint(load(model).graph, {"x": (count,)}) for count in (1, 1000))
    assert large.inputs == 1000 * small.inputs >= 1000 * 8


def test_what_was_read_of_a_file_stays_valid_when_it_is_released(tmp_path: Path) -> None:
    onnx.save(convolution(64), tmp_path / "m.onnx")
    graph = load(tmp_path / "m.onnx").graph
    tensor = graph.graph.initializers["w"].const_value
    assert tensor is not None
    before = tensor.numpy()
    copy = before.copy()
    memory.release(graph)
    np.testing.assert_array_equal(before, copy)
    np.testing.assert_array_equal(tensor.numpy(), copy)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing tells what is resident")
def test_opening_a_model_takes_its_weights_once(tmp_path: Path) -> None:
    """Each layer is read and packed while those before are held: freed blocks must not stay between them."""
    n, layers = 2048, 12  # 16.8 MB each, which glibc would keep for itself
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((n, n), dtype=np.float32) for _ in range(layers)]
    nodes = [helper.make_node("MatMul", [f"v{i}", f"w{i}"], [f"v{i + 1}"]) for i in range(layers)]
    ends = [helper.make_tensor_value_info(name, 1, ["N", n]) for name in ("v0", f"v{layers}")]
    stored = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    code = """
import sys
from pathlib import Path
from scission.runtime.ort.session import open_session
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = most()
open_session(Path(sys.argv[1]))
print(1024 * (most() - before) / Path(sys.argv[1]).stat().st_size)
"""
    out = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout
    assert float(out) < 1.35
