"""Dense weights that are products of smaller ones: `python tests/bench/factor.py [--only ROW ...] [--save]`.

Fourier transforms of 400 to 2048 places for 3,000 frames, with windows and without, Hadamard, Kronecker, cosine and
wavelet matrices, circulant ones and a resampler, each planned, proved and timed beside the original: medians of
interleaved runs on one thread; with the multiply-adds that are left, and the error against float64 over that of the
original. And random products of two to four stages, an ulp off and with rows and columns in no order: how many of them
are found; and what looking for products adds to planning language models that have none.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from figures import Figure, at_least, at_most, bench, reported
from onnx import TensorProto, helper, numpy_helper

sys.path.append(str(Path(__file__).parents[1] / "support"))

from hierarchical import DAUBECHIES, wavelet

import scission
from scission.ir.plan.factored_weight import FactoredWeight, HierarchicalWeight
from scission.models.trained import gpt2
from scission.passes.factor.certificate import certify
from scission.passes.factor.factorise import factorise
from scission.passes.factor.stages import Factors, Stage
from scission.runtime.ort.library import onnxruntime

Array = npt.NDArray[np.float32]
FRAMES = 3000
FOURIER = {400: 2.2, 512: 2.2, 1024: 3.5, 2048: 7.0}  # places, and how many times as fast is wanted
SAMPLE = 256  # rows of which the error is taken
CASES = 500  # random products
SIZES = {2: (4, 17), 3: (4, 9), 4: (3, 6)}  # of the matrices of so many stages, from and below
SIZED = {"GPT-2": (12, 768, 50257), "MiniLM": (6, 384, 30522)}  # layers, width, words of models of random weights
TURNS = 15  # twice as often models are planned with the search and without it, by turns the one first and the other
OVERHEAD = 1.02
ERROR = 1.5  # times that of the dense product
WRITTEN = FactoredWeight, HierarchicalWeight


def transforms() -> Iterator[Figure]:
    """Real and imaginary parts of all frequencies of a real signal."""
    for places, wanted in FOURIER.items():
        yield from figures(f"DFT {places}", fourier(places), FRAMES, wanted)
    window = np.hanning(402)[1:-1]
    yield from figures("DFT 400 with a window", fourier(400) * window[:, None].astype(np.float32), FRAMES, 2.2)


def signs() -> Iterator[Figure]:
    """Hadamard matrices."""
    for size, wanted in ((1024, 14.0), (4096, 37.0)):
        weight = kronecker([np.array([[1, 1], [1, -1]])] * (size.bit_length() - 1))
        yield from figures(f"Hadamard {size}", weight, FRAMES, wanted)


def kroneckers() -> Iterator[Figure]:
    """Three random factors: what is wanted is six tenths of what the multiply-adds say."""
    rng = np.random.default_rng(0)
    weight = kronecker([rng.standard_normal((16, 16)) for _ in range(3)])
    yield from figures("Kronecker of three 16 x 16", weight, FRAMES, 0.6 * 4096 / 48)


def others() -> Iterator[Figure]:
    """What else is asked for; where nothing is done it is said what the plan says."""
    turns = np.outer(2 * np.arange(1024) + 1, np.arange(1024))
    yield from figures("DCT-II 1024", np.cos(np.pi / 2048 * turns).astype(np.float32), FRAMES, 1.5)
    yield from figures("Haar wavelet 1024", wavelet(1024), FRAMES, 1.5)
    yield from figures("Daubechies-4 wavelet 1024", wavelet(1024, DAUBECHIES), FRAMES, 1.5)
    column = np.random.default_rng(0).standard_normal(2048).astype(np.float32)
    circulant = column[(np.arange(2048)[:, None] - np.arange(2048)) % 2048]
    yield from figures("circulant 2048", circulant, FRAMES, 1.5)
    yield from figures("resampler 44.1 to 16 kHz", resampler(1764, 640), FRAMES, 1.5)


def hidden() -> Iterator[Figure]:
    """Random products of two to four stages in no order, half of them Kronecker products, an ulp off."""
    found = whole = wrong = 0
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        count = 2 + seed % 3
        sizes = rng.integers(*SIZES[count], (count, 2))
        exact = kronecker([rng.standard_normal(size) for size in sizes]) if seed % 2 else butterfly(rng, sizes)
        weight = np.nextafter(exact, np.where(rng.random(exact.shape) < 0.5, -np.inf, np.inf).astype(np.float32))
        weight = weight[rng.permutation(len(weight))][:, rng.permutation(weight.shape[1])]
        made = factorise(weight, lambda factors: factors.macs)
        if made is None or not certify(weight, made[1]).holds:
            continue
        found, whole = found + 1, whole + (len(made[1].stages) == count)
        wrong += bool(abs(made[1].product() - weight).max() > 1e-6 * abs(weight).max())
    yield at_least("hidden orders", "found of 100", 100 * found / CASES, 95)
    yield reported("hidden orders", "found with all of their stages, of 100", 100 * whole / CASES)
    yield at_most("hidden orders", "wrong", wrong, 0)


def planning() -> Iterator[Figure]:
    """Processor time of planning models of the size of known ones, over that without looking for factors."""
    for name, (layers, width, words) in SIZED.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            gpt2.build(np.random.default_rng(0), path, layers, width, words)
            taken: dict[bool, list[float]] = {True: [], False: []}
            turns = ((factors, not factors) for factors in (True, False) * TURNS)
            found = sum(len(timed(path, factors, taken)) for turn in turns for factors in turn)
        ratios = np.divide(taken[True], taken[False])
        yield reported(f"planning {name}", "processor seconds without the search", float(np.median(taken[False])))
        yield at_most(f"planning {name}", "with the search, over that", float(np.median(ratios)), OVERHEAD)
        yield at_most(f"planning {name}", "false factors", found, 0)


def timed(path: Path, factors: bool, taken: dict[bool, list[float]]) -> list[FactoredWeight | HierarchicalWeight]:
    """The factors in a plan of a model, which is timed."""
    started = time.process_time()
    found = scission.plan(path, factors=factors)
    taken[factors].append(time.process_time() - started)
    return [one for one in found.preparations if isinstance(one, WRITTEN)]


def butterfly(rng: np.random.Generator, sizes: npt.NDArray[np.int64]) -> Array:
    """A random product of stages (radix, made), in which each group and place has a matrix of its own."""
    stages, groups, places = [], 1, int(np.prod(sizes[:, 0]))
    for radix, made in sizes.tolist():
        places //= radix
        stages.append(Stage(weight=rng.standard_normal((groups, places, radix, made)), radix=radix, ranks=1))
        groups *= made
    return Factors(stages=tuple(stages), order=np.arange(groups)).product().astype(np.float32)


def fourier(places: int) -> Array:
    """(places, 2 · frequencies), real parts first."""
    bins = places // 2 + 1
    angles = 2 * np.pi / places * (np.outer(np.arange(places), np.arange(bins)) % places)
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=1).astype(np.float32)


def kronecker(factors: Sequence[npt.NDArray[np.generic]]) -> Array:
    """The Kronecker product of some matrices."""
    whole: npt.NDArray[np.generic] = np.ones((1, 1))
    for factor in factors:
        whole = np.kron(whole, factor)
    return whole.astype(np.float32)


def resampler(places: int, outputs: int) -> Array:
    """(places, outputs): a windowed sinc of 32 zero crossings, at another rate."""
    ratio = places / outputs
    distance = np.arange(places)[:, None] - np.arange(outputs) * ratio
    kernel = np.sinc(distance / ratio) / ratio * np.cos(np.pi * np.clip(distance / (32 * ratio), -0.5, 0.5)) ** 2
    return np.where(abs(distance) < 16 * ratio, kernel, 0).astype(np.float32)


def figures(name: str, weight: Array, rows: int, wanted: float) -> Iterator[Figure]:
    """What becomes of one product of so many rows."""
    K, N = weight.shape
    ends = [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n", size]) for key, size in (("x", K), ("y", N))]
    node = helper.make_node("MatMul", ["x", "W"], ["y"], "product")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "W")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = scission.optimize(model, batch=[rows], trials=scission.Trials(threads=1, provider="cpu", seconds=2.0))
    factors = [one for one in found.plan.preparations if isinstance(one, WRITTEN)]
    if not factors:
        print(f"{name}: no factors: {found.plan.steps[0].reason}")
    for one in factors:
        print(f"{name}: {one.reason}")
        yield reported(name, "multiply-adds, dense over factored", K * N / one.macs)
    yield at_least(name, "equal (1 = yes)", float(found.verdict is None or found.verdict.equal), 1)
    yield at_least(name, f"speed-up, {rows} rows", found.benches[0].speedup if found.benches else 1.0, wanted)
    if found.outcome == "split":
        ratio = error_ratio(model, found.model, weight)
        yield at_most(name, "error against float64, over the original's", ratio, ERROR)


def error_ratio(before: onnx.ModelProto, after: onnx.ModelProto, weight: Array) -> float:
    """The largest error of one model over that of the other."""
    x = np.random.default_rng(1).standard_normal((SAMPLE, weight.shape[0])).astype(np.float32)
    exact = x.astype(np.float64) @ weight.astype(np.float64)
    errors = [abs(run(model, x) - exact).max() for model in (after, before)]
    return float(errors[0] / errors[1])


def run(model: onnx.ModelProto, x: Array) -> Array:
    """What a model makes of its input."""
    session = onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {"x": x})[0]
    return found


ROWS = {
    "transforms": transforms,
    "signs": signs,
    "kroneckers": kroneckers,
    "others": others,
    "hidden": hidden,
    "planning": planning,
}

if __name__ == "__main__":
    sys.exit(bench("factor", __doc__, ROWS))
