"""How the time of plan, apply, diff and inspect grows with the nodes of one region, and with its linears.

    python tests/bench/growth.py [--nodes 1000 4000 16000] [--shape chain|ladder|linears|nodes] [--profile COMMAND]
                                 [--save]

A chain, or a ladder of two rails, of elementwise operators between two linears with eight common blocks; or as many
linears of two common blocks in a row, each with a Relu behind it (then by default 250, 1000 and 4000); or a chain
behind one linear, of 10,000 and 100,000 nodes. Seconds are
those of the process's CPU; the last column is the largest over the smallest. Linear work has the ratio of the nodes.
`--save` measures all shapes, or the one that is named, and keeps the ratios: 1,000 to 16,000 nodes, and 250 to 4,000
linears, are 16 times as many, 10,000 to 100,000 ten times. It also keeps what reading files of nothing but tiny fields
takes (`reading`).
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import pstats
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from figures import Figure, at_most, missed, reported, save, show
from onnx import helper as h
from onnx import numpy_helper as nh

import scission

BLOCKS, SIZE = 8, 32
SHAPES = {"chain": (1000, 4000, 16000), "ladder": (1000, 4000, 16000), "linears": (250, 1000, 4000)}
SHAPES |= {"nodes": (10_000, 100_000)}
TARGET = 20  # times as long for 16 times as many
LARGE_TARGET, LARGE_SECONDS = 12, 15  # times as long for ten times as many, and what 100,000 nodes may take
TINY = {  # files of a few bytes a field, and how many of them
    "1,000,000 nodes without anything": (b"\x0a\x00", 1_000_000, True),
    "10,000,000 repeated numbers": (b"\x08\x08", 10_000_000, False),
    "10,000,000 unknown numbers": (b"\xa0\x06\x08", 10_000_000, False),
    "10,000,000 empty graphs": (b"\x3a\x00", 10_000_000, False),
}


def chain(count: int) -> list[onnx.NodeProto]:
    """`count` operators one after another, from v0 to the last."""
    return [h.make_node("Mul", [f"v{i}", "c"], [f"v{i + 1}"], name=f"n{i}") for i in range(count)]


def ladder(count: int) -> list[onnx.NodeProto]:
    """Steps of three operators between two rails; every value is reached in exponentially many ways."""
    nodes = [h.make_node("Neg", ["v0"], ["b0"])]
    for i in range(count // 3):
        nodes.append(h.make_node("Add", [f"v{i}", f"b{i}"], [f"v{i + 1}"]))
        nodes.append(h.make_node("Sub", [f"v{i}", f"b{i}"], [f"t{i + 1}"]))
        nodes.append(h.make_node("Mul", [f"t{i + 1}", "c"], [f"b{i + 1}"]))
    return nodes


def model(nodes: list[onnx.NodeProto]) -> bytes:
    """The operators between two linears, serialised."""
    rng = np.random.default_rng(0)
    W = np.kron(np.eye(BLOCKS), np.ones((SIZE, SIZE))) * rng.standard_normal((BLOCKS * SIZE, BLOCKS * SIZE)) / 6
    last = max((n.output[0] for n in nodes if n.output[0][0] == "v"), key=lambda name: int(name[1:]))
    ends = [h.make_node("MatMul", ["x", "w1"], ["v0"], name="first")]
    after = [h.make_node("MatMul", [last, "w2"], ["y"], name="last")]
    constants = {"w1": np.float32(W), "w2": np.float32(W.T), "c": np.float32(0.5)}
    values = [h.make_tensor_value_info(name, 1, ["n", BLOCKS * SIZE]) for name in "xy"]
    initializers = [nh.from_array(array, name) for name, array in constants.items()]
    graph = h.make_graph([*ends, *nodes, *after], "g", values[:1], values[1:], initializers)
    held: bytes = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return held


def linears(count: int, blocks: int = 2, size: int = 8) -> bytes:
    """As many linears of common blocks in a row, serialised."""
    rng = np.random.default_rng(0)
    width = blocks * size
    nodes, weights = [], []
    for place in range(count):
        W = np.kron(np.eye(blocks), np.ones((size, size))) * rng.standard_normal((width, width)) / 3
        weights.append(nh.from_array(np.float32(W), f"w{place}"))
        nodes.append(h.make_node("MatMul", [f"v{place}", f"w{place}"], [f"m{place}"], name=f"l{place}"))
        nodes.append(h.make_node("Relu", [f"m{place}"], [f"v{place + 1}"]))
    ends = [h.make_tensor_value_info(name, 1, ["n", width]) for name in ("v0", f"v{count}")]
    graph = h.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    held: bytes = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return held


def behind_one(count: int) -> bytes:
    """A chain of Relus behind one linear of eight blocks, serialised."""
    names = ["v0", *(f"v{place}" for place in range(1, count)), "y"]
    nodes = [h.make_node("MatMul", ["x", "w"], ["v0"], name="first")]
    nodes += [h.make_node("Relu", [names[place]], [names[place + 1]], name=f"n{place}") for place in range(count)]
    ends = [h.make_tensor_value_info(name, 1, ["n", 8]) for name in "xy"]
    graph = h.make_graph(nodes, "g", ends[:1], ends[1:], [nh.from_array(np.eye(8, dtype=np.float32), "w")])
    held: bytes = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return held


def of_shape(shape: str, count: int) -> bytes:
    """A model of one of the `SHAPES`."""
    if shape == "nodes":
        return behind_one(count)
    return linears(count) if shape == "linears" else model({"chain": chain, "ladder": ladder}[shape](count))


def commands(source: bytes) -> dict[str, Callable[[], Any]]:
    """What is timed of one model; each needs those before it."""
    made: dict[str, Any] = {}
    options: dict[str, Any] = {"provider": "cpu", "threads": 1, "force": True}
    return {
        "plan": lambda: made.update(plan=scission.plan(source, **options)),
        "apply": lambda: made.update(out=scission.apply(source, made["plan"])),
        "diff": lambda: scission.diff(source, made["out"]),
        "inspect": lambda: scission.inspect(source, provider="cpu"),
    }


def measured(shape: str, counts: Sequence[int], profiled: str | None = None) -> dict[str, list[float]]:
    """CPU seconds of each command at each size; the profile of one of them at the largest is printed."""
    seconds: dict[str, list[float]] = {}
    for count in counts:
        for name, command in commands(of_shape(shape, count)).items():
            profile = cProfile.Profile() if name == profiled and count == max(counts) else None
            start = time.process_time()
            if profile:
                profile.runcall(command)
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
            else:
                command()
            seconds.setdefault(name, []).append(time.process_time() - start)
    print(f"{shape:8}", *(f"{count:>8,}" for count in counts), "   ratio")
    for name, own in seconds.items():
        print(f"{name:8}", *(f"{one:7.2f}s" for one in own), f"{own[-1] / own[0]:8.1f}", flush=True)
    return seconds


def figures(shapes: Sequence[str]) -> list[Figure]:
    """The ratios of some shapes, and what the largest took."""
    found = []
    for shape in shapes:
        counts = SHAPES[shape]
        for name, own in measured(shape, counts).items():
            what = f"{name}, {counts[0]:,} to {counts[-1]:,}: times as long"
            seconds = f"{name}, {counts[-1]:,}: seconds"
            large = shape == "nodes" and name != "inspect"
            found.append(at_most(shape, what, own[-1] / own[0], LARGE_TARGET if large else TARGET))
            found.append(
                at_most(shape, seconds, own[-1], LARGE_SECONDS) if large else reported(shape, seconds, own[-1])
            )
    return found


def reading() -> list[Figure]:
    """What files take that are read or refused, of millions of fields of two bytes."""
    found = []
    whole = behind_one(1)
    for what, (field, count, inside) in TINY.items():
        tiny = h.make_model(h.make_graph([], "g", [], []), ir_version=8)
        tiny.graph.ParseFromString(field * count if inside else b"")
        data = tiny.SerializeToString() if inside else field * count + whole
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tiny.onnx"
            path.write_bytes(data)
            start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with contextlib.suppress(scission.ScissionError):
                scission.plan(path, provider="cpu")
            seconds = time.process_time() - start
            more = max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        found.append(at_most("reading", f"{what}: seconds", seconds, LARGE_SECONDS))
        found.append(reported("reading", f"{what}, {len(data) >> 20} MB: MB more at the peak", more))
    return found


def main() -> int:
    """Print the table, or the profile of one command at the largest size, or keep all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+")
    parser.add_argument("--shape", choices=tuple(SHAPES))
    parser.add_argument("--profile", choices=("plan", "apply", "diff", "inspect"))
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    if not options.save:
        shape = options.shape or "chain"
        measured(shape, options.nodes or SHAPES[shape], options.profile)
        return 0
    found = figures([options.shape] if options.shape else list(SHAPES))
    found += [] if options.shape else reading()
    show(found)
    save("growth", found, "cpu")
    return int(missed(found))


if __name__ == "__main__":
    sys.exit(main())
