"""A feed-forward network whose two products hide blocks that the hidden units share: the region that splits as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ...ir.plan.plan import Block, Decomposition
from ..matrix import Array, by_first_output
from ..sketch import Sketch, Tensor
from .products import Planted

__all__ = ["Activation", "build", "groups", "weight_between"]

Activation = Literal["gelu", "relu", "silu", "geglu", "reglu", "swiglu"]
GATES: dict[Activation, Activation] = {"geglu": "gelu", "reglu": "relu", "swiglu": "silu"}  # what acts on the gate

ROOT_MEAN_SQUARE = 0.4375**0.5  # of a magnitude that is uniform from 1/4 to 1


def build(
    rng: np.random.Generator,
    d: int = 2048,
    hidden: int = 8192,
    blocks: int = 16,
    activation: Activation = "gelu",
    leading: Sequence[int | str] = ("batch",),
    dtype: npt.DTypeLike = np.float32,
    shuffle: bool = True,
) -> Planted:
    """y = act(x U + b1) V + b2, or y = (act(x G) * (x U)) V with a gate and no biases, in blocks of equal size.

    x and y are (*leading, d), sizes or names of them, of `dtype`, float16 or float32. activation: 'gelu' is spelt out
    with Erf; 'geglu', 'reglu' and 'swiglu' have a gate. shuffle: inputs, hidden units and outputs are permuted, each on
    their own; else blocks follow one another. Every product has outputs of order 1. Truth: "up" (U), "down" (V) and
    "gate" (G). Raises ValueError when a size is no multiple of the blocks, or the activation is unknown. Source: opset
    17 as torch's TorchScript exporter writes torch.nn.functional.gelu and silu; for the gate, Shazeer, GLU variants
    improve transformer, 2020.

    >>> planted = build(np.random.default_rng(0), d=4, hidden=8, blocks=2, shuffle=False)
    >>> [(name, [block.shape for block in truth.blocks]) for name, truth in planted.truth.items()]
    [('up', [(2, 4), (2, 4)]), ('down', [(4, 2), (4, 2)])]
    """
    if activation not in get_args(Activation):
        raise ValueError(f"unknown activation {activation!r}; use one of {', '.join(get_args(Activation))}")
    inputs, units, outputs = (groups(rng, size, blocks, shuffle) for size in (d, hidden, d))
    sketch = Sketch(rng, dtype=dtype)
    shape = (*leading, d)
    x = sketch.input("x", shape)
    gate = GATES.get(activation)
    biased = gate is None
    h = _linear(sketch, x, ("up", "U", "b1" if biased else None), inputs, units)
    if gate is not None:
        h = sketch.op("Mul", _act(sketch, _linear(sketch, x, ("gate", "G", None), inputs, units), gate), h)
    else:
        h = _act(sketch, h, activation)
    y = _linear(sketch, h, ("down", "V", "b2" if biased else None), units, outputs)
    sketch.output(y, shape=shape, name="y")
    return Planted(sketch.model(), sketch.truth)


def groups(rng: np.random.Generator, size: int, count: int, shuffle: bool = True) -> list[Array]:
    """`count` equal groups of the features below `size`, at random or one after another.

    Raises ValueError when the size is no multiple of the count.

    >>> [group.tolist() for group in groups(np.random.default_rng(0), 4, 2, shuffle=False)]
    [[0, 1], [2, 3]]
    """
    if count < 1 or size % count:
        raise ValueError(f"{size} features do not make {count} equal blocks; take a multiple of {count}")
    return np.split(rng.permutation(size) if shuffle else np.arange(size), count)


def weight_between(
    rng: np.random.Generator, inputs: Sequence[Array], outputs: Sequence[Array], dtype: npt.DTypeLike = np.float32
) -> tuple[Array, Decomposition]:
    """A matrix W (K, N) with a dense block from each group of inputs to its group of outputs, and its truth.

    Groups together hold every feature once. No entry of a block is zero, in float16 neither; inputs of variance 1 make
    outputs of variance 1. Raises PlanError when a group is empty, ValueError when there are not as many outputs.

    >>> W, truth = weight_between(np.random.default_rng(0), [np.array([1]), np.array([0])], [np.array([0, 2]), [1]])
    >>> (W != 0).astype(int).tolist(), [(b.inputs.tolist(), b.outputs.tolist()) for b in truth.blocks]
    ([[0, 1, 0], [1, 0, 1]], [([1], [0, 2]), ([0], [1])])
    """
    W = np.zeros((sum(map(len, inputs)), sum(map(len, outputs))), dtype)
    for rows, columns in zip(inputs, outputs, strict=True):
        size = rng.random((len(rows), len(columns)), np.float32) * np.float32(0.75) + np.float32(0.25)
        sign = rng.integers(0, 2, size.shape, np.int8) * np.int8(2) - np.int8(1)
        W[np.ix_(rows, columns)] = size * sign / np.float32(ROOT_MEAN_SQUARE * len(rows) ** 0.5)
    pairs = zip(inputs, outputs, strict=True)
    return W, Decomposition(W.shape, by_first_output(Block(np.sort(rows), np.sort(columns)) for rows, columns in pairs))


def _linear(
    sketch: Sketch, x: Tensor, names: tuple[str, str, str | None], inputs: Sequence[Array], outputs: Sequence[Array]
) -> Tensor:
    """MatMul, and Add where there is a name for the bias; names: of the node, its weight and its bias."""
    node, weight, bias = names
    W, truth = weight_between(sketch.rng, inputs, outputs, sketch.dtype)
    product = sketch.op("MatMul", x, sketch.constant(W, weight), name=node, truth=truth)
    if bias is None:
        return product
    return sketch.op("Add", product, sketch.constant(sketch.normal([W.shape[1]]), bias), name=f"{node}_bias")


def _act(sketch: Sketch, x: Tensor, activation: Activation) -> Tensor:
    if activation == "relu":
        return sketch.op("Relu", x)
    if activation == "silu":
        return sketch.op("Mul", x, sketch.op("Sigmoid", x))
    erf = sketch.op("Erf", sketch.op("Div", x, 2**0.5))
    return sketch.op("Mul", sketch.op("Mul", x, sketch.op("Add", erf, 1.0)), 0.5)
