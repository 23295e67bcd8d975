"""Peak memory of every command on models of all sizes, beside that of the files it reads.

`python tests/bench/memory.py [--largest 1GB] [--models 40] [--seconds 0.2] [--save]` makes models of planted blocks
from 1 kB up to the largest, in turn layers of MatMul and Relu, a 1x1 convolution over 56x56 positions, MatMuls of
sequences (N, 1500, K), and mel filter banks, runs every command on each in a process of its own, and prints for each
command the largest resident memory beyond the files of the model it reads, with the model where that was; the target
holds without any option that asks for more. What a command refuses (exit status 2 or 3) or does not finish counts as
missed.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from commands import run
from figures import Figure, at_most, missed, reported, save, show
from onnx import helper, numpy_helper

from scission.models.matrices import mel
from scission.runtime.ort.memory import parse_bytes, shown_bytes

TARGET = 1024  # MiB
SMALLEST = 1000  # bytes
WIDEST = 2048  # features of one layer
BLOCKS = 4
FINE = (0, 1, 4)  # exit statuses of a command that did its work
TIMEOUT = 600
KINDS = ("layers", "convolution", "sequences", "mel")


def weight(rng: np.random.Generator, n: int) -> np.ndarray:
    """Shuffled blocks, (n, n)."""
    W = np.zeros((n, n), np.float32)
    edges = np.linspace(0, n, BLOCKS + 1).astype(int)
    for low, high in itertools.pairwise(edges):
        W[low:high, low:high] = rng.standard_normal((high - low, high - low), dtype=np.float32) / np.sqrt(n)
    return W[rng.permutation(n)][:, rng.permutation(n)]


def model(kind: str, size: int) -> onnx.ModelProto:
    """A model of about so many bytes."""
    rng = np.random.default_rng(size)
    if kind == "mel":
        bins = max(8, int(np.sqrt(size)))
        return mel.build(bins, max(4, bins // 4))
    n = max(8, min(WIDEST, int(np.sqrt(size / 4))))
    depth = max(1, size // (4 * n * n))
    around = {"layers": (["N"], []), "sequences": (["N", 1500], []), "convolution": (["N"], [56, 56])}[kind]
    shape = [*around[0], n, *around[1]]
    nodes, weights, last = [], [], "x"
    for layer in range(depth):
        W = weight(rng, n)
        conv = kind == "convolution"
        weights.append(numpy_helper.from_array(W[:, :, None, None] if conv else W, f"w{layer}"))
        nodes.append(helper.make_node("Conv" if conv else "MatMul", [last, f"w{layer}"], [f"m{layer}"], f"l{layer}"))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
        last = f"r{layer}"
    x, y = (helper.make_tensor_value_info(name, 1, shape) for name in ("x", last))
    graph = helper.make_graph(nodes, kind, [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write(kind: str, size: int, path: Path) -> None:
    onnx.save(model(kind, size), path)


def commands(path: Path, folder: Path, seconds: float) -> Iterator[tuple[str, list[str], int]]:
    """Each command by name, what is typed, and how many files as large as the model it reads."""
    plan, applied, out = (str(folder / name) for name in ("plan.json", "applied.onnx", "out.onnx"))
    fast = ["--seconds", str(seconds)]
    one = str(path)
    name = "mel" if path.stem == "mel" else "l0"
    yield "inspect", ["inspect", one], 1
    yield "explain", ["explain", one, name], 1
    yield "plan", ["plan", one, "--force", "-o", plan], 1
    yield "plan --tune", ["plan", one, "--tune", "--no-cache", *fast], 1
    yield "apply", ["apply", one, plan, applied], 1
    yield "optimize", ["optimize", one, out, *fast], 1
    yield "optimize --force", ["optimize", one, str(folder / "forced.onnx"), "--force", *fast], 1
    yield "check", ["check", one, applied], 2
    yield "bench", ["bench", one, applied, *fast], 2
    yield "diff", ["diff", one, applied], 2
    yield "report", ["report", one, applied, "-o", str(folder / "page.html")], 2
    yield "structure", ["structure", f"{one}:{name}"], 1
    yield "cover", ["cover", f"{one}:{name}"], 1


def measured(largest: int, models: int, seconds: float) -> Iterator[Figure]:
    """The worst row of each command."""
    worst: dict[str, tuple[float, str]] = {}
    failed, slowest = 0, (0.0, "")
    for place, size in enumerate(np.geomspace(SMALLEST, largest, models)):
        kind = KINDS[place % len(KINDS)] if size < 50e6 else KINDS[place % 3 // 2]  # the others would take too long
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / f"{kind}.onnx"
            made = multiprocessing.get_context("spawn").Process(target=write, args=(kind, int(size), path))
            made.start()  # what a process holds when it starts another one counts as the peak of that one
            made.join()
            held = path.stat().st_size
            for command, words, files in commands(path, Path(name), seconds):
                one = run(words, TIMEOUT)
                row = f"{kind} of {shown_bytes(held)}"
                beyond = (one.peak - files * held) / 2**20
                fine = one.status in FINE
                print(
                    f"{row:28} {command:18} {beyond:7.0f} MiB {one.seconds:6.1f} s {'' if fine else one.last}",
                    flush=True,
                )
                failed += not fine
                worst[command] = max(worst.get(command, (0.0, "")), (beyond, row))
                slowest = max(slowest, (one.seconds, f"{command}, {row}"))
    for command, (most, row) in worst.items():
        yield at_most(command, f"MiB beyond the files, {row}", most, TARGET)
    yield at_most("all", "commands that failed", failed, 0)
    yield reported("all", f"seconds of the slowest: {slowest[1]}", slowest[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=parse_bytes, default=parse_bytes("1GB"))
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    figures = list(measured(given.largest, given.models, given.seconds))
    show(figures)
    if given.save:
        save("memory", figures, "cpu")
    return int(missed(figures))


if __name__ == "__main__":
    sys.exit(main())
