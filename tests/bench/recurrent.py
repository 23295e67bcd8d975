"""Predicted beside measured gains of splitting recurrent operators: `python tests/bench/recurrent.py`.

Prints a row per (operator, features, hidden units, blocks, positions, batch): the gain over the whole operator that
`passes/lowering/recurrent/cost.py` predicts and the one measured here, both side by side, medians of interleaved
repeats, one thread. `--json FILE` writes the seconds of both besides. `--chosen` prints what `scission.optimize` makes
of a range of operators instead, at 1, 16 and 256 rows, and the slowest of those that it splits.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

import scission
from scission.models.planted.recurrent import recurrent_weights
from scission.passes.lowering.prices import prices_of
from scission.passes.lowering.recurrent.cost import Run, parallel_seconds, seconds
from scission.runtime.measure.bench import bench
from scission.runtime.ort.trials import Trials

GRID = [  # features, hidden units, blocks, whether they lie one after another
    (64, 64, 2, False),
    (64, 64, 16, False),
    (64, 256, 4, True),
    (256, 64, 4, False),
    (256, 256, 4, False),
    (256, 256, 16, False),
    (1024, 256, 8, True),
    (256, 512, 2, False),
    (64, 1024, 16, False),
    (512, 1024, 4, False),
    (1024, 1024, 8, False),
    (1024, 1024, 16, True),
]
RUNS = [Run(1, 1), Run(16, 1), Run(64, 1), Run(1, 64), Run(16, 16), Run(64, 16), Run(16, 64)]
LIMIT = 3e9  # multiply-adds of the whole operator


def model(op: str, W: np.ndarray, R: np.ndarray) -> onnx.ModelProto:
    """One recurrent operator with a bias, Y its output."""
    x = helper.make_tensor_value_info("x", 1, ["positions", "batch", W.shape[1]])
    y = helper.make_tensor_value_info("y", 1, ["positions", 1, "batch", R.shape[1]])
    node = helper.make_node(op, ["x", "w", "r", "b"], ["y"], "cell", hidden_size=R.shape[1])
    bias = np.full((1, 2 * len(W)), 0.1, np.float32)
    tensors = [numpy_helper.from_array(array, name) for name, array in (("w", W[None]), ("r", R[None]), ("b", bias))]
    graph = helper.make_graph([node], "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def measure(seconds_each: float) -> list[dict[str, object]]:
    """A record for each operator, weight and sequence."""
    records = []
    for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        for features, hidden, count, contiguous in GRID:
            rng = np.random.default_rng(features + hidden + count)
            sizes = [(features // count, hidden // count)] * count
            W, R, truth = recurrent_weights(rng, op, sizes, contiguous=contiguous)
            original = model(op, W, R)
            plan = scission.plan(original, provider="cpu", threads=1, force=True)
            step = replace(plan.steps[0], decomposition=truth, lowering="cells")
            split = scission.apply(original, replace(plan, steps=(step,)))
            with tempfile.TemporaryDirectory() as folder:
                before, after = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
                onnx.save(original, before)
                onnx.save(split, after)
                for run in RUNS:
                    if gates * hidden * (features + hidden) * run.positions * run.batch > LIMIT:
                        continue
                    x = {"x": rng.standard_normal((run.positions, run.batch, features), np.float32)}
                    found = bench(before, after, x, trials=Trials(provider="cpu", threads=1, seconds=seconds_each))
                    whole = seconds(op, features, hidden, run, 4, prices_of("cpu").cells)
                    records.append(
                        {
                            "op": op,
                            "features": features,
                            "hidden": hidden,
                            "blocks": count,
                            "contiguous": contiguous,
                            "positions": run.positions,
                            "batch": run.batch,
                            "whole": found.original.latency.median,
                            "split": found.changed.latency.median,
                            "measured": found.speedup,
                            "predicted": whole / parallel_seconds(truth, op, features, run, 4, prices_of("cpu").cells),
                        }
                    )
    return records


CHOICES = [  # features and hidden units of a block, blocks
    *((16, 32, 4), (32, 32, 8), (64, 64, 4), (64, 64, 8), (16, 64, 16), (64, 128, 8), (256, 256, 2), (8, 256, 4))
]


def chosen(seconds_each: float) -> None:
    """Print a row for each operator that is left to the planner, and the slowest of those that it splits."""
    table = Table("operator", "block", "blocks", "order", "groups", "predicted", "outcome", "measured", box=None)
    slowest = []
    for op in ("RNN", "GRU", "LSTM"):
        for (features, hidden, count), contiguous in itertools.product(CHOICES, (False, True)):
            rng = np.random.default_rng(features + hidden + count)
            W, R, _ = recurrent_weights(rng, op, [(features, hidden)] * count, contiguous=contiguous)
            trials = scission.Trials(provider="cpu", threads=1, seconds=seconds_each)
            result = scission.optimize(model(op, W, R), trials=trials)
            (step,) = result.plan.steps
            gains = [found.speedup for found in result.benches]
            slowest += [min(gains)] if gains else []
            table.add_row(
                *(op, f"{features}+{hidden}", str(count), "in order" if contiguous else "shuffled"),
                *(str(len(step.decomposition.blocks)), f"{step.gain:.2f}x", result.outcome),
                " ".join(f"{gain:.2f}x" for gain in gains),
            )
    Console().print(table)
    print(f"slowest of {len(slowest)} split by the planner: {min(slowest):.2f}x")


def main() -> None:
    """Print the table and the rank correlation of prediction and measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--chosen", action="store_true")
    options = parser.parse_args()
    if options.chosen:
        chosen(options.seconds)
        return
    records = measure(options.seconds)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    table = Table("operator", "I", "H", "blocks", "positions", "batch", "whole", "predicted", "measured", box=None)
    for r in records:
        sizes = (str(r[key]) for key in ("features", "hidden", "blocks", "positions", "batch"))
        table.add_row(
            str(r["op"]), *sizes, f"{r['whole'] * 1e3:.3f} ms", f"{r['predicted']:.2f}x", f"{r['measured']:.2f}x"
        )
    Console().print(table)
    predicted, measured = (np.array([r[key] for r in records]) for key in ("predicted", "measured"))
    wrong = int(((predicted > 1.1) & (measured < 1)).sum())
    missed = int(((predicted < 1.1) & (measured > 1.2)).sum())
    print(
        f"rank correlation {spearmanr(predicted, measured).statistic:.3f}; predicted to gain but measured slower: "
        f"{wrong}; gains above 1.2 missed: {missed}; of {len(records)}"
    )


if __name__ == "__main__":
    main()
