"""The main job, measured: exact decomposition of real models, end to end.

`python tests/bench/main_job.py [--only ROW ...] [--provider cpu|cuda] [--save]` prints each figure beside its target;
`--save` also writes them to `tests/bench/results/` with the date, the machine and the versions (with `--only`, other
rows stay as they were kept). Ratios are medians of interleaved repeats in one run, by the clock on the wall unless they
say another. Models are built once into `.bench/` (about 5 GB).
"""

from __future__ import annotations

import argparse
import filecmp
import os
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, at_most, beside_others, missed, reported, save, show, told
from raced import FOLDER, made

import scission
from scission.ir.io.load import load
from scission.models.networks import autoregressive, ensemble, forest
from scission.models.planted import products as planted
from scission.models.sketch import Sketch
from scission.models.trained import gpt2, huge, minilm
from scission.passes.connectivity.bipartite import components
from scission.passes.planning.make_plan import make_plan
from scission.runtime.measure.bench import file_bytes
from scission.runtime.ort.cuda import left_cuda
from scission.runtime.ort.session import open_session

ZOO_SIZES = ((128, 96),) * 8


def optimized(path: Path, provider: str, rows: list[int] | None = None) -> tuple[Path, scission.Result]:
    out = path.with_suffix(".split.onnx")
    trials = scission.Trials(threads=1, provider=provider, seconds=3.0)
    return out, scission.optimize(path, out, overwrite=True, batch=rows, trials=trials, forests=False)


def forests(provider: str) -> Iterator[Figure]:
    """100 trees of 100 leaves, as compiled (blocks in order) and with its hidden units shuffled."""
    for name, shuffle in (("forest", False), ("forest, shuffled", True)):
        path = made(
            f"forest-{shuffle}.onnx",
            lambda p, s=shuffle: onnx.save(forest.build(np.random.default_rng(0), 100, 100, shuffle=s).model, p),
        )
        out, result = optimized(path, provider)
        for bench, target in zip(result.benches, (20, 10, 15), strict=True):
            yield at_least(name, f"speed-up, batch {bench.rows}", bench.speedup, target)
        identical = result.verdict is not None and result.verdict.identical
        yield at_least(name, "outputs bit-identical (1 = yes)", float(identical), 1)
        yield from cuda_figures(name, out, provider)


def ensembles(provider: str) -> Iterator[Figure]:
    """8 bagged networks 64-1024-1024-10 merged into one graph."""
    path = made("ensemble.onnx", lambda p: onnx.save(ensemble.build(np.random.default_rng(0)).model, p))
    out, result = optimized(path, provider, [256])
    yield at_least("ensemble", "speed-up, batch 256 (limit 7.6)", result.benches[0].speedup, 5)
    verdict = result.verdict
    assert verdict is not None
    yield at_least("ensemble", "within the bound (1 = yes)", float(verdict.equal), 1)
    yield reported(
        "ensemble", "largest error over its a-priori bound", max((p.changed for p in verdict.probes), default=0.0)
    )
    yield from cuda_figures("ensemble", out, provider)


def cuda_figures(name: str, out: Path, provider: str) -> Iterator[Figure]:
    if provider == "cuda":
        left = left_cuda(open_session(out, provider="cuda"))
        yield at_most(name, "nodes that left CUDA", len(left.compute), 0)


SESSION = "import sys, onnxruntime as o; o.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
TIMED = """
import sys, time, onnxruntime as o
o.InferenceSession(sys.argv[2], providers=['CPUExecutionProvider'])
start = time.perf_counter(), time.process_time()
o.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
print(time.perf_counter() - start[0], time.process_time() - start[1])
"""
PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(code)
"""


def compiled() -> dict[str, str]:
    """The environment, in which modules are compiled by the first run, as they are once a package is installed."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPYCACHEPREFIX": str(FOLDER.absolute() / "pyc")}


@dataclass(frozen=True)
class Taken:
    """Seconds on the wall and of all processors."""

    wall: float
    busy: float


