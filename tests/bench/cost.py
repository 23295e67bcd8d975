"""Predicted beside measured gains of the cost model, over a grid of weights: `python tests/bench/cost.py`.

Prints a row per (weight, blocks, rows): the gain over dense that `passes/cost.py` predicts and the one measured here,
dense and split side by side, medians of interleaved repeats, one thread.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

import scission
from scission.models.matrix import weight
from scission.passes.blocks import group
from scission.passes.cost import CPU, dense_seconds, split_seconds
from scission.runtime.bench import bench

GRID = [(128, 4), (384, 4), (768, 8), (1024, 4), (2048, 16), (4096, 16), (4096, 64)]
ROWS = (1, 16, 256)


def model(W: np.ndarray) -> onnx.ModelProto:
    """One MatMul with W as its weight."""
    x, y = (onnx.helper.make_tensor_value_info(n, 1, ["M", s]) for n, s in zip("xy", W.shape, strict=True))
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    graph = onnx.helper.make_graph([node], "g", [x], [y], [onnx.numpy_helper.from_array(W, "w")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def main() -> None:
    """Print the table and the rank correlation of prediction and measurement."""
    table = Table("weight", "blocks", "lowering", "rows", "predicted", "measured", box=None)
    pairs = []
    for size, count in GRID:
        for contiguous in (False, True):
            rng = np.random.default_rng(size + count)
            W, truth = weight(rng, [(size // count, size // count)] * count, contiguous=contiguous)
            original = model(W)
            plan = scission.plan(original, provider="cpu", threads=1, force=True)
            lowering = "split" if contiguous else "scatter"
            step = replace(plan.steps[0], decomposition=group(truth, count), lowering=lowering)
            split = scission.apply(original, replace(plan, steps=(step,)))
            with tempfile.TemporaryDirectory() as folder:
                before, after = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
                onnx.save(original, before)
                onnx.save(split, after)
                for rows in ROWS:
                    x = {"x": rng.standard_normal((rows, size), np.float32)}
                    measured = bench(before, after, x, threads=1, seconds=0.5).speedup
                    predicted = dense_seconds((size, size), rows, 4, CPU) / split_seconds(truth, lowering, rows, 4, CPU)
                    pairs.append((predicted, measured))
                    table.add_row(
                        f"{size}x{size}", str(count), lowering, str(rows), f"{predicted:.2f}x", f"{measured:.2f}x"
                    )
    Console().print(table)
    predicted, measured = np.array(pairs).T
    wrong = int(((predicted > 1.1) & (measured < 1)).sum())
    print(f"rank correlation {spearman(predicted, measured):.3f}; predicted to gain but measured slower: {wrong}")


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


if __name__ == "__main__":
    main()
