"""Parts of the bench of training about digits: networks in blocks from the beginning, and dense ones trained into
them."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, at_least, reported
from sklearn.datasets import load_digits

import scission
from scission import Samples, SampleSets, Trials, decompose
from scission.runtime.decompose.blocks.method import Blocks
from scission.torch import RetrainOptions, retrain

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]

from reference import model, node  # noqa: E402
from run_torch import by_runtime  # noqa: E402

__all__ = ["digits", "grouped", "three_layers"]

SEEDS, UNSEEN, AT_ONCE, COARSER, CHOOSES = 5, 450, 256, 4, 5


def digits_net(rng: np.random.Generator, first: int, second: int) -> Any:
    """64-512-512-10 with its hidden layers in so many blocks, drawn as He et al. do for what a unit reads."""
    constants = {}
    for name, (K, N), parts in (("A", (64, 512), first), ("B", (512, 512), second), ("C", (512, 10), 1)):
        mask = np.kron(np.eye(parts), np.ones((K // parts, N // parts)))
        constants[name] = (mask * rng.standard_normal((K, N)) * np.sqrt(2 * parts / K)).astype(np.float32)
    constants |= {name: np.zeros(size, np.float32) for name, size in (("a", 512), ("b", 512), ("c", 10))}
    return three_layers(constants)


def three_layers(constants: dict[str, Any]) -> Any:
    """A network for digits of weights A, B, C and biases a, b, c, with ReLU between them."""
    nodes = [
        node("Gemm", "x A a", "h", "first"),
        node("Relu", "h", "r", "relu"),
        node("Gemm", "r B b", "g", "second"),
        node("Relu", "g", "s", "again"),
        node("Gemm", "s C c", "y", "last"),
    ]
    return model(nodes, {"x": ["n", 64]}, {"y": ["n", 10]}, constants)


def digits() -> Iterator[Figure]:
    """Accuracy and speed of nets whose hidden layers are blocks from the beginning."""
    trials = Trials(threads=1, provider="cpu", seconds=10)
    dense, dense_hits = None, 0.0
    for count, least in ((1, None), (8, 3), (16, 4)):
        runs = [digits_run(seed, count) for seed in range(SEEDS)]
        made, mean = runs[-1][0], 100 * statistics.mean(hits for _, hits in runs)
        name = f"digits, 64-512-512-10, {f'{count} blocks' if count > 1 else 'dense'}, {SEEDS} seeds"
        if least is None:
            dense, dense_hits = made, mean
            yield reported(name, "accuracy on unseen samples, %", mean)
            continue
        yield at_least(name, "accuracy on unseen samples, % (dense - 0.2)", mean, round(dense_hits - 0.2, 3))
        (timed,) = scission.bench(dense, made, trials=trials, batch=[AT_ONCE])
        yield at_least(name, f"times the speed of the dense one, {AT_ONCE} rows", timed.speedup, least)


def digits_data(seed: int) -> tuple[Any, Any, Any, Any]:
    """(Samples and labels that are seen, those that are not), another partition for each seed."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    unseen, seen = order[:UNSEEN], order[UNSEEN:]
    X = (X / 16).astype(np.float32)
    return X[seen], y[seen], X[unseen], y[unseen]


def digits_run(seed: int, count: int) -> tuple[Any, float]:
    """(A trained net, its share of hits on unseen samples)."""
    X, y, unseen, wanted = digits_data(seed)
    made = digits_net(np.random.default_rng(seed), max(count // COARSER, 1), count)
    chosen = scission.plan(made, provider="cpu", threads=1, batch=[AT_ONCE])
    how = RetrainOptions(labels=y, steps=3000, every=100, patience=8, held_back=0.1, seed=seed, bench=False)
    trials = Trials(threads=1, provider="cpu")
    done = retrain(made, None, how, data={"x": X}, plan=chosen, trials=trials).model
    (scores,) = by_runtime(done, {"x": unseen})
    return done, float((scores.argmax(1) == wanted).mean())


def grouped() -> Iterator[Figure]:
    """Accuracy and speed of dense nets that are trained into blocks."""
    found: dict[int, list[tuple[float, float, float]]] = {8: [], 16: []}
    for seed in range(SEEDS):
        dense, hits = digits_run(seed, 1)
        X, y, unseen, wanted = digits_data(seed)
        choosing = len(X) // CHOOSES
        parts = (slice(choosing, None), slice(0, choosing))
        calibration, selection = (Samples(feeds=[{"x": X[part]}], labels=[y[part]]) for part in parts)
        judgement = Samples(feeds=[{"x": unseen}], labels=[wanted])
        sets = SampleSets(calibration=calibration, selection=selection, judgement=judgement)
        for count, own in found.items():
            trials = Trials(threads=1, provider="cpu", seconds=3, seed=seed)
            made = decompose(dense, sets, metric="argmax", target=1.5, methods=[Blocks(counts=[count])], trials=trials)
            assert made.judged is not None and made.chosen is not None, made.reason
            own.append((hits, made.judged.measured.metric, made.chosen.speedup))
    for count, own in found.items():
        before, after = (100 * statistics.mean(column) for column in list(zip(*own, strict=True))[:2])
        name = f"digits, trained dense, then {count} blocks of 512x512, {SEEDS} seeds"
        yield at_least(name, "accuracy on unseen samples, % (dense - 0.2)", after, round(before - 0.2, 3))
        speed = statistics.median(speed for *_, speed in own)
        yield reported(name, f"times the speed of the dense one, {choosing} rows", speed)
