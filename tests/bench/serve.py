"""Models cut into parts and put together again, in one process: `python tests/bench/serve.py`.

    python tests/bench/serve.py [--only ROW …] [--models N] [--save]

random: random networks that consist of independent ones, N of them: whether their parts, put together, compute the same
with ONNX Runtime's optimisations and without. domains: 64 networks of 256 -> 1024 -> 256 in one model (134 MB), and
hidden: 64 of 16 -> 64 -> 16 in dense weights (33 MB): seconds to cut them, and of requests that activate one domain,
two, or all of them, how many more a second the parts answer than one session of the model, or of the one that
`optimize` makes of it, and how many in 16 files; and what a new process holds of the parts over their files,
once requests of two domains were answered. large: seconds to cut dense weights of 103 MB. Everything runs on one
thread, and is timed by the processor's time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from figures import Figure, at_least, at_most, bench_with, reported
from raced import turns

sys.path.append(str(Path(__file__).parents[1] / "support"))

from random_parts import difference, put_together, random_feed, random_parts, run_model

import scission
from scission.models.planted import ffn
from scission.models.planted.branches import Repeated, repeated
from scission.runtime.ort.session import open_session

DOMAINS, FEW = 64, 16
HELD, LARGE = "memory over that of the parts", 1 << 26
PROCESSES = 5  # of which each tells what it holds
HOLDING = """
import re, sys
from pathlib import Path
import numpy as np
import onnx
import scission
from scission.ir.io.load import load
from scission.runtime.ort.session import open_session
from scission.runtime.serve import local

def held():
    told = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return 1024 * int(re.search(r"^Pss_Anon: +([0-9]+) kB", told, re.M)[1])

node = onnx.helper.make_node("Relu", ["x"], ["y"])  # ONNX Runtime's own libraries are there before
ends = [[onnx.helper.make_tensor_value_info(name, 1, [1])] for name in "xy"]
opset = [onnx.helper.make_opsetid("", 17)]
small = onnx.helper.make_model(onnx.helper.make_graph([node], "g", *ends), opset_imports=opset, ir_version=9)
open_session(small.SerializeToString()).run({"x": np.zeros(1, np.float32)})
load(small)
before = held()
parts = scission.load_parts(sys.argv[1], threads=1)
value = parts.manifest.inputs[0]
x = np.zeros((16, value.shape[1]), np.float32)
for part in parts.manifest.parts[:2]:
    x[:, part.reads[0].places[1]] = 1
for _ in range(3):
    parts.run({value.name: x})
