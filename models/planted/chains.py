"""Planted kinds, one per way a constant can reach its operator: Identity, Transpose, Cast, DequantizeLinear …"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx_graphsurgeon as gs

from ..matrix import Array
from ..sketch import Attribute, Sketch, Tensor

__all__ = ["CHAINS"]

Chain = Callable[[Sketch, Array], Tensor]


def _through(sketch: Sketch, chain: Chain) -> None:
    W, truth = sketch.weight()
    x = sketch.input("x", ("batch", truth.shape[0]))
    sketch.output(sketch.op("MatMul", x, chain(sketch, W), name="linear", truth=truth))


def _constant(sketch: Sketch, W: Array) -> Tensor:
    return sketch.op("Constant", value=gs.Constant("value", W))


def _half(sketch: Sketch, W: Array) -> Tensor:
    return sketch.op("Cast", sketch.constant(W.astype(np.float16), "W"), to=sketch.dtype.type)


def _slice(sketch: Sketch, W: Array) -> Tensor:
    K, N = W.shape
    wide = np.ones((K + 3, N + 2), W.dtype)
    wide[1 : K + 1, 2:] = W
    return sketch.op("Slice", sketch.constant(wide, "W"), [1, 2], [K + 1, N + 2], [0, 1])


def _slice_backwards(sketch: Sketch, W: Array) -> Tensor:
    return sketch.op("Slice", sketch.constant(W[::-1], "W"), [-1], [-(2**62)], [0], [-1])


def _concat(sketch: Sketch, W: Array) -> Tensor:
    return sketch.op("Concat", *np.array_split(W, 2, axis=1), axis=1)


def _dequantize(sketch: Sketch, W: Array, axis: int | None) -> Tensor:
    scale = np.float32(1 / 64) if axis is None else sketch.rng.uniform(1 / 96, 1 / 64, W.shape[axis])
    zero = np.int8(-7) if axis is None else sketch.rng.integers(1, 9, W.shape[axis])
    expand = (lambda v: v) if axis is None else partial(np.expand_dims, axis=1 - axis)
    W8 = np.rint(W / expand(scale) + expand(zero)).astype(np.int8)
    attributes: dict[str, Attribute] = {} if axis is None else {"axis": axis}
    return sketch.op("DequantizeLinear", W8, np.float32(scale), np.int8(zero), **attributes)


def _long(sketch: Sketch, W: Array) -> Tensor:
    stored = sketch.constant((W.T * 2).astype(np.float16).reshape(-1), "W")
    wide = sketch.op("Reshape", sketch.op("Cast", stored, to=sketch.dtype.type), list(W.T.shape))
    return sketch.op("Identity", sketch.op("Transpose", sketch.op("Mul", wide, 0.5), perm=[1, 0]))


def _split(sketch: Sketch) -> None:
    """One stored matrix [W1 | W2] cut into two weights, as fused query-key-value projections are."""
    W1, truth1 = sketch.weight()
    W2, truth2 = sketch.weight()
    K, N = truth1.shape
    x = sketch.input("x", ("batch", K))
    parts = sketch.op("Split", sketch.constant(np.hstack([W1, W2]), "W"), [N, N], axis=1, outputs=2)
    sketch.output(sketch.op("MatMul", x, parts[0], name="first", truth=truth1))
    sketch.output(sketch.op("MatMul", x, parts[1], name="second", truth=truth2))


_CHAINS: dict[str, Chain] = {
    "constant": _constant,
    "identity": lambda s, W: s.op("Identity", W),
    "transpose": lambda s, W: s.op("Transpose", W.T, perm=[1, 0]),
    "cast": _half,
    "reshape": lambda s, W: s.op("Reshape", W.reshape(-1), list(W.shape)),
    "squeeze": lambda s, W: s.op("Squeeze", W[None], [0]),
    "mul": lambda s, W: s.op("Mul", W, 0.125),
    "mul-left": lambda s, W: s.op("Mul", 0.125, W),
    "div": lambda s, W: s.op("Div", W, 8.0),
    "slice": _slice,
    "slice-backwards": _slice_backwards,
    "concat": _concat,
    "dequantize-tensor": partial(_dequantize, axis=None),
    "dequantize-rows": partial(_dequantize, axis=0),
    "dequantize-columns": partial(_dequantize, axis=1),
    "long": _long,
}

CHAINS: dict[str, Callable[[Sketch], None]] = {
    **{f"through-{name}": partial(_through, chain=chain) for name, chain in _CHAINS.items()},
    "through-split": _split,
}
