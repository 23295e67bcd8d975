"""A random forest as ONNX has it, compiled to matrix products, raised again, and taken apart: `make demo`.

    python examples/forest.py [--trees N] [--leaves N] [--rounds N]

ONNX Runtime has an operator for trees on the CPU, and nothing is as fast there: its time comes first. Compiled to
tensors (Nakandala et al., Hummingbird, OSDI 2020), for devices that have none, a forest is three matrix products.
scission finds the trees in them and raises them to that operator; told not to, it takes the products apart, as it does
with any other: the middle one, from nodes to leaves, is a block per tree and zero everywhere else, and a runtime
multiplies the zeros.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from rich.console import Console
from sklearn.datasets import load_digits

import scission
from scission.models.networks import forest
from scission.runtime.ort.session import open_session
from scission.runtime.render.text.report import result_view

FOLDER = Path(".demo")
ROWS = 256


def main() -> int:
    """Build, optimize in both ways, print; exit status 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("trees", 100), ("leaves", 100), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    console = Console(highlight=False)
    FOLDER.mkdir(exist_ok=True)
    paths = {name: FOLDER / f"forest.{name}.onnx" for name in ("operator", "compiled", "raised", "split")}
    start = time.perf_counter()
    console.print(f"Training {wanted.trees} trees of {wanted.leaves} leaves on scikit-learn's digits …")
    rng = np.random.default_rng(0)
    trained = forest.train(rng, trees=wanted.trees, leaves=wanted.leaves)
    onnx.save(forest.to_ensemble(trained), paths["operator"])
    onnx.save(forest.to_gemm(rng, trained, shuffle=False).model, paths["compiled"])
    size = paths["compiled"].stat().st_size / 1e6
    console.print(f"{paths['compiled']}: {size:.0f} MB after {time.perf_counter() - start:.0f} s\n")
    results = []
    for name, forests in (("raised", True), ("split", False)):
        trials = scission.Trials(threads=1)
        results.append(
            scission.optimize(paths["compiled"], paths[name], overwrite=True, trials=trials, forests=forests)
        )
        option = "" if forests else " --no-forests"
        console.print(f"\n[bold]scission optimize {paths['compiled']} {paths[name]} --threads 1{option}[/]\n")
        console.print(result_view(results[-1]))
    console.print(f"\nside by side, {ROWS} rows, one thread")
    for name, seconds in side_by_side(paths, wanted.rounds).items():
        console.print(f"  {name:10}{seconds * 1e3:10.2f} ms")
    return 0 if all(result.ok for result in results) else 1


def side_by_side(paths: dict[str, Path], rounds: int) -> dict[str, float]:
    """Median seconds of each model on the same rows, taken in turns."""
    feeds = {"x": load_digits().data[:ROWS].astype(np.float32)}
    calls = {name: open_session(path, provider="cpu", threads=1).bind(feeds) for name, path in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seen[1:]) for name, seen in times.items()}


if __name__ == "__main__":
    sys.exit(main())
