"""What the planner chooses: never a slower model, and without tuning nearly what tuning finds."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, at_most, reported
from raced import Setting, made, product

import scission
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.models.networks import autoregressive, ensemble, forest
from scission.models.networks import transformer as planted_transformer
from scission.models.planted import ffn as planted_ffn
from scission.models.planted import products as planted
from scission.runtime.tune.tune import tune
from scission.runtime.tune.tuned import TunedUnit

ZOO_SIZES = ((128, 96),) * 8
SECONDS = 0.1  # for a model at one number of rows
TARGET = 0.98
AGAIN = 2.0  # the same where it seems slower
SHOWN = 6
PRODUCTS = [*itertools.product((256, 1024, 2048), (4, 16, 64)), (512, 8), (4096, 16)]  # size, blocks
FFNS = [(256, 4), (256, 16), (512, 8), (512, 64), (1024, 4), (1024, 16)]

Models = Iterator[tuple[str, onnx.ModelProto | Path]]


def zoo(setting: Setting) -> Iterator[Figure]:
    """Every planted kind and small and large models of all families: what `optimize` hands back is never slower.

    Checked at one size, not at five: in four open dimensions the bounds of those take minutes.
    """
    slowest: dict[str, float] = {}
    outcomes: Counter[str] = Counter()
    refused = []
    for name, model in zoo_models():
        out = model.with_suffix(".optimized.onnx") if isinstance(model, Path) else None
        trials = scission.Trials(provider=setting.provider, threads=setting.threads, seconds=SECONDS)
        result = scission.optimize(
            model, out, overwrite=True, check=False, tune=setting.tune, cache=False, trials=trials
        )
        outcomes[result.outcome] += 1
        if result.outcome != "split":
            continue
        verdict = scission.check(model, result.model, trials=replace(trials, sizes=dict.fromkeys(symbols(model), 3)))
        if not verdict.equal:
            refused.append(name)
            print(f"{name}: {verdict.reason}", file=sys.stderr)
        for rows, gain in measured(model, result.model, setting, SECONDS):
            if gain < TARGET:  # noise, or so it is hoped
                ((_, gain),) = measured(model, result.model, setting, AGAIN, [rows])
            slowest[f"{name}, {rows} rows"] = gain
    worst = sorted(slowest, key=slowest.__getitem__)
    what = f"slowest of {outcomes['split']} rewritten models ({worst[0]}): speed-up"
    yield at_least("zoo", what, slowest[worst[0]], TARGET)
    for name in worst[1:SHOWN]:
        yield reported("zoo", f"{name}: speed-up", slowest[name])
    yield reported("zoo", "median of all: speed-up", float(np.median(list(slowest.values()))))
    for outcome, count in outcomes.items():
        yield reported("zoo", f"models that come back {outcome}", count)
    yield at_most("zoo", f"models that the check refuses ({', '.join(refused) or 'none'})", len(refused), 0)


def symbols(model: onnx.ModelProto | Path) -> set[str]:
    """The names of the open dimensions of a model's inputs."""
    proto = model if isinstance(model, onnx.ModelProto) else onnx.load(model)
    shapes = (value.type.tensor_type.shape for value in proto.graph.input)
    return {dim.dim_param for shape in shapes for dim in shape.dim if dim.dim_param}


def measured(
    model: onnx.ModelProto | Path, changed: object, setting: Setting, seconds: float, rows: list[int] | None = None
) -> list[tuple[int | None, float]]:
    """(rows, speed-up) at 1, 16 and 256 rows, or those given, in a race of its own."""
    trials = scission.Trials(provider=setting.provider, threads=setting.threads, seconds=seconds)
    return [(one.rows, one.paired.median) for one in scission.bench(model, changed, trials=trials, batch=rows)]


def zoo_models() -> Models:
    for kind in planted.KINDS:
        yield kind, planted.build(np.random.default_rng(1), kind, ZOO_SIZES).model
    for name, build in ZOO.items():
        yield name, made(f"zoo-{name}.onnx", build)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


