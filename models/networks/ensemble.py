"""A bag of trained networks merged into one graph: block-diagonal layers, hidden units shuffled."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from ...ir.plan.plan import Block, Decomposition
from ..matrix import Array, by_first_output
from ..planted.products import Planted
from ..sketch import Sketch

__all__ = ["accuracy", "build", "merge", "train"]


def build(
    rng: np.random.Generator, networks: int = 8, hidden: tuple[int, int] = (1024, 1024), epochs: int = 5
) -> Planted:
    """Train a bag of networks on digits and merge them: x (batch, 64) to probabilities (batch, 10)."""
    return merge(rng, train(rng, networks, hidden, epochs))


def train(
    rng: np.random.Generator, networks: int = 8, hidden: tuple[int, int] = (1024, 1024), epochs: int = 5
) -> list[MLPClassifier]:
    """Networks 64-hidden-10, each fitted to its own bootstrap sample of three quarters of the digits, pixels 0 to 1."""
    x, _, y, _ = _digits()
    bag = []
    for _ in range(networks):
        sample = rng.integers(len(x), size=len(x))
        network = MLPClassifier(hidden, max_iter=epochs, random_state=int(rng.integers(2**31)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs are enough for this purpose
            bag.append(network.fit(x[sample], y[sample]))
    return bag


def accuracy(bag: Sequence[MLPClassifier]) -> float:
    """Share of the held-out quarter of the digits that the bag's mean probability gets right, 0 to 1."""
    _, x, _, y = _digits()
    mean = np.mean([network.predict_proba(x) for network in bag], axis=0)
    return float(np.mean(bag[0].classes_[mean.argmax(1)] == y))


def merge(rng: np.random.Generator, bag: Sequence[MLPClassifier]) -> Planted:
    """One graph that runs every network of the bag and averages their probabilities.

    Layers of all networks stand side by side: "layer1" (64, H1) dense, "layer2" (H1, H2) and "layer3" (H2, 10 each)
    block diagonal with the units of both hidden layers shuffled across networks. Truth for layers 2 and 3: one block
    per network. All networks must have the same number of classes.
    """
    (W1s, W2s, W3s), (b1s, b2s, b3s) = (zip(*parts, strict=True) for parts in _parameters(bag))
    classes = W3s[0].shape[1]
    columns1, columns2 = (_owners(rng.permutation(sum(map(len, bs))), bs) for bs in (b1s, b2s))
    columns3 = _owners(np.arange(classes * len(bag)), b3s)
    inputs = [np.arange(W.shape[0]) for W in W1s]
    truth2, truth3 = _truth(columns1, columns2), _truth(columns2, columns3)

    sketch = Sketch(rng)
    h = sketch.input("x", ("batch", len(W1s[0])))
    layers = ((W1s, b1s, inputs, columns1, None), (W2s, b2s, columns1, columns2, truth2))
    for layer, (Ws, bs, rows, columns, truth) in enumerate(layers, start=1):
        W = sketch.constant(_place(Ws, rows, columns), f"W{layer}")
        b = sketch.constant(_gather(bs, columns), f"b{layer}")
        h = sketch.op("Relu", sketch.op("Add", sketch.op("MatMul", h, W, name=f"layer{layer}", truth=truth), b))
    W3, b3 = sketch.constant(_place(W3s, columns2, columns3), "W3"), sketch.constant(_gather(b3s, columns3), "b3")
    logits = sketch.op("Gemm", h, W3, b3, name="layer3", truth=truth3)
    votes = sketch.op("Softmax", sketch.op("Reshape", logits, [-1, len(bag), classes]), axis=2)
    probabilities = sketch.op("ReduceMean", votes, axes=[1], keepdims=0)
    sketch.output(probabilities, shape=("batch", classes), name="probabilities")
    return Planted(sketch.model(), sketch.truth)


def _digits() -> tuple[Array, Array, Array, Array]:
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        (digits.data / 16).astype(np.float32), digits.target, test_size=0.25, random_state=0
    )
    return x_train, x_test, y_train, y_test


def _parameters(bag: Sequence[MLPClassifier]) -> tuple[list[list[Array]], list[list[Array]]]:
    """Weights and biases, per network and layer, in float32."""
    as32 = np.float32
    return [[W.astype(as32) for W in n.coefs_] for n in bag], [[b.astype(as32) for b in n.intercepts_] for n in bag]


def _owners(order: Array, biases: Sequence[Array]) -> list[Array]:
    """The merged indices that each network's units get."""
    return np.split(order, np.cumsum([len(b) for b in biases])[:-1])


def _truth(rows: list[Array], columns: list[Array]) -> Decomposition:
    blocks = (Block(np.sort(r), np.sort(c)) for r, c in zip(rows, columns, strict=True))
    return Decomposition((sum(map(len, rows)), sum(map(len, columns))), by_first_output(blocks))


def _place(weights: Sequence[Array], rows: list[Array], columns: list[Array]) -> Array:
    merged = np.zeros((max(int(r.max()) for r in rows) + 1, sum(map(len, columns))), np.float32)
    for W, r, c in zip(weights, rows, columns, strict=True):
        merged[np.ix_(r, c)] = W
    return merged


def _gather(biases: Sequence[Array], columns: list[Array]) -> Array:
    merged = np.empty(sum(map(len, columns)), np.float32)
    for b, c in zip(biases, columns, strict=True):
        merged[c] = b
    return merged
