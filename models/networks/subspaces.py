"""An ensemble over random subspaces merged into one graph: each network reads its own share of the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir.plan.plan import Block, Decomposition
from ..matrix import Array, by_first_output
from ..planted.ffn import groups
from ..planted.products import Planted
from ..sketch import Sketch

__all__ = ["build"]


def build(
    rng: np.random.Generator,
    networks: int = 8,
    features: int = 1024,
    hidden: int = 512,
    outputs: int = 10,
    share: float = 0.25,
    summed: bool = False,
    shuffle: bool = True,
) -> Planted:
    """x (batch, features) -> Gemm "encode" -> Relu -> Gemm "decode" -> y (batch, networks * outputs), or their sum.

    Each network has `hidden` units, which read a random share of the features drawn for that network, so that features
    are shared. summed: y is (batch, outputs), the sum over all networks, whose weight is dense; else each network has
    outputs of its own. shuffle: hidden units of all networks are mixed; else the networks follow one another. Weights
    are random. Truth: "encode", whose blocks share inputs, and "decode" unless summed; a block is a network. Raises
    ValueError when a network would have no feature, or more than there are. Source: Ho, The Random Subspace Method for
    Constructing Decision Forests, IEEE TPAMI 20 (8), 1998, here with networks for its trees.

    >>> planted = build(np.random.default_rng(0), networks=2, features=8, hidden=3, outputs=1)
    >>> {name: [block.shape for block in truth.blocks] for name, truth in planted.truth.items()}
    {'encode': [(2, 3), (2, 3)], 'decode': [(3, 1), (3, 1)]}
    """
    read = round(share * features)
    if not 1 <= read <= features:
        raise ValueError(f"{share} of {features} features are none, or more than there are")
    subsets = [rng.choice(features, read, replace=False) for _ in range(networks)]
    units = groups(rng, networks * hidden, networks, shuffle)
    results = np.split(np.arange(networks * outputs), networks)
    W1, encode = _merged(rng, features, subsets, units)
    W2, decode = _merged(rng, networks * hidden, units, results)
    truth: dict[str, Decomposition | None] = {"encode": encode, "decode": decode}
    if summed:
        W2, truth["decode"] = W2.reshape(len(W2), networks, outputs).sum(1), None

    sketch = Sketch(rng)
    x = sketch.input("x", ["batch", features])
    h = x
    for (name, found), W, index in zip(truth.items(), (W1, W2), (1, 2), strict=True):
        h = sketch.op("Relu", h) if index > 1 else h
        constants = sketch.constant(W, f"W{index}"), sketch.constant(sketch.normal([W.shape[1]]), f"b{index}")
        h = sketch.op("Gemm", h, *constants, name=name, truth=found)
    sketch.output(h, shape=["batch", W2.shape[1]], name="y")
    return Planted(sketch.model(), sketch.truth)


def _merged(
    rng: np.random.Generator, features: int, inputs: Sequence[Array], outputs: Sequence[Array]
) -> tuple[Array, Decomposition]:
    """Dense blocks from each set of inputs, which may overlap, to its outputs, which do not."""
    W = np.zeros((features, sum(map(len, outputs))), np.float32)
    for rows, columns in zip(inputs, outputs, strict=True):
        W[np.ix_(rows, columns)] = rng.standard_normal((len(rows), len(columns))) / len(rows) ** 0.5
    blocks = (Block(np.sort(rows), np.sort(columns)) for rows, columns in zip(inputs, outputs, strict=True))
    return W, Decomposition(W.shape, by_first_output(blocks))