ZOO: dict[str, Callable[[Path], object]] = {  # by name: how a model is written to a path
    "forest": lambda p: onnx.save(forest.build(rng(), 50, 100).model, p),
    "forest-small": lambda p: onnx.save(forest.build(rng(), 10, 20).model, p),
    "ensemble": lambda p: onnx.save(ensemble.build(rng(), 8, (512, 512)).model, p),
    "ensemble-small": lambda p: onnx.save(ensemble.build(rng(), 4, (64, 64)).model, p),
    "autoregressive": lambda p: onnx.save(autoregressive.build(rng())[0], p),
    "autoregressive-shuffled": lambda p: onnx.save(autoregressive.build(rng(), shuffle=True)[0], p),
    "ffn-small": lambda p: onnx.save(planted_ffn.build(rng(), 64, 256, 4).model, p),
    "ffn-small-gated": lambda p: onnx.save(planted_ffn.build(rng(), 128, 512, 8, "swiglu").model, p),
    "ffn-narrow-blocks": lambda p: onnx.save(planted_ffn.build(rng(), 512, 2048, 128).model, p),
    "ffn-contiguous": lambda p: onnx.save(planted_ffn.build(rng(), 512, 2048, 8, shuffle=False).model, p),
    "ffn-large": lambda p: onnx.save(planted_ffn.build(rng(), 1024, 4096, 4, leading=("batch", "sequence")).model, p),
    "bert-small": lambda p: planted_transformer.bert(p, rng(), layers=1, width=96, hidden=384, order="own"),
    "bert-shared": lambda p: planted_transformer.bert(p, rng(), layers=2, width=384, hidden=1536),
    "llama-small": lambda p: planted_transformer.llama(p, rng(), layers=1, width=128, hidden=384, order="own"),
    "llama-shared": lambda p: planted_transformer.llama(p, rng(), layers=2, width=512, hidden=1408),
}


def choices(setting: Setting) -> Iterator[Figure]:
    """The lowering that is predicted to be fastest against the fastest that tuning measures, over a grid of weights.

    A case is one unit of a plan, a product or a whole FFN, at one number of rows. Dense is among what is measured.
    """
    losses: dict[str, float] = {}
    thrown_out = 0
    for name, model in [*single_products(), *small_ffns()]:
        for rows in (1, 16, 256):
            for unit, planned in tuned_units(model, rows, setting):
                thrown_out += sum(bool(way.problem) for way in unit.table)
                speeds = {"dense": 1.0} | {way.way: way.worst for way in unit.table}
                best = max(speeds, key=speeds.__getitem__)
                case = f"{name}, {'+'.join(unit.nodes)}, {rows} rows: {planned} planned, {best} is fastest"
                if not speeds.get(planned):
                    raise ValueError(f"{case}; what was planned was not measured: {unit.note or unit.table}")
                losses[case] = speeds[best] / speeds[planned]
    near = {kind: [loss <= 1.1 for case, loss in losses.items() if case.startswith(kind)] for kind in ("MatMul", "FFN")}
    every = [*near["MatMul"], *near["FFN"]]
    yield at_least("choice", f"share of {len(every)} cases within 10 % of the fastest", float(np.mean(every)), 0.9)
    for kind, met in near.items():
        yield reported("choice", f"the same of {len(met)} cases of {kind}", float(np.mean(met)))
    yield reported("choice", "planned / fastest, seconds, median", float(np.median(list(losses.values()))))
    for case in sorted(losses, key=losses.__getitem__)[: -SHOWN - 1 : -1]:
        yield reported("choice", f"{case}: planned / fastest", losses[case])
    yield reported("choice", "ways that were thrown out because they cannot be carried out", thrown_out)


def tuned_units(model: onnx.ModelProto, rows: int, setting: Setting) -> Iterator[tuple[TunedUnit, str]]:
    """What was measured of each unit, and the way in which the plan lowers it.

    Where the plan splits nothing together it is tuned with force, so that what it refuses is measured too.
    """
    options = {"provider": setting.provider, "threads": setting.threads, "rows": [rows]}
    plan = scission.plan(model, **options)
    wide = plan if plan.regions else scission.plan(model, force=True, **options)
    trials = scission.Trials(provider=setting.provider, threads=setting.threads)
    dense = {step.node for step in plan.steps if step.lowering == "dense"}
    for unit in tune(load(model), wide, trials, [rows], cache=False).units:
        same = wide is plan or len(unit.nodes) == 1
        yield unit, "dense" if dense.issuperset(unit.nodes) else unit.planned if same else "apart"


def single_products() -> Iterator[tuple[str, onnx.ModelProto]]:
    for (size, blocks), contiguous in itertools.product(PRODUCTS, (True, False)):
        W, _ = weight(rng(), [(size // blocks, size // blocks)] * blocks, contiguous=contiguous)
        yield f"MatMul {size}, {blocks} blocks{', shuffled' * (not contiguous)}", product(W)


def small_ffns() -> Iterator[tuple[str, onnx.ModelProto]]:
    for (d, blocks), shuffle in itertools.product(FFNS, (False, True)):
        model = planted_ffn.build(rng(), d, 4 * d, blocks, shuffle=shuffle).model
        yield f"FFN {d}-{4 * d}, {blocks} blocks{', shuffled' * shuffle}", model
