"""Forests as they are published, compiled to matrix products or to gathers, raised to the operator for trees.

`python tests/bench/published_forests.py [--only …] [--save]`: 100 trees of 100 leaves in products, beside the
TreeEnsembleClassifier made from the same trees and the model as compiled; and random trees in the strategies of
Hummingbird. One thread, medians of calls in turns.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, bench, reported
from raced import FOLDER, Setting, bound, made, turns
from sklearn.datasets import load_digits

import scission
from scission.models.networks import forest
from scission.runtime.ort.session import open_session

sys.path.append(str(Path(__file__).parents[1] / "support"))

import compiled_forests as compiled

BATCHES = (1, 16, 256)
ALONE = Setting(provider="cpu", threads=1, tune=False, picture=Path())


def trained(shuffle: bool) -> Iterator[Figure]:
    """100 trees of 100 leaves, fitted to digits."""
    name = f"forest 100x100{', shuffled' * shuffle}"
    fitted = forest.train(np.random.default_rng(0), 100, 100)
    dense = made(f"published-forest-{shuffle}.onnx", lambda p: onnx.save(_products(fitted, shuffle), p))
    trees = made("published-forest-trees.onnx", lambda p: onnx.save(forest.to_ensemble(fitted), p))
    out = raised(dense)
    x = load_digits().data.astype(np.float32)
    labels = [open_session(path, provider="cpu").run({"x": x})["label"] for path in (trees, out)]
    yield at_least(name, "labels as of TreeEnsembleClassifier (1 = all)", float((labels[0] == labels[1]).mean()), 1)
    for batch in BATCHES:
        taken = raced({"operator": trees, "raised": out}, {"x": x[:batch]})
        speed = taken["operator"] / taken["raised"]
        yield at_least(name, f"batch {batch}: raised over TreeEnsembleClassifier", speed, 0.95)
        slow = raced({"raised": out, "compiled": dense}, {"x": x[:batch]})
        yield reported(name, f"batch {batch}: raised over compiled", slow["compiled"] / slow["raised"])
        yield reported(name, f"batch {batch}: raised, microseconds", taken["raised"] * 1e6)


def _products(fitted: object, shuffle: bool) -> onnx.ModelProto:
    return forest.to_gemm(np.random.default_rng(0), fitted, shuffle).model


def strategies() -> Iterator[Figure]:
    """60 random trees of depth 6 in the three strategies."""
    rng = np.random.default_rng(0)
    trees = compiled.random_trees(rng, 60, 6, 3, sure=True)
    builders = {
        "gemm": compiled.of_products,
        "perfect traversal": compiled.of_perfect_trees,
        "traversal": compiled.of_traversal,
    }
    for name, build in builders.items():
        path = FOLDER / f"published-{name.replace(' ', '-')}.onnx"
        FOLDER.mkdir(exist_ok=True)
        onnx.save(build(trees, 3), path)
        out = raised(path)
        for batch in BATCHES:
            x = compiled.random_rows(rng, batch)
            before, after = (open_session(one, provider="cpu").run({"x": x})["y"] for one in (path, out))
            if not np.array_equal(before, after):
                raise ValueError(f"{path}: sums differ")
            taken = raced({"compiled": path, "raised": out}, {"x": x})
            yield at_least(name, f"batch {batch}: raised over compiled", taken["compiled"] / taken["raised"], 1.1)


def raised(path: Path) -> Path:
    """The model with its forest as one operator."""
    out = path.with_suffix(".raised.onnx")
    plan = scission.plan(path, provider="cpu", threads=1)
    if len(plan.preparations) != 1:
        raise ValueError(f"{path}: {plan.done}")
    scission.apply(path, plan, out, overwrite=True)
    return out


def raced(models: Mapping[str, Path], feeds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Median seconds of each, none of which is given up."""
    return turns({name: bound(path, feeds, ALONE) for name, path in models.items()}, seconds=3.0, drop=math.inf)


ROWS = {
    "products": functools.partial(trained, False),
    "shuffled": functools.partial(trained, True),
    "strategies": strategies,
}

if __name__ == "__main__":
    sys.exit(bench("published_forests", __doc__, ROWS))
