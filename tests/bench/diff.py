"""What `scission diff` finds, and how long it takes: rewrites, renamings, single mutations, two sets of weights.

`python tests/bench/diff.py [--only ROW ...] [--save]` prints each figure beside its target; `--save` also writes them
to `tests/bench/results/`. Everything runs on the CPU, in three minutes; models are built once into `.bench/` (1 GB).
A node is attributed when its group names nodes of the other model. A constant is related when it holds what constants
of the other model hold, or, where it holds nothing of them, when the nodes that it serves are named.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, at_most, bench, reported
from onnx import compose

import scission
from scission.models.networks import transformer as planted_transformer
from scission.models.trained import gpt2

sys.path.append(str(Path(__file__).parents[1] / "support"))
from mutations import KINDS, mutated, random_model, shuffled, towers
from mutations import told as told_of

FOLDER = Path(".bench")
NODES = 1000
MUTATIONS = 50
RELATED = ("changed", "cast", "reshaped", "transposed", "permuted", "slice", "permuted slice", "stacked", "merged")


def rewrites() -> Iterator[Figure]:
    """A thousand nodes, encoders of planted blocks on end, and what scission makes of them, as regions and singly."""
    model = stacked()
    yield reported("rewrite", "nodes of the model", len(model.graph.node))
    for regions in (True, False):
        row = f"rewrite, {'regions' if regions else 'one by one'}"
        plan = scission.plan(model, provider="cpu", force=True, regions=regions)
        split = scission.apply(model, plan)
        start = time.perf_counter()
        found = scission.diff(model, split)
        yield reported(row, "seconds", time.perf_counter() - start)
        told = sum(len(group.after) for group in found.groups if group.before or group.of)
        yield at_least(row, f"of {len(found.added)} added nodes, attributed: %", 100 * told / len(found.added), 100)
        new = [one for one in found.tensors if one.after is not None]
        related = sum(one.kind in RELATED or bool(one.origin) for one in new)
        yield at_least(row, f"of {len(new)} constants, related: %", 100 * related / len(new), 100)
        weights = [one for one in new if one.after and one.after.dtype == "float" and np.prod(one.after.shape) > 1]
        held = sum(one.kind in RELATED for one in weights)
        yield at_least(row, f"of {len(weights)} float constants, by what they hold: %", 100 * held / len(weights), 100)


def stacked() -> onnx.ModelProto:
    """Encoders on end, each reading what the one before makes."""
    path = FOLDER / "diff-stacked.onnx"
    if not path.exists():
        model = None
        while model is None or len(model.graph.node) < NODES:
            seed = 0 if model is None else len(model.graph.node)
            sizes = {"layers": 4, "width": 128, "heads": 4, "hidden": 256}
            part = planted_transformer.bert(None, np.random.default_rng(seed), interface=True, **sizes).model
            part = compose.add_prefix(part, f"part{seed}.")
            if model is None:
                model = part
            else:
                between = [(model.graph.output[0].name, part.graph.input[0].name)]
                model = compose.merge_models(model, part, io_map=between)
        onnx.save(model, path)
    return onnx.load(path)


def renamings() -> Iterator[Figure]:
    """Models under other names in another order."""
    rng = np.random.default_rng(0)
    models = {"encoders": stacked(), "random": random_model(rng, 500, named=False)}
    models |= {"towers with the same weights": towers(rng, 100, 4), "towers": towers(rng, 100, 4, tied=False)}
    for name, model in models.items():
        other = shuffled(rng, model)
        yield at_least(f"renamed and shuffled: {name}", "same", float(scission.diff(model, other).same), 1)


def mutations() -> Iterator[Figure]:
    """One thing changed at random in models with and without names."""
    exact, rng = 0, np.random.default_rng(1)
    for index in range(MUTATIONS):
        change = None
        kind = KINDS[index % len(KINDS)]
        while change is None:
            model = random_model(rng, int(rng.integers(5, 120)), named=bool(index % 2), layers=bool(rng.integers(2)))
            change = mutated(rng, model, kind)
        other, what = change
        exact += told_of(scission.diff(model, other), other, kind) == what
    yield at_least("mutations", f"of {MUTATIONS}, told exactly", exact, MUTATIONS)


def checkpoints() -> Iterator[Figure]:
    """Two models of 124 M parameters, other weights; loading is reading both with onnx."""
    paths = [FOLDER / f"diff-gpt2-{seed}.onnx" for seed in (1, 2)]
    for seed, path in enumerate(paths):
        if not path.exists():
            gpt2.build(np.random.default_rng(seed), path)
    seconds: dict[str, list[float]] = {"load": [], "diff": [], "same": []}
    calls: dict[str, Callable[[], object]] = {
        "load": lambda: [onnx.load(path) for path in paths],
        "diff": lambda: scission.diff(*paths),
        "same": lambda: scission.diff(paths[0], paths[0]),
    }
    for call in calls.values():  # both files are in the page cache then
        call()
    for _ in range(3):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    load, diff, same = (float(np.median(some)) for some in seconds.values())
    yield at_most("124 M parameters, other weights", "seconds over those of loading both", diff / load, 3)
    yield at_most("124 M parameters, the same file twice", "seconds over those of loading both", same / load, 3)
    yield reported("124 M parameters, other weights", "seconds", diff)


def growth() -> Iterator[Figure]:
    """Symmetric models of 1,000 and 10,000 nodes."""
    taken = []
    for height in (100, 1000):
        model = towers(np.random.default_rng(0), height, 5)
        other = shuffled(np.random.default_rng(1), model)
        start = time.process_time()
        if not scission.diff(model, other).same:
            raise ValueError(f"towers of {height} layers are not the same as themselves")
        taken.append(time.process_time() - start)
    yield at_most("10,000 nodes", "seconds over those of 1,000 nodes", taken[1] / taken[0], 20)
    yield reported("10,000 nodes", "seconds", taken[1])


ROWS: dict[str, Callable[[], Iterator[Figure]]] = {
    "rewrites": rewrites,
    "renamings": renamings,
    "mutations": mutations,
    "checkpoints": checkpoints,
    "growth": growth,
}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    sys.exit(bench("diff", __doc__, ROWS))