print((held() - before) / sum(part.bytes_ for part in parts.manifest.parts))
"""
ALLOWED = 1e-4  # of the largest value of an output
TRIALS = scission.Trials(provider="cpu", threads=1)


def of_random_networks(count: int) -> Iterator[Figure]:
    """How many of these fall apart, and how many of those compute the same."""
    cut = equal = 0
    for seed in range(count):
        model, _ = random_parts(seed)
        feed = random_feed(np.random.default_rng(seed), model)
        far = 0.0
        for optimize in (False, True):
            _, made = put_together(model, feed, optimize)
            if made:
                far = max(far, difference(run_model(model, feed, optimize), made))
        cut += bool(made)
        equal += bool(made) and far <= ALLOWED
    yield reported(f"{count} random networks", "fall apart", cut)
    yield at_least(f"{count} random networks", "put together, equal", equal, cut)


def in_branches() -> onnx.ModelProto:
    return repeated(
        np.random.default_rng(0), Repeated(source="split", lanes=DOMAINS, inputs=256, widths=(1024, 256))
    ).model


def in_dense(width: int) -> onnx.ModelProto:
    sizes = {"d": DOMAINS * width, "hidden": DOMAINS * 4 * width}
    return ffn.build(np.random.default_rng(0), **sizes, blocks=DOMAINS).model


def cut(row: str, model: onnx.ModelProto, home: Path, seconds: float) -> Iterator[Figure]:
    """How long that takes, proof included."""
    onnx.save(model, home / "dense.onnx")
    wall, began = time.perf_counter(), time.process_time()
    found = scission.partition(home / "dense.onnx", home / "parts", trials=TRIALS)
    yield at_most(row, "seconds to cut", time.process_time() - began, seconds)
    yield reported(row, "seconds to cut, on the clock", time.perf_counter() - wall)
    yield reported(row, "parts", len(found.manifest.parts))


def of_domains(row: str, model: onnx.ModelProto, seconds: float) -> Iterator[Figure]:
    """One model of many domains."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        yield from cut(row, model, home, seconds)
        scission.partition(home / "dense.onnx", home / "few", parts=FEW, trials=TRIALS)
        few = scission.load_parts(home / "few", threads=1)
        parts = scission.load_parts(home / "parts", threads=1)
        name, value = model.graph.input[0].name, model.graph.output[0].name
        width = sum(part.reads[0].places[1].size for part in parts.manifest.parts)
        over = statistics.median(held(home / "parts") for _ in range(PROCESSES))
        large = sum(part.bytes_ for part in parts.manifest.parts) >= LARGE  # or else sessions are larger than weights
        yield (at_most(row, HELD, over, 1.1) if large else reported(row, HELD, over))
        scission.optimize(home / "dense.onnx", home / "split.onnx", provider="cpu", threads=1, batch=16)
        paths = {kind: home / f"{kind}.onnx" for kind in ("dense", "split")}
        sessions: dict[str, Any] = {kind: open_session(path, threads=1) for kind, path in paths.items()}
        for rows in (1, 16):
            for active in (1, 2, DOMAINS):
                x = np.zeros((rows, width), np.float32)
                for part in parts.manifest.parts[:active]:
                    places = part.reads[0].places[1]
                    x[:, places] = np.random.default_rng(active).standard_normal((rows, places.size))
                answer = parts.run({name: x})[value]
                expected = sessions["dense"].run({name: x})[value]
                assert np.abs(answer - expected).max() <= ALLOWED * np.abs(expected).max()
                calls = {
                    kind: lambda one=one, x=x: one.run({name: x})
                    for kind, one in {**sessions, "parts": parts, "few": few}.items()
                }
                took = turns(calls, seconds=2.0, drop=1e9, clock=time.process_time)
                yield from compared(f"{row}, {active} active, {rows} rows", active, took)


def compared(row: str, active: int, took: dict[str, float]) -> Iterator[Figure]:
    yield reported(row, "milliseconds", 1e3 * took["parts"])
    if active < DOMAINS:
        yield at_least(row, "throughput over the model", took["dense"] / took["parts"], 8)
    else:
        yield reported(row, "throughput over the model", took["dense"] / took["parts"])
        yield at_least(row, "throughput over the split one", took["split"] / took["parts"], 0.9)
    few = took["dense" if active < DOMAINS else "split"] / took["few"]
    yield reported(row, f"in {FEW} files, over {'the model' if active < DOMAINS else 'the split one'}", few)


def held(folder: Path) -> float:
    """Bytes that a new process holds of the parts of a folder once they have run, over those of their files."""
    told = subprocess.run([sys.executable, "-c", HOLDING, str(folder)], capture_output=True, text=True, check=True)
    return float(told.stdout)


def figures(only: Sequence[str], models: int) -> Iterator[Figure]:
    if "random" in only:
        yield from of_random_networks(models)
    if "domains" in only:
        yield from of_domains("64 domains", in_branches(), 30)
    if "hidden" in only:
        yield from of_domains("64 hidden domains", in_dense(16), 5)
    if "large" in only:
        with tempfile.TemporaryDirectory() as home:
            yield from cut("64 hidden domains, 103 MB", in_dense(28), Path(home), 30)


if __name__ == "__main__":
    sys.exit(
        bench_with(
            "serve",
            __doc__,
            ("random", "domains", "hidden", "large"),
            figures,
            models={"type": int, "default": 300, "help": "random networks"},
        )
    )
