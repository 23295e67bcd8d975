"""Random Fourier transforms, with all that a DFT and an STFT may say, and their exact results."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def random_dft(seed: int) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """A DFT of real or complex signals; with signals, and the exact result."""
    rng, values = Random(seed), np.random.default_rng(seed)
    opset, rank, parts = rng.choice([17, 20, 21]), rng.choice([3, 3, 4]), rng.choice([1, 2])
    axis = rng.randrange(rank - 1) if rank == 4 else 1
    extents = [rng.choice([1, 2, 3, 0]) for _ in range(rank - 1)]
    extents[axis] = rng.choice([2, 3, 5, 8, 12, 16, 30, 32])
    length = rng.choice([None, None, extents[axis], extents[axis] + 3, max(extents[axis] - 2, 1)])
    inverse, onesided = rng.choice([0, 1]), rng.choice([0, 1])
    if inverse and onesided and rng.random() < 0.7:  # of half of the frequencies, as many as a length has
        length = rng.choice([None, 2 * extents[axis] - 2, 2 * extents[axis] - 1])
    x = values.standard_normal((*extents, parts)).astype(np.float32)
    shape = [extent if at == axis or rng.random() < 0.5 else f"d{at}" for at, extent in enumerate(extents)]
    attributes, held = {"inverse": inverse, "onesided": onesided}, {}
    told = axis - rng.choice([0, rank])
    names = ["x"]
    if length is not None:
        held["length"] = np.int64(length)
    if opset < 20:
        attributes["axis"] = told
        names += ["length"] if length is not None else []
    elif axis != rank - 2 or rng.random() < 0.5:
        held["axis"] = np.int64(told)
        names += ["length" if length is not None else "", "axis"]
    else:
        names += ["length"] if length is not None else []
    node = helper.make_node("DFT", names, ["y"], "dft", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*shape, parts])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    signal = x[..., 0].astype(np.float64) + (1j * x[..., 1].astype(np.float64) if parts == 2 else 0)
    if inverse and onesided and parts == 2:
        # That some extents are 0 is nothing to numpy's inverse of half of the frequencies.
        return model, x, np.fft.irfft(signal, length or 2 * (extents[axis] - 1), axis)[..., None]
    exact = (np.fft.ifft if inverse else np.fft.fft)(signal, length or extents[axis], axis)
    if onesided:
        exact = np.take(exact, range((length or extents[axis]) // 2 + 1), axis)
    return model, x, np.stack([exact.real, exact.imag], -1)


def random_stft(seed: int) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """An STFT of real or complex signals, with a window, a length, or both; with signals, and the exact result."""
    rng, values = Random(seed), np.random.default_rng(seed)
    opset, rank, parts, n = rng.choice([17, 20, 21]), rng.choice([2, 3]), rng.choice([1, 1, 2]), rng.randrange(2, 33)
    if parts == 2:
        rank = 3
    step, onesided, samples = rng.randrange(1, 12), rng.choice([None, 0, 1]), n + rng.randrange(1, 50)
    x = values.standard_normal((rng.choice([1, 2, 3]), samples, parts)).astype(np.float32)
    window, told = values.uniform(-1, 1, n).astype(np.float32), rng.choice(["window", "length", "both"])
    held: dict[str, np.ndarray] = {"step": np.int64(step)}
    held |= {"window": window} if told != "length" else {}
    held |= {"n": np.int64(n)} if told != "window" else {}
    names = ["x", "step", "window" if "window" in held else "", *(["n"] if "n" in held else [])]
    node = helper.make_node("STFT", names, ["y"], "stft", **({} if onesided is None else {"onesided": onesided}))
    extents = [extent if rng.random() < 0.5 else name for extent, name in zip(x.shape, "bn", strict=False)]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*extents, parts][:rank])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    signal = x[..., 0].astype(np.float64) + (1j * x[..., 1].astype(np.float64) if parts == 2 else 0)
    frames = np.lib.stride_tricks.sliding_window_view(signal, n, 1)[:, ::step]
    exact = np.fft.fft(frames * (window.astype(np.float64) if "window" in held else 1))
    exact = exact[..., : n if onesided == 0 else n // 2 + 1]
    return model, x[..., 0] if rank == 2 else x, np.stack([exact.real, exact.imag], -1)
