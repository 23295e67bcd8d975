"""The plans of the bench models, kept: what a refactoring leaves the same to the byte.

`python tests/bench/plans.py [--save] [--provider cpu|cuda]` plans every planted kind, every recurrent operator and the
other families small, in one setting of prices, and names each model whose plan is another than the one that is kept
in `tests/bench/results/plans.json`: which lowerings and gains it had, and has. `--save` keeps what it finds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

import scission
from scission.models.matrices import mel
from scission.models.networks import autoregressive, forest
from scission.models.planted import ffn as planted_ffn
from scission.models.planted import products as planted
from scission.models.planted import recurrent as planted_recurrent

KEPT = Path(__file__).parent / "results" / "plans.json"
SIZES = ((128, 96),) * 8
SMALL = ((4, 3), (2, 5), (3, 3))
DIRECTIONS = ("forward", "reverse", "bidirectional")


def main() -> int:
    """Plan all and tell what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="keep the plans that are found")
    parser.add_argument("--provider", choices=("cpu", "cuda"), help="only for this provider")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    found = {}
    for provider in (options.provider,) if options.provider else ("cpu", "cuda"):
        for name, model in models():
            found[f"{provider} {name}"] = summary(model, provider, forests=not name.endswith("split"))
    other = [name for name in found if found[name] != kept.get(name)]
    if options.save:
        KEPT.write_text(json.dumps(kept | found, indent=0, sort_keys=True) + "\n")
    for name in other:
        print(f"{name}: {kept.get(name)} -> {found[name]}")
    print(f"{len(found) - len(other)} of {len(found)} plans are those that were kept")
    return bool(other)


def models() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Each model by name."""
    for kind in planted.KINDS:
        yield kind, planted.build(rng(), kind, SIZES).model
        yield f"{kind} small", planted.build(rng(), kind, SMALL).model
    for op in ("LSTM", "GRU", "RNN"):
        for direction in DIRECTIONS:
            cell = planted_recurrent.Cell(op=op, direction=direction, sizes=((32, 48),) * 4)
            yield f"{op} {direction}", planted_recurrent.build_cell(rng(), cell).model
    for name in ("forest", "forest, its matrices split"):
        yield name, forest.build(rng(), 10, 20).model
    yield "mel", mel.build()
    yield "autoregressive", autoregressive.build(rng(), shuffle=True)[0]
    for width, hidden, blocks in ((64, 256, 4), (512, 2048, 8), (512, 2048, 128)):
        for shuffle in (True, False):
            name = f"ffn {width} {blocks} {'shuffled' if shuffle else 'in order'}"
            yield name, planted_ffn.build(rng(), width, hidden, blocks, shuffle=shuffle).model
    yield "ffn gated", planted_ffn.build(rng(), 128, 512, 8, "swiglu").model


def summary(model: onnx.ModelProto, provider: str, forests: bool) -> dict[str, object]:
    """What a plan says, and the hash of every byte of it; forests: whether these may take another form."""
    plan = scission.plan(model, provider=provider, threads=1, forests=forests)
    text = plan.dumps()
    return {
        "lowerings": [step.lowering for step in plan.steps],
        "gains": [step.gain and round(step.gain, 4) for step in plan.steps],
        "sha256": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


def rng() -> np.random.Generator:
    """The same numbers for each model."""
    return np.random.default_rng(1)


if __name__ == "__main__":
    sys.exit(main())
