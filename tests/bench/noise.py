"""Whether verdicts hold beside a busy neighbour: the same pairs benched again and again, the same unit tuned again.

`python tests/bench/noise.py [--only ROW ...] [--save]` prints each figure beside its target; `--save` also writes them
to `tests/bench/results/`. Every pair is benched ten times on the machine as it is, and ten times beside a process on
every core that never rests: a model and one with a third of its hidden units, one with nine tenths of them, and the
same file twice; with one thread, timed in processor seconds, and with as many as ONNX Runtime likes, timed on the wall.
Verdicts contradict each other where one run says faster and another slower. A unit is tuned four times in either way,
without a cache; of the ways that won, each pair that a long race tells apart counts, and each that is slower than the
planned one.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import onnx
from figures import Figure, at_most, bench, reported
from onnx import TensorProto, helper, numpy_helper

from scission.ir.graph.activations import Activations
from scission.ir.io.load import load
from scission.models.planted import ffn as planted_ffn
from scission.passes.lowering.target import Target
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.planning.units.alternatives import alternatives
from scission.passes.planning.units.unit import alone, plan_units
from scission.passes.rewrite.extract import extract
from scission.passes.rewrite.prepare import planned_view
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.inputs.sizes.settings import settings_of
from scission.runtime.measure.bench import bench as benched
from scission.runtime.measure.comparison import Comparison, Speed
from scission.runtime.measure.race import race
from scission.runtime.ort.trials import Trials
from scission.runtime.tune.form_race import DENSE, race_submodel
from scission.runtime.tune.tune import tune

TIMES = 10  # that a pair is benched as the machine is, and as often beside the neighbour
TUNED = 4
SECONDS = 1.0  # of one bench, at most
WIDTH, DEPTH, BATCH = 256, 2, 16
ROWS = (16, 256)


def pair_row(name: str, share: float) -> Iterator[Figure]:
    """A model and one with a share of its hidden units, as the machine is and beside the neighbour."""
    feeds = {"x": np.random.default_rng(0).standard_normal((BATCH, WIDTH)).astype(np.float32)}
    models = network(1.0), network(share)
    for threads in (1, None):
        how = f"{threads} thread" if threads else "all threads"
        seen: list[Comparison] = []
        for busy in (False, True):
            with neighbour(busy):
                found = [
                    benched(*models, feeds, trials=Trials(provider="cpu", threads=threads, seconds=SECONDS))
                    for _ in range(TIMES)
                ]
            seen += [one.comparison for one in found]
            ratios = [one.speedup for one in found]
            counts = Counter(one.speed.value for one in found)
            told = ", ".join(f"{count} {speed}" for speed, count in sorted(counts.items()))
            where = f"{how}, {'beside the neighbour' if busy else 'as it is'}, by {found[0].clock} time"
            yield reported(name, f"{where}: {told}; lowest speed-up", min(ratios))
            yield reported(name, f"{where}: highest speed-up", max(ratios))
        yield at_most(name, f"{how}: contradicting verdicts in {len(seen)} runs", contradictions(seen), 0)


def contradictions(seen: list[Comparison]) -> int:
    """How many runs would have to be taken back for the others to agree."""
    counts = Counter(one.speed for one in seen)
    return min(counts[Speed.FASTER], counts[Speed.SLOWER])


def tuning(threads: int | None) -> Iterator[Figure]:
    """The same two products tuned again and again."""
    model = planted_ffn.build(np.random.default_rng(0), d=256, hidden=1024, blocks=4).model
    loaded = load(model)
    plan = make_plan(loaded, PlanSettings(force=True, batch=ROWS, threads=threads or os.cpu_count() or 1))
    trials = Trials(provider="cpu", threads=threads, seconds=SECONDS)
    row = f"--tune, {threads} thread" if threads else "--tune, all threads"
    winners: list[str] = []
    planned = ""
    for busy in (False, True):
        with neighbour(busy):
            runs = [tune(loaded, plan, trials, ROWS, cache=False).units for _ in range(TUNED)]
        won = [unit.winner for units in runs for unit in units]
        settled = sum(unit.settled for units in runs for unit in units)
        planned = runs[0][0].planned
        winners += won
        where = "beside the neighbour" if busy else "as it is"
        told = ", ".join(f"{count} {way}" for way, count in sorted(Counter(won).items()))
        yield reported(row, f"{where}: {told} (planned: {planned}); settled and kept, of {len(won)}", settled)
    ways = sorted({*winners, planned} - {DENSE})
    seen = planned_view(loaded.graph, plan)
    (unit,) = plan_units(plan, seen)
    part = extract(seen, unit.operators, unit.inner)
    chosen = [
        one for one in alternatives(unit, seen, plan, Target(threads=threads or os.cpu_count() or 1)) if one.way in ways
    ]
    forms = {one.way: rewrite(part, alone(plan, one.steps, one.regions)) for one in chosen}

    def long(models, feed, **options):  # type: ignore[no-untyped-def]
        longer = replace(options["trials"], seconds=10 * SECONDS)
        return race(models, feed, **{**options, "drop": None, "precision": None, "trials": longer})

    activations = Activations(seen.model, settings_of(loaded, ROWS, trials.sizes))
    races = race_submodel(loaded, part, forms, activations, trials=trials, racer=long)
    apart = [
        pair
        for pair in itertools.combinations(sorted({*winners}), 2)
        if all(one.speed is Speed.FASTER for one in races.beside(*pair))
        or all(one.speed is Speed.SLOWER for one in races.beside(*pair))
    ]
    worse = [
        way
        for way in winners
        if way != planned and any(one.speed is Speed.SLOWER for one in races.beside(way, planned))
    ]
    yield at_most(row, f"pairs of winners that a long race tells apart, of {len(winners)} runs", len(apart), 0)
    yield at_most(row, "winners that are slower than the planned way", len(worse), 0)


def network(share: float) -> bytes:
    """Products with a share of the hidden units between them."""
    rng = np.random.default_rng(0)
    hidden = int(WIDTH * 2 * share)
    nodes, weights, last = [], [], "x"
    for layer in range(DEPTH):
        for name, shape in ((f"U{layer}", (WIDTH, hidden)), (f"D{layer}", (hidden, WIDTH))):
            weights.append(numpy_helper.from_array((rng.standard_normal(shape) / 16).astype(np.float32), name))
        nodes += [
            helper.make_node("MatMul", [last, f"U{layer}"], [f"h{layer}"]),
            helper.make_node("Relu", [f"h{layer}"], [f"r{layer}"]),
            helper.make_node("MatMul", [f"r{layer}", f"D{layer}"], [f"y{layer}"]),
        ]
        last = f"y{layer}"
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", last))
    graph = helper.make_graph(nodes, "network", [x], [y], weights)
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """A process on every core that never rests, for as long as the context lasts; none unless `busy`."""
    works = [multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1 if busy else 0)]
    for work in works:
        work.start()
    try:
        yield
    finally:
        for work in works:
            work.terminate()
            work.join()


def burn() -> None:
    """Never rest."""
    while True:
        pass


ROWS_OF_FIGURES = {
    "three times": lambda: pair_row("a third of the hidden units", 1 / 3),
    "a tenth": lambda: pair_row("nine tenths of the hidden units", 0.9),
    "equal": lambda: pair_row("the same file twice", 1.0),
    "tuning": lambda: tuning(1),
    "tuning threads": lambda: tuning(None),
}

if __name__ == "__main__":
    sys.exit(bench("noise", __doc__, ROWS_OF_FIGURES))
