"""Forests as they are published, compiled to matrix products or to gathers, raised to the operator for trees.

`python tests/bench/published_forests.py [--only …] [--save]`: 100 trees of 100 leaves in products, beside the
TreeEnsembleClassifier made from the same trees and the model as compiled; and random trees in the strategies of
Hummingbird. One thread, medians of calls in turns, by processor time: a call of two milliseconds is interrupted or not
on a machine with other work, and the median then tells which happened more often.
`--only lowered` is the other way round: TreeEnsembleClassifier on all cores, by the clock, beside the plain operators
that are planned for CUDA, on such a device where there is one.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, bench, reported
from raced import FOLDER, Setting, bound, made, turns
from sklearn.datasets import load_digits

import scission
from scission.models.networks import forest
from scission.runtime.ort.library import Choice, cuda_problem
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
        taken = raced({"operator": trees, "raised": out}, {"x": x[:batch]}, sessions=3, together=10)
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


def lowered(
    trees_each: int = 100, leaves: int = 100, batches: Sequence[int] = (), seconds: float = 5.0
) -> Iterator[Figure]:
    """The operator for trees on all cores, beside plain operators planned for CUDA: run there, as one recorded graph,
    or on the processor where there is no device; 100 trees of 100 leaves, and of depth 6."""
    problem = cuda_problem()
    provider: Choice = "cpu" if problem else "cuda"
    print(f"plain operators run on {provider}" + f": {problem}" * bool(problem), flush=True)
    rng = np.random.default_rng(0)
    models = {
        f"{trees_each} trees of {leaves} leaves": forest.to_ensemble(forest.train(rng, trees_each, leaves)),
        f"{trees_each} trees of depth 6": forest.to_ensemble(forest.train(rng, trees_each, leaves, depth=6)),
    }
    digits = load_digits().data.astype(np.float32)
    FOLDER.mkdir(exist_ok=True)
    for (name, model), rows in itertools.product(
        models.items(), batches or ((64, 512) if problem else (4_096, 100_000))
    ):
        trees = FOLDER / f"published-{name.replace(' ', '-')}.onnx"
        onnx.save(model, trees)
        plan = scission.plan(trees, provider="cuda", batch=[4_096 if problem else rows], threads=os.cpu_count())
        if not plan.preparations:
            yield reported(name, f"rows {rows}: stays as it is", 1)
            continue
        out = trees.with_suffix(".lowered.onnx")
        scission.apply(trees, plan, out, overwrite=True)
        feeds = {"x": digits[rng.integers(len(digits), size=rows)]}
        session = open_session(out, provider=provider, cuda_graph=not problem)
        same = session.run(feeds)["label"] == open_session(trees, provider="cpu").run(feeds)["label"]
        yield at_least(name, f"rows {rows}: labels as of TreeEnsembleClassifier (1 = all)", float(same.mean()), 1)
        calls = {"operator": open_session(trees, provider="cpu").bind(feeds), "lowered": session.bind(feeds)}
        taken = turns(calls, seconds=seconds, drop=math.inf)
        gain = f"{plan.preparations[0].to_dict()['form']}, {plan.preparations[0].gain:.1f} predicted"
        what = f"rows {rows}: TreeEnsembleClassifier on all cores over plain operators on {provider} ({gain})"
        speed = taken["operator"] / taken["lowered"]
        yield reported(name, what, speed) if problem else at_least(name, what, speed, 20)
        yield reported(name, f"rows {rows}: plain operators on {provider}, milliseconds", taken["lowered"] * 1e3)


def raised(path: Path) -> Path:
    """The model with its forest as one operator."""
    out = path.with_suffix(".raised.onnx")
    plan = scission.plan(path, provider="cpu", threads=1)
    if len(plan.preparations) != 1:
        raise ValueError(f"{path}: {plan.done}")
    scission.apply(path, plan, out, overwrite=True)
    return out


def raced(
    models: Mapping[str, Path], feeds: Mapping[str, np.ndarray], sessions: int = 1, together: int = 1
) -> dict[str, float]:
    """Median seconds of processor time of each, none of which is given up.

    sessions: of each model, since where in memory the trees of one lie is luck, and worth some percent of a call of one
    row; together: calls that are timed as one, beside which reading the clock takes nothing.
    """
    every = [(name, path) for name, path in models.items() for _ in range(sessions)]
    calls = {f"{name} {at}": repeated(bound(path, feeds, ALONE), together) for at, (name, path) in enumerate(every)}
    taken = list(turns(calls, seconds=3.0, drop=math.inf, clock=time.process_time).values())
    of = {name: [seconds for one, seconds in zip(every, taken, strict=True) if one[0] == name] for name in models}
    return {name: statistics.median(seconds) / together for name, seconds in of.items()}


def repeated(call: Callable[[], None], times: int) -> Callable[[], None]:
    """Several calls as one."""

    def every() -> None:
        for _ in range(times):
            call()

    return every


ROWS = {
    "products": functools.partial(trained, False),
    "shuffled": functools.partial(trained, True),
    "strategies": strategies,
    "lowered": lowered,
}

if __name__ == "__main__":
    sys.exit(bench("published_forests", __doc__, ROWS))
