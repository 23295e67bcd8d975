"""Train a random forest, compile it to matrix products, and let scission take it apart: `make demo`.

Compiled to tensors (Nakandala et al., Hummingbird, OSDI 2020) a forest is three matrix products. The middle one, from
nodes to leaves, is a block per tree and zero everywhere else, and a runtime multiplies the zeros.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import onnx
from rich.console import Console

import scission
from scission.models.networks.forest import build
from scission.runtime.render.text.report import result_view

FOLDER = Path(".demo")


def main() -> int:
    """Build, optimize, print; exit status 1 when the check fails."""
    console = Console(highlight=False)
    FOLDER.mkdir(exist_ok=True)
    original, split = FOLDER / "forest.onnx", FOLDER / "forest.split.onnx"
    start = time.perf_counter()
    console.print("Training 100 trees of 100 leaves on scikit-learn's digits …")
    onnx.save(build(np.random.default_rng(0), trees=100, leaves=100, shuffle=False).model, original)
    console.print(f"{original}: {original.stat().st_size / 1e6:.0f} MB after {time.perf_counter() - start:.0f} s\n")
    result = scission.optimize(original, split, overwrite=True, trials=scission.Trials(threads=1))
    console.print(result_view(result))
    console.print(f"\nThe same again: scission optimize {original} {split} --overwrite --threads 1")
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
