"""Autoregressive networks: weights that are triangular in an order that only the degrees of their units tell."""

from __future__ import annotations

import numpy as np
import onnx

from ..matrix import Array
from ..sketch import Sketch

__all__ = ["build", "masks"]


def masks(rng: np.random.Generator, features: int, hidden: int, shuffle: bool = False) -> tuple[Array, Array]:
    """The two Boolean masks (features, hidden) and (hidden, features) of a masked autoencoder, inputs in rows.

    Hidden unit h of degree m(h), drawn from 1 to features - 1, reads the features up to m(h); output d reads the units
    of degrees below d. shuffle: features in random order; else the first comes first. Source: Germain, Gregor, Murray,
    Larochelle, MADE: Masked Autoencoder for Distribution Estimation, ICML 2015, section 4.

    >>> first, last = masks(np.random.default_rng(0), 4, 3)
    >>> reach = first.astype(int) @ last
    >>> bool(np.tril(reach).any())  # no feature reaches itself or an earlier one
    False
    """
    degrees = rng.integers(1, features, hidden)
    order = np.arange(1, features + 1)
    if shuffle:
        order = rng.permutation(order)
    return order[:, None] <= degrees[None, :], degrees[:, None] < order[None, :]


def build(
    rng: np.random.Generator, features: int = 784, hidden: int = 2000, shuffle: bool = False
) -> tuple[onnx.ModelProto, tuple[Array, Array]]:
    """A masked autoencoder x (batch, features) -> Gemm "encode" -> Relu -> Gemm "decode" -> Sigmoid, and its masks.

    Weights are random where the masks allow them: the structure is the masks', whatever training makes of the rest.
    """
    sketch = Sketch(rng)
    both = masks(rng, features, hidden, shuffle)
    x = sketch.input("x", ["batch", features])
    first, last = (np.float32(mask) * sketch.normal(mask.shape) / np.float32(mask.shape[0] ** 0.5) for mask in both)
    h = sketch.op("Relu", sketch.op("Gemm", x, first, sketch.normal([hidden]), name="encode"))
    y = sketch.op("Gemm", h, last, sketch.normal([features]), name="decode")
    sketch.output(sketch.op("Sigmoid", y), np.float32, ["batch", features], name="y")
    return sketch.model(), both
