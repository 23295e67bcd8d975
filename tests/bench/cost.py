"""Predicted beside measured gains of the cost model, over a grid of weights: `python tests/bench/cost.py`.

Prints a row per (weight, blocks, rows): for each lowering the gain over dense that `passes/lowering/linear`
predicts and the one measured here, medians of interleaved runs, one thread. At the end: how well predictions rank, what
was predicted to gain and is slower, and how much the lowering that is predicted to be best loses against the one that
is.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

import scission
from scission.ir.graph.linear import Linear
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.passes.lowering.linear.lowerings import LOWERINGS, lowering_of
from scission.passes.lowering.prices import MARGIN, prices_of
from scission.runtime.ort.session import Session, open_session

ALONE = tuple(one.name for one in LOWERINGS if one.multiplies and not one.on_request)
GRID = [(128, 4), (384, 4), (768, 8), (1024, 4), (1024, 32), (2048, 16), (4096, 16), (4096, 64)]
ROWS = (1, 16, 256)
SECONDS = 0.15  # for each model and number of rows


def model(W: np.ndarray) -> onnx.ModelProto:
    """One MatMul with W as its weight."""
    x, y = (onnx.helper.make_tensor_value_info(n, 1, ["M", s]) for n, s in zip("xy", W.shape, strict=True))
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    graph = onnx.helper.make_graph([node], "g", [x], [y], [onnx.numpy_helper.from_array(W, "w")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def linear_of(original: onnx.ModelProto) -> Linear:
    """The only linear of a model."""
    (linear,) = view(load(original).graph).found.linears
    return linear


def gain(original: onnx.ModelProto, truth: scission.Decomposition, name: str, rows: int) -> float:
    """What a lowering is predicted to gain over dense."""
    lowering, linear, prices = lowering_of(name), linear_of(original), prices_of("cpu")
    return lowering.dense_seconds(linear, rows, prices) / lowering.seconds(linear, truth, rows, prices)


def lowered(original: onnx.ModelProto, truth: scission.Decomposition) -> dict[str, onnx.ModelProto]:
    """The model in every lowering that suits it, by name; none that moves what lies in order already."""
    plan = scission.plan(original, provider="cpu", threads=1, force=True)
    models = {}
    for lowering in ALONE:
        step = replace(plan.steps[0], decomposition=truth, lowering=lowering)
        try:
            models[lowering] = scission.apply(original, replace(plan, steps=(step,)))
        except scission.PlanError:
            continue
    for idle in ("scatter", "permute") if "split" in models else ():
        del models[idle]
    return models


def race(sessions: dict[str, Session], feeds: dict[str, np.ndarray]) -> dict[str, float]:
    """Median seconds of each, run in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    stop = time.perf_counter() + SECONDS * len(sessions)
    while time.perf_counter() < stop or len(seconds["dense"]) < 5:
        for name, session in sessions.items():
            start = time.perf_counter()
            session.ort.run(None, feeds)
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def main() -> None:
    """Print the table and what it comes to."""
    table = Table("weight", "blocks", "rows", *ALONE, box=None)
    pairs, losses = [], []
    for size, count in GRID:
        for contiguous in (False, True):
            rng = np.random.default_rng(size + count)
            W, truth = weight(rng, [(size // count, size // count)] * count, contiguous=contiguous)
            original = model(W)
            models = {"dense": original, **lowered(original, truth)}
            sessions = {
                name: open_session(made.SerializeToString(), provider="cpu", threads=1) for name, made in models.items()
            }
            for rows in ROWS:
                seconds = race(sessions, {"x": rng.standard_normal((rows, size), np.float32)})
                measured = {name: seconds["dense"] / seconds[name] for name in models if name != "dense"}
                predicted = {name: gain(original, truth, name, rows) for name in measured}
                pairs += [(predicted[name], measured[name]) for name in measured]
                losses.append(max(measured.values()) / measured[max(predicted, key=predicted.get)])
                cells = [f"{predicted[n]:5.2f} {measured[n]:5.2f}" if n in measured else "" for n in ALONE]
                table.add_row(f"{size}x{size}", str(count), str(rows), *cells)
    Console(width=120).print(table)
    predicted_, measured_ = np.array(pairs).T
    wrong = int(((predicted_ > MARGIN) & (measured_ < 1)).sum())
    print(f"rank correlation {spearman(predicted_, measured_):.3f}; predicted to gain but measured slower: {wrong}")
    print(f"best measured over predicted best: median {np.median(losses):.2f}, at most {max(losses):.2f}")


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


if __name__ == "__main__":
    main()
