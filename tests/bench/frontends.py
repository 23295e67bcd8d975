"""Front ends of speech models: `python tests/bench/frontends.py [--only ROW ...] [--save]`.

Log-mel spectrograms of half a minute of sound at 16 kHz, as an STFT operator and as the convolution that exporters
write instead, with the frames of Whisper (400 samples, 160 apart, 80 and 128 mels), of NeMo and of Kaldi (512, 160),
and that of a voice detector on one chunk: the whole model optimised, proved and timed beside the original, medians of
interleaved runs on one thread; and for the operator the same computed with numpy's rfft, by turns with ours. Models of
public packages of `.bench/zoo/`, downloaded as `zoo.py` does, are optimised whole.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from figures import Figure, at_least, at_most, bench, reported
from onnx import TensorProto, helper, numpy_helper
from zoo import fetch, files

import scission
from scission.runtime.ort.library import onnxruntime

Array = npt.NDArray[np.float32]
RATE, SAMPLES = 16000, 480000
ROUNDS = 15
SHORTEST = 7  # runs of either model, of which the shortest tells what other work on the machine does not
FLOOR = 1e-10  # of what a logarithm is taken
NOISE = 0.98  # a model this fast is not called slower
AXES = (  # name, places, extents without the batch, what is told, gain
    ("real", 400, (400, 1), {"axis": 1, "onesided": 1}, 10.0),
    ("complex", 400, (400, 2), {"axis": 1}, 2.0),
    ("complex, inverse", 400, (400, 2), {"axis": 1, "inverse": 1}, 2.0),
    ("half of the frequencies, inverse", 400, (201, 2), {"axis": 1, "inverse": 1, "onesided": 1}, 2.0),
    ("real, axis before others, operator set 20", 400, (400, 30, 1), {"axis": 1, "onesided": 1, "opset": 20}, 2.0),
    ("real", 512, (512, 1), {"axis": 1, "onesided": 1}, 1.0),
    ("real", 1024, (1024, 1), {"axis": 1, "onesided": 1}, 1.0),
)
PUBLISHED = {  # the sizes that each package runs its own models at
    "silero-vad": {"batch": 1, "sequence": 576, "sequence_length": 1},
    "basic-pitch": {"unk__749": 1},
}


def operators() -> Iterator[Figure]:
    """The STFT operator."""
    for mels in (80, 128):
        name = f"Whisper, STFT, {mels} mels"
        window = np.hanning(401)[:-1].astype(np.float32)
        model = operator(window, 160, mels)
        after = yield from figures(name, model, SAMPLES, 20.0)
        yield reported(name, f"speed-up of the shortest of {SHORTEST} runs", of_shortest(model, after or model))
        yield at_most(name, "time over numpy's", over_numpy(after or model, window, 160, mels), 1.5)


def convolutions() -> Iterator[Figure]:
    """The same as a convolution."""
    povey = np.pad(np.hanning(400) ** 0.85, (0, 112))
    nemo = np.pad(np.hanning(400), 56)
    windows = {"Whisper": np.hanning(401)[:-1], "NeMo": nemo, "Kaldi": povey}
    for name, window in windows.items():
        model = convolution(window.astype(np.float32), 160, 80)
        yield from figures(f"{name}, convolution of {window.size}, 80 mels", model, SAMPLES, 2.0)


def chunks() -> Iterator[Figure]:
    """What a voice detector computes of one chunk: too little to gain, so nothing may be lost."""
    model = convolution(np.hanning(257)[:-1].astype(np.float32), 128, 64)
    yield from figures("voice detector, convolution of 256, one chunk", model, 576, 1.0)


def along_axes() -> Iterator[Figure]:
    """DFT operators of 3,000 rows, real and complex, forward and inverse, of which powers of two are only reported."""
    for name, places, shape, attributes, wanted in AXES:
        yield from along_axis(f"DFT operator, {places} places, {name}", shape, attributes, wanted)


def along_axis(name: str, shape: tuple[int, ...], attributes: dict[str, int], wanted: float) -> Iterator[Figure]:
    """What becomes of one DFT, whose axis is an operand from operator set 20 on."""
    opset = attributes.get("opset", 17)
    told = {word: value for word, value in attributes.items() if word != "opset"}
    if opset < 20:
        node = helper.make_node("DFT", ["x"], ["y"], "dft", **told)
    else:
        node = helper.make_node("DFT", ["x", "", "axis"], ["y"], "dft", onesided=told.get("onesided", 0))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(told["axis"], np.int64), "axis")] if opset >= 20 else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    rows = 3000 if len(shape) == 2 else 100
    found = scission.optimize(model, batch=[rows], trials=scission.Trials(threads=1, provider="cpu", seconds=2.0))
    for one in found.plan.preparations:
        print(f"{name}: {one.reason}")
    yield at_least(name, "equal (1 = yes)", float(found.verdict is None or found.verdict.equal), 1)
    yield at_least(name, "speed-up", found.benches[0].speedup if found.benches else 1.0, wanted)


def published() -> Iterator[Figure]:
    """Voice detectors and a transcriber of notes as packages ship them: never slower, and why nothing is done."""
    for package, shipped in PUBLISHED.items():
        if fetch(package) is None:
            raise SystemExit(f"{package} cannot be downloaded: run this where packages can be")
        for path in files([package]):
            model = onnx.load(path)
            open_ones = {dim.dim_param for one in model.graph.input for dim in one.type.tensor_type.shape.dim}
            sizes = {name: size for name, size in shipped.items() if name in open_ones}
            trials = scission.Trials(threads=1, provider="cpu", seconds=4.0, sizes=sizes or None)
            found = scission.optimize(model, trials=trials)
            yield from of_published(f"{package}, {path.stem}", found)


def of_published(name: str, found: scission.Result) -> Iterator[Figure]:
    """What became of a whole model, and of its products of frames; one that comes back as it was is as fast."""
    frames = [one for one in found.plan.refused if one.kind == "frames"]
    for why in (*(one.reason for one in found.plan.preparations), *(one.reason for one in frames)):
        print(f"{name}: {why.cause}: {why}")
    yield at_least(name, "equal (1 = yes)", float(found.verdict is None or found.verdict.equal), 1)
    slowest = min((one.speedup for one in found.benches), default=1.0)
    yield at_least(name, f"speed-up of the whole model, {found.outcome}", slowest, NOISE)
    for cause, count in Counter(one.reason.cause.value for one in frames).items():
        yield reported(name, f"products of frames left: {cause}", count)
    if predicted := [one.gain for one in frames if one.gain is not None]:
        yield reported(name, "predicted speed-up of frames as stages", min(predicted))


def operator(window: Array, hop: int, mels: int) -> onnx.ModelProto:
    """Signals to logarithms of mels, by an STFT operator."""
    nodes = [
        helper.make_node("STFT", ["x", "hop", "window"], ["spectrum"], "stft"),
        helper.make_node("ReduceSumSquare", ["spectrum"], ["power"], "power", axes=[-1], keepdims=0),
        *logarithm(),
    ]
    return model_of(nodes, {"hop": np.int64(hop), "window": window, "mel": bank(window.size // 2 + 1, mels)})


def convolution(window: Array, hop: int, mels: int) -> onnx.ModelProto:
    """Signals to logarithms of mels, by a convolution."""
    bins = window.size // 2 + 1
    angles = 2 * np.pi / window.size * (np.outer(np.arange(bins), np.arange(window.size)) % window.size)
    weight = np.concatenate([np.cos(angles), -np.sin(angles)]) * window
    nodes = [
        helper.make_node("Unsqueeze", ["x", "channel"], ["signal"], "channel"),
        helper.make_node("Conv", ["signal", "W"], ["parts"], "stft", strides=[hop]),
        helper.make_node("Reshape", ["parts", "shape"], ["both"], "parts"),
        helper.make_node("ReduceSumSquare", ["both"], ["rows"], "power", axes=[1], keepdims=0),
        helper.make_node("Transpose", ["rows"], ["power"], "turn", perm=[0, 2, 1]),
        *logarithm(),
    ]
    held = {"W": weight[:, None].astype(np.float32), "mel": bank(bins, mels)}
    return model_of(nodes, held | {"channel": np.int64([1]), "shape": np.int64([0, 2, bins, -1])})


def logarithm() -> list[onnx.NodeProto]:
    """The mels of a power, and their logarithm."""
    return [
        helper.make_node("MatMul", ["power", "mel"], ["mels"], "mel"),
        helper.make_node("Clip", ["mels", "floor"], ["some"], "floor"),
        helper.make_node("Log", ["some"], ["y"], "log"),
    ]


def model_of(nodes: list[onnx.NodeProto], held: dict[str, npt.NDArray[np.generic]]) -> onnx.ModelProto:
    """Signals x (b, n) to y."""
    held["floor"] = np.float32(FLOOR)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def bank(bins: int, mels: int) -> Array:
    """(bins, mels): triangles that are equally far apart on the mel scale, as ONNX's MelWeightMatrix has them not
    rounded to bins."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), mels + 2) / 2595) - 1)
    places = np.linspace(0, RATE / 2, bins)[:, None]
    rising = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def figures(
    name: str, model: onnx.ModelProto, samples: int, wanted: float
) -> Generator[Figure, None, onnx.ModelProto | None]:
    """What becomes of a whole model on one signal; returns the model that comes out."""
    trials = scission.Trials(threads=1, provider="cpu", seconds=2.0, sizes={"b": 1, "n": samples})
    found = scission.optimize(model, trials=trials)
    for one in found.plan.preparations:
        print(f"{name}: {one.reason}")
    yield at_least(name, "equal (1 = yes)", float(found.verdict is None or found.verdict.equal), 1)
    yield at_least(name, "speed-up of the whole model", found.benches[0].speedup if found.benches else 1.0, wanted)
    exact, x = reference(model, samples)
    errors = [abs(run(one, x) - exact).max() for one in (found.model, model)]
    yield reported(name, "error against float64, over the original's", float(errors[0] / errors[1]))
    return found.model


