"""A float16 FFN on CUDA: large batches against arithmetic, small ones against bytes and launches, and the way between.

Both sides run as CUDA graphs where they can, so that launches cost the GPU's time and not the host's.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from figures import Figure, at_least, reported
from raced import Feeds, Rewritten, Setting, bound, made, raced, rewritten, turns

from scission.models.planted import ffn as planted_ffn
from scission.runtime.measure.bench import file_bytes
from scission.runtime.ort.cuda import left_cuda, placement
from scission.runtime.ort.session import open_session

WIDTH = 4096
HIDDEN = 4 * WIDTH
BATCHES = (1, 16, 128, 1024, 4096)
BLOCKS = (4, 8, 16, 32)
VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Identity")  # they start no kernel


def large(setting: Setting) -> Iterator[Figure]:
    """4096 rows: arithmetic decides."""
    for blocks, target in ((8, 0.7), (32, 0.5)):
        row = named(blocks)
        pair, feeds = half(blocks, 4096, setting)
        seconds = turns(
            {
                "ONNX Runtime": bound(pair.dense, feeds, setting),
                "torch": in_torch(pair.dense, feeds),
                "scission": bound(pair.split, feeds, setting),
            },
            seconds=4,
            drop=math.inf,
        )
        for dense in ("ONNX Runtime", "torch"):
            speedup = seconds[dense] / seconds["scission"]
            what = f"batch 4096, {pair.lowerings}, against {dense}: {speedup:.2f}x of {blocks}x"
            yield at_least(row, what, speedup / blocks, target)
        for name, taken in seconds.items():
            yield reported(row, f"batch 4096, {name}: ms", taken * 1e3)
        left = left_cuda(open_session(pair.split, provider="cuda")).compute
        yield at_least(row, "nodes on CUDA that compute (1 = all)", float(not left), 1)


def small(setting: Setting) -> Iterator[Figure]:
    """1 and 128 rows: bytes of weights and launches decide."""
    rate, launch = bytes_a_second(), kernel_seconds()
    yield reported("this GPU", "memory: GB/s", rate / 1e9)
    yield reported("this GPU", "a kernel that does nothing, in a CUDA graph: us", launch * 1e6)
    for blocks, batch in itertools.product((8, 32), (1, 128)):
        pair, feeds = half(blocks, batch, setting)
        found = raced(pair, feeds, setting)
        least = {name: floor(path, feeds, rate, launch) for name, path in files(pair).items()}
        graphs = "CUDA graphs" if found.cuda_graph else f"no CUDA graphs: {found.cuda_graph_reason}"
        what = f"batch {batch}, {pair.lowerings}, {graphs}: speed-up"
        yield at_least(named(blocks), what, found.paired["split"].median, 2.5)
        for name, seconds in least.items():
            taken = found.timings[name].latency.median
            yield reported(named(blocks), f"batch {batch}, {name}: us, the floor is {seconds * 1e6:.1f}", taken * 1e6)
        seconds = turns({"torch": in_torch(pair.dense, feeds)})["torch"]
        yield reported(named(blocks), f"batch {batch}, dense in torch: us", seconds * 1e6)


def grid(setting: Setting) -> Iterator[Figure]:
    """The speed-up over batch and blocks, and its picture."""
    gains: dict[int, list[float]] = {blocks: [] for blocks in BLOCKS}
    for blocks, batch in itertools.product(BLOCKS, BATCHES):
        pair, feeds = half(blocks, batch, setting)
        gains[blocks].append(raced(pair, feeds, setting, seconds=0.5).paired["split"].median)
        yield reported(named(blocks), f"batch {batch}, {pair.lowerings}: speed-up", gains[blocks][-1])
    plot(gains, setting.picture)
    print(f"wrote {setting.picture}")


def named(blocks: int) -> str:
    return f"FFN {WIDTH}-{HIDDEN} fp16, {blocks} blocks, shuffled"


def files(pair: Rewritten) -> dict[str, Path]:
    return {"dense": pair.dense, "split": pair.split}


def half(blocks: int, batch: int, setting: Setting, width: int = WIDTH) -> tuple[Rewritten, Feeds]:
    """The network in float16, its hidden units (4 for each feature) shuffled, rewritten for this batch, and inputs."""
    path = made(f"ffn-{width}-{blocks}-fp16.onnx", lambda p: build(p, width, blocks))
    feeds = {"x": np.random.default_rng(0).standard_normal((batch, width), np.float32).astype(np.float16)}
    return rewritten(path, feeds, batch, setting), feeds


def build(path: Path, width: int, blocks: int) -> None:
    onnx.save(planted_ffn.build(np.random.default_rng(0), width, 4 * width, blocks, dtype=np.float16).model, path)


def in_torch(path: Path, feeds: Feeds) -> Callable[[], object]:
    """The dense network in torch on the GPU, not as a CUDA graph; the call waits for its end."""
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    U, b1, V, b2, x = (torch.from_numpy(np.array(a)).cuda() for a in (*(held[n] for n in WEIGHTS), feeds["x"]))

    def call() -> object:
        with torch.inference_mode():
            y = torch.addmm(b2, torch.nn.functional.gelu(torch.addmm(b1, x, U)), V)
            torch.cuda.synchronize()
        return y

    return call


WEIGHTS = ("U", "b1", "V", "b2")


def floor(path: Path, feeds: Feeds, rate: float, launch: float) -> float:
    """Seconds that reading the weights, the inputs and writing as much, and starting every kernel take at least."""
    moved = file_bytes(path) + 2 * sum(array.nbytes for array in feeds.values())
    views = {node.name for node in onnx.load(path).graph.node if node.op_type in VIEWS}
    kernels = [name for name in placement(open_session(path, provider="cuda")) if name not in views]
    return moved / rate + len(kernels) * launch


def bytes_a_second(size: int = 2**30) -> float:
    """Of a copy on the GPU, read and written together."""
    source = torch.empty(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * size / on_gpu(lambda: target.copy_(source))


def kernel_seconds(count: int = 1000) -> float:
    """One of many kernels that do next to nothing, in one CUDA graph."""
    value = torch.zeros(1, device="cuda")
    value.add_(1)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(count):
            value.add_(1)
    return on_gpu(graph.replay) / count


def on_gpu(call: Callable[[], Any], repeats: int = 20) -> float:
    """Median seconds of a call, its end waited for."""

    def timed() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    return float(np.median([timed() for _ in range(repeats + 3)][3:]))


def plot(gains: dict[int, list[float]], file: Path) -> None:
    """Speed-up over batch on logarithmic axes, a line for each number of blocks, its limit dotted."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for blocks, values in gains.items():
        (line,) = axes.loglog(BATCHES, values, marker="o", base=2, label=f"{blocks} blocks")
        axes.axhline(blocks, color=line.get_color(), linestyle=":", linewidth=1)
    axes.axhline(1, color="black", linewidth=1)
    axes.set(xlabel="batch", ylabel="dense / split", title=f"FFN {WIDTH}-{HIDDEN}-{WIDTH}, float16")
    axes.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None})
