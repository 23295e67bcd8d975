"""The same weights in the formats that others multiply sparse matrices in, and dense, one after another in one run."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import torch
from figures import Figure, at_least, reported
from raced import Setting, bound, made, product, require_close, rewritten, turns
from scipy.sparse import csr_array

from scission.models.matrix import weight
from scission.models.networks import forest
from scission.models.planted import ffn as planted_ffn

TILES = (16, 64)  # largest sides of a block of BSR


def formats(setting: Setting) -> Iterator[Figure]:
    """One product each, 256 rows and one; the weights lie ready in each format, activations are rows."""
    torch.set_num_threads(setting.threads)
    for name, (build, structured) in WEIGHTS.items():
        path = made(f"format-{slug(name)}.onnx", lambda p, build=build: onnx.save(product(build()), p))
        W = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])
        held = others(W)
        for batch in (256, 1):
            feeds = {"x": np.random.default_rng(0).standard_normal((batch, len(W)), np.float32)}
            pair = rewritten(path, feeds, batch, setting)
            calls = {
                "scission": bound(pair.split, feeds, setting),
                "ONNX Runtime": bound(path, feeds, setting),
                **{kind: call(feeds["x"]) for kind, call in held.items()},
            }
            expected = feeds["x"] @ W
            for kind in held:
                require_close(f"{name}: {kind}", expected, calls[kind]())
            seconds = turns(calls)
            yield from placed(name, f"batch {batch}", pair.lowerings, seconds, structured)


def placed(row: str, at: str, lowerings: str, seconds: dict[str, float], structured: bool) -> Iterator[Figure]:
    """The fastest of the others over scission, and what each took."""
    best = min((name for name in seconds if name != "scission"), key=seconds.__getitem__)
    what = f"{at}, {lowerings}: {best}, the best of the others, / scission"
    ratio = seconds[best] / seconds["scission"]
    yield at_least(row, what, ratio, 1) if structured else reported(row, what, ratio)
    for name, taken in seconds.items():
        yield reported(row, f"{at}, {name}: ms", taken * 1e3)


def others(W: np.ndarray) -> dict[str, Callable[[np.ndarray], Callable[[], np.ndarray]]]:
    """A call for given activations, in each format; the weight has its outputs in rows, which is faster."""
    turned = np.ascontiguousarray(W.T)
    dense = torch.from_numpy(turned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sparse tensors are in beta state
        side = {tile: max(d for d in range(1, tile + 1) if math.gcd(*W.shape) % d == 0) for tile in TILES}
        held = {f"torch BSR {n}x{n}": dense.to_sparse_bsr((n, n)) for n in side.values()}
        held["torch CSR"] = dense.to_sparse_csr()
    scipys = csr_array(turned)
    return {
        "scipy CSR": lambda x: lambda: (scipys @ x.T).T,
        **{name: lambda x, A=A: lambda: (A @ torch.from_numpy(x).T).T.numpy() for name, A in held.items()},
    }


def slug(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def square(*, contiguous: bool) -> np.ndarray:
    return weight(np.random.default_rng(0), [(256, 256)] * 16, contiguous=contiguous)[0]


def of_model(model: onnx.ModelProto, name: str) -> np.ndarray:
    return onnx.numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))


def of_ffn(name: str) -> np.ndarray:
    return of_model(planted_ffn.build(np.random.default_rng(0), 2048, 8192, 16).model, name)


def route() -> np.ndarray:
    return of_model(forest.build(np.random.default_rng(0), 100, 100, shuffle=False).model, "C")


def pruned() -> np.ndarray:
    rng = np.random.default_rng(0)
    W = rng.standard_normal((4096, 4096), np.float32)
    return np.where(rng.random(W.shape, np.float32) < 0.01, W, np.float32(0))


WEIGHTS: dict[str, tuple[Callable[[], np.ndarray], bool]] = {  # by name: how it is made, and whether it has structure
    "MatMul 4096, 16 blocks": (lambda: square(contiguous=True), True),
    "MatMul 4096, 16 blocks, shuffled": (lambda: square(contiguous=False), True),
    "FFN 2048x8192, 16 blocks, shuffled": (lambda: of_ffn("U"), True),
    "FFN 8192x2048, 16 blocks, shuffled": (lambda: of_ffn("V"), True),
    "forest 9900x10000": (route, True),
    "4096, 99 % pruned": (pruned, False),
}