def reference(model: onnx.ModelProto, samples: int) -> tuple[npt.NDArray[np.float64], Array]:
    """The exact result of a model on some signal, and the signal."""
    held = {one.name: numpy_helper.to_array(one).astype(np.float64) for one in model.graph.initializer}
    x = signal(samples)
    if "window" in held:
        weights, hop, n = None, int(held["hop"]), held["window"].size
    else:
        weights, hop, n = held["W"][:, 0].T, 160 if samples == SAMPLES else 128, held["W"].shape[2]
    frames = np.lib.stride_tricks.sliding_window_view(x[0].astype(np.float64), n)[::hop]
    if weights is None:
        power = abs(np.fft.rfft(frames * held["window"])) ** 2
    else:
        parts = frames @ weights
        power = parts[:, : n // 2 + 1] ** 2 + parts[:, n // 2 + 1 :] ** 2
    return np.log(np.maximum(power @ held["mel"], FLOOR))[None], x


def signal(samples: int) -> Array:
    """One signal (1, samples) of noise."""
    return (0.1 * np.random.default_rng(0).standard_normal((1, samples))).astype(np.float32)


def over_numpy(model: onnx.ModelProto, window: Array, hop: int, mels: int) -> float:
    """Seconds of a model over those of numpy's rfft with the same window, power, mels and logarithm, by turns."""
    x, mel, session = signal(SAMPLES), bank(window.size // 2 + 1, mels), opened(model)

    def by_numpy() -> Array:
        frames = np.lib.stride_tricks.sliding_window_view(x[0], window.size)[::hop] * window
        spectrum = np.fft.rfft(frames)
        return np.log(np.maximum((spectrum.real**2 + spectrum.imag**2) @ mel, FLOOR))

    works: list[Callable[[], object]] = [lambda: session.run(None, {"x": x}), by_numpy]
    taken: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for work, own in zip(works, taken, strict=True):
            begun = time.perf_counter()
            work()
            own.append(time.perf_counter() - begun)
    ours, others = map(statistics.median, taken)
    return ours / others


def of_shortest(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    """The shortest run of one model over that of the other, by turns."""
    x, sessions = signal(SAMPLES), [opened(before), opened(after)]
    taken: list[list[float]] = [[], []]
    for _ in range(SHORTEST):
        for session, own in zip(sessions, taken, strict=True):
            begun = time.perf_counter()
            session.run(None, {"x": x})
            own.append(time.perf_counter() - begun)
    return min(taken[0]) / min(taken[1])


def opened(model: onnx.ModelProto) -> Any:
    """A session of one thread."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, x: Array) -> Array:
    """What a model makes of its input."""
    found: Array = opened(model).run(None, {"x": x})[0]
    return found


ROWS = {
    "operators": operators,
    "convolutions": convolutions,
    "chunks": chunks,
    "along_axes": along_axes,
    "published": published,
}

if __name__ == "__main__":
    sys.exit(bench("frontends", __doc__, ROWS))
