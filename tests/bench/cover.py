"""What covers gain, groups of outputs that share inputs: windows, triangles, ensembles on subsets, glued and pruned.

`python tests/bench/cover.py [--only ROW ...] [--threads N] [--tune] [--save]` prints each figure beside its target;
`--save` also writes them to `tests/bench/results/`. Everything runs on the CPU. A share of multiply-adds is what the
plan leaves of those of the dense linears; an operator that stays dense leaves all of them. Ratios are medians over
interleaved rounds, and every output is compared with that of the dense model before it is timed. A model that comes
back as it was counts as 1. Models are built once into `.bench/` (0.7 GB, and a minute to train the trees); then a run
takes about four minutes.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from figures import Figure, at_least, at_most, missed, reported, save, show, told
from lowering_formats import others
from partitions import cheapest
from raced import FOLDER, Feeds, Setting, bound, faster, made, product, require_close, rewritten, turns

import scission
from scission.models.matrices import glued, mel, pruned, toeplitz
from scission.models.networks import autoregressive, subset_forest, subspaces
from scission.passes.connectivity.edges import relate
from scission.passes.decompose.cover.cover import CoverCost, cover

BATCH = 256
FRAMES = 3000
PRICES = ((1, 0, 0, 3), (1, 2, 1, 10), (1, 5, 5, 30), (1, 40, 20, 330))  # of a multiply-add, input, output, group
SAME = 1e-9  # of a cost; sums are rounded in another order
EXAMPLES = 4  # random relations of each size and density


def mels(setting: Setting) -> Iterator[Figure]:
    """HTK filter banks of 80 and 128 bands at 16 kHz."""
    for bands, bins, share, gain in ((128, 513, 0.14, 1.6), (80, 201, 0.26, 1.1)):
        path = made(f"mel-{bins}-{bands}.onnx", lambda p, k=bins, n=bands: onnx.save(mel.build(k, n), p))
        spectra = np.random.default_rng(0).random((FRAMES, bins), np.float32)
        yield from compared(f"mel {bands}x{bins}", path, {"spectra": spectra}, FRAMES, share, gain, setting)


def filters(setting: Setting) -> Iterator[Figure]:
    """A filter of 5 taps over 2048 samples, rows and columns shuffled and not."""
    for shuffle in (True, False):
        path = weight(f"toeplitz-2048-{shuffle}", lambda s=shuffle: toeplitz.weight(rng(), 2048, 5, s))
        share, gain = (0.05, 6) if shuffle else (None, None)
        yield from compared(f"FIR-5 2048{', shuffled' * shuffle}", path, rows_of(2048), BATCH, share, gain, setting)


def autoencoders(setting: Setting) -> Iterator[Figure]:
    """Whole masked autoencoders, features in natural order and shuffled."""
    for shuffle in (False, True):
        path = made(
            f"made-{shuffle}.onnx", lambda p, s=shuffle: onnx.save(autoregressive.build(rng(), shuffle=s)[0], p)
        )
        row = f"MADE 784-2000-784{', shuffled' * shuffle}"
        yield from compared(row, path, rows_of(784), BATCH, 0.56, 1.6, setting)


def trees(setting: Setting) -> Iterator[Figure]:
    """The first layer of 64 trees on random quarters of 1024 features, which test single ones or functions of all."""
    for oblique in (False, True):
        row = f"64 trees on subsets{', oblique' * oblique}, first layer"
        whole = made(f"subset-forest-{oblique}.onnx", lambda p, o=oblique: forest(p, o))
        first = weight(f"subset-forest-{oblique}-first", lambda m=whole: of_model(m, "A"))
        yield from compared(row, first, rows_of(1024), BATCH, 0.30, 2.5, setting)


def networks(setting: Setting) -> Iterator[Figure]:
    """8 networks on random quarters of 1024 features in one graph, with outputs of their own and summed."""
    for summed, shuffle in ((False, False), (False, True), (True, True)):
        path = made(f"subspaces-{summed}-{shuffle}.onnx", lambda p, how=(summed, shuffle): ensemble(p, *how))
        row = f"8 networks on subsets{', summed' * summed}{', shuffled' * shuffle}"
        yield from compared(row, path, rows_of(1024), BATCH, 0.30, 2.5, setting)


def glues(setting: Setting) -> Iterator[Figure]:
    """16 blocks of 256 that one dense row and 20 residual entries glue together."""
    for shuffle in (False, True):
        row = f"16 blocks of 256, glued{', shuffled' * shuffle}"
        yield from compared(row, glue(shuffle), rows_of(4096), BATCH, 0.08, 8, setting)
        yield reported(row, "MAC share of what was planted", glued.build(rng(), shuffle=shuffle).cover.mac_share)


def unstructured(setting: Setting) -> Iterator[Figure]:
    """99 % pruned without any structure: not slower than dense, beside formats that were made for it."""
    row, path, feeds = "4096x4096, 99 % pruned", pruned_weight(), rows_of(4096)
    yield from compared(row, path, feeds, BATCH, None, 1, setting)
    torch.set_num_threads(setting.threads)
    W = of_model(path, "w")
    calls = {
        "ONNX Runtime, dense": bound(path, feeds, setting),
        "scission": bound(split_of(path), feeds, setting),
        **{name: call(feeds["x"]) for name, call in others(W).items() if name.endswith("CSR")},
    }
    for name in set(calls) - {"ONNX Runtime, dense", "scission"}:
        require_close(f"{row}: {name}", feeds["x"] @ W, calls[name]())
    for name, taken in turns(calls).items():
        yield reported(row, f"batch {BATCH}, {name}: ms", taken * 1e3)


def exhaustive(setting: Setting) -> Iterator[Figure]:
    """The cover of small random relations against the cheapest of all partitions."""
    costs = []
    for index, (K, N, density) in enumerate(SMALL):
        for mac, read, write, launch in PRICES:
            cost = CoverCost(mac=mac, read=read, write=write, launch=launch)
            for seed in range(EXAMPLES):
                edges = np.random.default_rng([index, seed]).random((K, N)) < density
                found = cover(relate(edges), cost)
                if (edges & ~found.inside()).any():
                    raise ValueError(f"the cover of a relation {K}x{N} of density {density} leaves an edge out")
                costs.append((sum(cost.of(*block.shape) for block in found.blocks), cheapest(edges, cost.of)))
    row, equal = "exhaustive", sum(math.isclose(paid, least, rel_tol=SAME) for paid, least in costs)
    yield at_least(row, f"of {len(costs)} cases, as cheap as the cheapest partition", equal, len(costs))
    worst = max(paid / least for paid, least in costs if least)
    yield reported(row, "cost over that of the cheapest partition, the worst", worst)


def planning(setting: Setting) -> Iterator[Figure]:
    """A plan for 4096x4096 beside one dense product of 256 rows."""
    weights = {
        "glued": glue(True),
        "99 % pruned": pruned_weight(),
        "FIR-5, shuffled": weight("toeplitz-4096-True", lambda: toeplitz.weight(rng(), 4096, 5, True)),
    }
    for name, path in weights.items():
        calls = {"plan": lambda p=path: plan_of(p, setting), "dense": bound(path, rows_of(4096), setting)}
        seconds = turns(calls, drop=float("inf"))
        row = f"planning 4096x4096, {name}"
        yield at_most(row, "seconds over those of one dense product", seconds["plan"] / seconds["dense"], 30)
        yield reported(row, "plan: ms", seconds["plan"] * 1e3)
        yield reported(row, f"dense product, batch {BATCH}: ms", seconds["dense"] * 1e3)


def compared(
    row: str, path: Path, feeds: Feeds, batch: int, share: float | None, gain: float | None, setting: Setting
) -> Iterator[Figure]:
    """The share of multiply-adds that is left and the speed-up, beside their targets where there are some."""
    pair = rewritten(path, feeds, batch, setting)
    speedup = faster(pair, feeds, setting) if pair.plan.rewrites else 1.0
    found, what = mac_share(pair.plan), f"batch {batch}, {pair.lowerings}: speed-up"
    yield reported(row, "MAC share", found) if share is None else at_most(row, "MAC share", found, share)
    yield reported(row, what, speedup) if gain is None else at_least(row, what, speedup, gain)


def mac_share(plan: scission.Plan) -> float:
    """Multiply-adds that the plan leaves in all its linears together, over those of the dense model."""
    left = sum(step.parameters * step.decomposition.mac_share for step in plan.rewrites)
    dense = sum(step.parameters for step in plan.steps if step.lowering == "dense")
    return (left + dense) / sum(step.parameters for step in plan.steps)


def plan_of(path: Path, setting: Setting) -> scission.Plan:
    return scission.plan(path, provider=setting.provider, batch=[BATCH], threads=setting.threads, cache=False)


def split_of(path: Path) -> Path:
    """Where `rewritten` has left the model for these rows."""
    return path.with_suffix(f".split-{BATCH}.onnx")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def rows_of(features: int) -> dict[str, np.ndarray]:
    return {"x": rng().standard_normal((BATCH, features), np.float32)}


def weight(name: str, build: Callable[[], np.ndarray]) -> Path:
    """One product with this weight."""
    return made(f"cover-{name}.onnx", lambda p: onnx.save(product(build()), p))


def of_model(path: Path, name: str) -> np.ndarray:
    tensors = onnx.load(path).graph.initializer
    return onnx.numpy_helper.to_array(next(tensor for tensor in tensors if tensor.name == name))


def glue(shuffle: bool) -> Path:
    return weight(f"glued-{shuffle}", lambda: glued.build(rng(), shuffle=shuffle).W)


def pruned_weight() -> Path:
    return weight("pruned-4096", lambda: pruned.weight(rng()))


def forest(path: Path, oblique: bool) -> None:
    onnx.save(subset_forest.build(rng(), oblique=oblique).model, path)


def ensemble(path: Path, summed: bool, shuffle: bool) -> None:
    onnx.save(subspaces.build(rng(), summed=summed, shuffle=shuffle).model, path)


SMALL = [  # inputs, outputs, density
    *((12, 12, density) for density in (0.1, 0.2, 0.35, 0.6)),
    *((30, 11, density) for density in (0.08, 0.25)),
    *((6, 12, density) for density in (0.2, 0.5)),
    (5, 4, 0.4),
]
ROWS: dict[str, Callable[[Setting], Iterator[Figure]]] = {
    "mel": mels,
    "toeplitz": filters,
    "made": autoencoders,
    "trees": trees,
    "networks": networks,
    "glued": glues,
    "pruned": unstructured,
    "exhaustive": exhaustive,
    "planning": planning,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[*ROWS], help="rows; all of them else")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="tune the plans")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    setting = Setting("cpu", options.threads, options.tune, FOLDER / "cover.svg")
    figures = told(figure for row in options.only or ROWS for figure in ROWS[row](setting))
    show(figures)
    if options.save:
        save("cover", figures, setting.provider)
    return int(missed(figures))


if __name__ == "__main__":
    sys.exit(main())