def python(*arguments: str) -> Taken:
    """What one Python process takes."""
    start, before = time.perf_counter(), _children()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=compiled())
    return Taken(time.perf_counter() - start, _children() - before)


def _children() -> float:
    """Processor seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def session_taken(path: Path) -> Taken:
    """What it takes to create a session in a process that has ONNX Runtime warm already."""
    tiny = made("tiny.onnx", lambda p: onnx.save(planted.build(np.random.default_rng(0), "matmul-right-2").model, p))
    run = [sys.executable, "-c", TIMED, str(path), str(tiny)]
    wall, busy = map(float, subprocess.run(run, check=True, capture_output=True, text=True).stdout.split())
    return Taken(wall, busy)


def peak_mib(*arguments: str) -> float:
    """Peak resident memory of one Python process."""
    run = [sys.executable, "-c", PEAK, sys.executable, *arguments]
    return float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def interleaved(repeats: int, *measures: Callable[[], float]) -> list[float]:
    """Median of each measure, taken in turns."""
    times: list[list[float]] = [[] for _ in measures]
    for _ in range(repeats + 1):
        for measure, seen in zip(measures, times, strict=True):
            seen.append(measure())
    return [statistics.median(seen[1:]) for seen in times]


def transformer(_: str) -> Iterator[Figure]:
    """MiniLM: a real dense model, in which nothing must change."""
    path, out = made("minilm.onnx", minilm.export), FOLDER / "minilm.out.onnx"

    def command() -> float:
        out.unlink(missing_ok=True)
        return python("-m", "scission", "optimize", str(path), str(out)).wall

    whole, process, session = interleaved(
        9, command, lambda: python("-c", SESSION, str(path)).wall, lambda: session_taken(path).wall
    )
    yield at_least("MiniLM", "output identical to input (1 = yes)", filecmp.cmp(path, out, shallow=False), 1)
    yield at_most("MiniLM", "whole command / process that creates a session", whole / process, 2)
    yield reported("MiniLM", "whole command / creating the session alone", whole / session)
    yield reported("MiniLM", "whole command, seconds", whole)


def language_model(_: str) -> Iterator[Figure]:
    """A GPT-2-small-sized random model, 124 M weights."""
    path = made("gpt2.onnx", lambda p: gpt2.build(np.random.default_rng(0), p))
    command = ("-m", "scission", "plan", str(path), "--quiet")
    seen = [(python(*command), session_taken(path)) for _ in range(10)][1:]
    wall, busy = (
        statistics.median(getattr(one, clock) for one, _ in seen)
        / statistics.median(getattr(other, clock) for _, other in seen)
        for clock in ("wall", "busy")
    )
    yield at_most("GPT-2 size", "plan command / creating a session", wall, 1)
    yield at_most("GPT-2 size", "plan command / creating a session, processor time", busy, 1)
    size = path.stat().st_size / 2**20
    yield at_most("GPT-2 size", "plan: peak memory over the model, MiB", peak_mib(*command) - size, 300)


def external(_: str) -> Iterator[Figure]:
    """3 GiB of external data with one splittable weight."""
    path = made("huge.onnx", lambda p: huge.build(np.random.default_rng(0), p, gib=3.0))
    out = FOLDER / "huge.out.onnx"
    flags = ("--no-check", "--no-bench", "--overwrite", "--quiet")
    peak = peak_mib("-m", "scission", "optimize", str(path), str(out), *flags)
    yield at_most("3 GiB external", "optimize: peak memory, MiB", peak, 1024)
    before, after = (file_bytes(model) / 1e6 for model in (path, out))
    yield reported("3 GiB external", "smaller by, MB", before - after)


def zoo(provider: str) -> Iterator[Figure]:
    """Every planted kind, at a size where splitting may pay, planned as a user would: none may get slower."""
    trials = scission.Trials(threads=1, provider=provider, seconds=0.5)
    worst, slowest, split = np.inf, "", 0
    for kind in planted.KINDS:
        model = planted.build(np.random.default_rng(1), kind, ZOO_SIZES).model
        plan = scission.plan(model, provider=provider, threads=1)
        if not plan.rewrites:
            continue
        split += 1
        for bench in scission.bench(model, scission.apply(model, plan), trials=trials):
            if bench.speedup < worst:
                worst, slowest = bench.speedup, f"{kind}, {bench.rows} rows"
    yield at_least("zoo", f"slowest of {split} rewritten models ({slowest})", worst, 0.97)


def triangles(provider: str) -> Iterator[Figure]:
    """Masked autoencoders and triangular matrices, in their own order and shuffled: what the planner makes of them."""
    for shuffle in (False, True):
        for name, build in (("MADE 784-2000-784", autoregressive_model), ("triangle 2048", triangle)):
            label = f"{name}{' shuffled' * shuffle}"
            path = made(f"{label}.onnx", lambda file, build=build, shuffle=shuffle: onnx.save(build(shuffle), file))
            for rows in (1, 256):
                _, result = optimized(path, provider, [rows])
                split = [step for step in result.plan.steps if step.lowering != "dense"]
                share = sum(s.decomposition.mac_share * s.parameters for s in split) + sum(
                    s.parameters for s in result.plan.steps if s.lowering == "dense"
                )
                total = sum(s.parameters for s in result.plan.steps)
                yield reported(label, f"batch {rows}: MACs left, {len(split)} split", round(share / total, 3))
                if result.benches:
                    yield at_least(label, f"batch {rows}: speed-up ({result.outcome})", result.benches[0].speedup, 0.97)


def autoregressive_model(shuffle: bool) -> onnx.ModelProto:
    """A masked autoencoder of the size that MNIST is modelled with."""
    return autoregressive.build(np.random.default_rng(0), shuffle=shuffle)[0]


def triangle(shuffle: bool) -> onnx.ModelProto:
    """One product with a triangular weight."""
    rng = np.random.default_rng(0)
    W = np.tril(rng.standard_normal((2048, 2048), np.float32))
    sketch = Sketch(rng)
    W = W[rng.permutation(2048)][:, rng.permutation(2048)] if shuffle else W
    sketch.output(
        sketch.op("MatMul", sketch.input("x", ["batch", 2048]), W, name="triangle"), np.float32, ["batch", 2048]
    )
    return sketch.model()


def analysis(_: str) -> Iterator[Figure]:
    """Finding the components of a connected dense 4096 x 4096 float32 weight."""
    path = made("dense.onnx", dense)
    weight = np.random.default_rng(0).standard_normal((4096, 4096), np.float32)
    ours, numpys = interleaved(
        9, lambda: seconds(lambda: components(weight)), lambda: seconds(lambda: np.count_nonzero(weight))
    )
    yield at_most("analysis", "components / numpy.count_nonzero", ours / numpys, 3)
    model = load(path)
    tracemalloc.start()
    make_plan(model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    yield at_most("analysis", "peak memory / the weight", peak / weight.nbytes, 1.25)


def dense(path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((4096, 4096), np.float32)
    x, y = (onnx.helper.make_tensor_value_info(name, 1, ["M", 4096]) for name in "xy")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "dense", [x], [y], [onnx.numpy_helper.from_array(weight, "w")])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), path)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


ROWS = {
    "analysis": analysis,
    "forest": forests,
    "ensemble": ensembles,
    "minilm": transformer,
    "gpt2": language_model,
    "external": external,
    "zoo": zoo,
    "triangles": triangles,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    figures = told(figure for row in options.only for figure in ROWS[row](options.provider))
    show(figures)
    if options.save:
        some = options.only != list(ROWS)
        save("main_job", beside_others("main_job", figures, options.provider) if some else figures, options.provider)
    return int(missed(figures))


if __name__ == "__main__":
    sys.exit(main())
