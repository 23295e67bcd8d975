"""Models with several preparations, and ordinary operators beside them: front ends, transforms, products, wavelets."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
from factored import cosine, fourier, hadamard, kronecker
from framed import bank
from hierarchical import DAUBECHIES, HAAR, wavelet
from random_convolutions import Grown

WIDTHS = (64, 256, 512)
SAMPLES = 640
SIZES = {"n": 64, "b": 4, "samples": 4000}  # for which costs are predicted
SQUARES = ("hadamard", "cosine", "kronecker", "hidden", "haar", "daubechies", "blocks", "plain")


def random_prepared(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One to three chains that share nothing but the model, with feeds."""
    made, rng = Grown(seed), Random(seed + 1)
    made.opset = 17
    ends = [_grown(made, rng, place) for place in range(rng.choice([1, 2, 2, 3]))]
    made.outputs += ends[1:]
    return made.model(ends[0]), made.feeds


def _grown(made: Grown, rng: Random, place: int) -> str:
    kind = rng.choice(["squares", "squares", "squares", "frames", "dft"])
    name = f"x{place}"
    if kind == "squares":
        return _squares(made, rng, name)
    return _frames(made, rng, name) if kind == "frames" else _dft(made, rng, name)


def _squares(made: Grown, rng: Random, name: str) -> str:
    """Products one after another, with something between them."""
    width = rng.choice(WIDTHS)
    lead: list[int] = [3] if rng.random() < 0.7 else [3, 2]
    made.inputs[name] = [*("n" if at == 0 else one for at, one in enumerate(lead)), width]
    made.feeds[name] = made.normal(*lead, width)
    value = name
    for _ in range(rng.choice([1, 2, 3])):
        weight = square(rng, made.values, width)
        scale = np.float32(1 / max(np.linalg.norm(weight, axis=0).max(), 1e-6))
        made_of = made.op("MatMul", value, made.constant(weight * scale))
        if rng.random() < 0.3:
            made_of = made.op("Add", made_of, made.constant(made.normal(width)))
        if rng.random() < 0.2:
            made_of = made.op("Add", made_of, value)
        if rng.random() < 0.2:
            made.outputs.append(made_of)
        value = made.op(rng.choice(["Tanh", "Relu", "Softmax", "Neg"]), made_of)
    return value


def square(rng: Random, values: np.random.Generator, width: int) -> np.ndarray:
    """(width, width): a product, a wavelet, blocks, or nothing of the kind."""
    match rng.choice(SQUARES):
        case "hadamard":
            return hadamard(width)
        case "cosine":
            return cosine(width)
        case "kronecker":
            return kronecker(*_pair(values, width))
        case "hidden":
            return kronecker(*_pair(values, width))[values.permutation(width)][:, values.permutation(width)]
        case "haar":
            return wavelet(width, HAAR)
        case "daubechies":
            return wavelet(width, DAUBECHIES)
        case "blocks":
            count = rng.choice([4, 8])
            weight = np.kron(np.eye(count), np.ones((width // count, width // count)))
            order = values.permutation(width)
            return (weight * values.standard_normal((width, width)))[order][:, order].astype(np.float32)
        case _:
            return values.standard_normal((width, width)).astype(np.float32)


def _pair(values: np.random.Generator, width: int) -> list[np.ndarray]:
    first = {64: 8, 256: 16, 512: 16}[width]
    return [values.standard_normal((side, side)) for side in (first, width // first)]


def _frames(made: Grown, rng: Random, name: str) -> str:
    """Frames of a signal by a convolution or an operator, now and then with their power and a filter bank behind."""
    length, hop = rng.choice([(128, 32), (256, 64), (160, 80)])
    bins, samples = length // 2 + 1, SAMPLES
    window = np.hanning(length + 1)[:-1]
    if rng.random() < 0.5:
        made.inputs[name], made.feeds[name] = ["b", "samples", 1], made.normal(2, samples, 1)
        operands = made.constant(np.int64(hop)), made.constant(window.astype(np.float32))
        return made.op("STFT", name, *operands, onesided=1)
    made.inputs[name], made.feeds[name] = ["b", 1, "samples"], made.normal(2, 1, samples)
    weight = fourier(length, window=window)
    pads = [length // 2] * 2 if rng.random() < 0.5 else [0, 0]
    value = made.op("Conv", name, made.constant(np.ascontiguousarray(weight.T)[:, None]), strides=[hop], pads=pads)
    if rng.random() < 0.3:
        return value
    value = made.op("Reshape", value, made.constant(np.int64([0, 2, bins, -1])))
    value = made.op("ReduceSumSquare", value, axes=[1], keepdims=0)
    if rng.random() < 0.3:
        return value
    value = made.op("Transpose", value, perm=[0, 2, 1])
    return made.op("MatMul", value, made.constant(bank(bins, 24, made.values)))


def _dft(made: Grown, rng: Random, name: str) -> str:
    length = rng.choice([120, 200, 256])
    made.inputs[name], made.feeds[name] = ["b", length, 1], made.normal(2, length, 1)
    return made.op("DFT", name, axis=1, onesided=rng.choice([0, 1]))
