"""Annealing, measured: `python tests/bench/annealing.py [--only PART …] [--save] [--quick]`.

Prints each figure beside its target. What the four tests of the paper do to weights that were never trained; whether
blocks hidden in noise are found, and nothing where there are none; what the tests cost. A signal of 1x adds N(0, 1)
inside the blocks to the N(0, 1) that is everywhere. Times are medians of interleaved repeats in this one process; with
OPENBLAS_NUM_THREADS=1 they repeat better. Where torch has a CUDA device the rows that need one run as well. --save
writes the figures to tests/bench/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy
import sklearn
import torch
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_rand_score

from scission.ir.evidence.null import Null
from scission.models.networks.cooccurrence import train
from scission.passes.anneal.blocks.search import BlockDecision, anneal_blocks, smallest_block_signal
from scission.passes.anneal.edges.anneal import confirm
from scission.passes.anneal.edges.anneal_sequences import confirm_sequences
from scission.passes.anneal.edges.update import updated
from scission.passes.cocluster.coclustering import membership
from scission.passes.connectivity.bipartite import components
from scission.passes.decompose.blocks import decompose
from scission.runtime.ort.environment import machine

RESULTS = Path(__file__).parent / "results"
CUDA = torch.cuda.is_available()
LEVELS = (0.05, 0.01, 0.001)
SIZES = (((384, 384), 4), ((384, 384), 8), ((1024, 4096), 4), ((1024, 4096), 8))
SIGNALS = (1, 2, 4)
EXACT = 0.99  # adjusted Rand index from which a partition counts as found

Array = np.ndarray
Row = dict[str, Any]
Rows = list[Row]


def row(name: str, figure: Any, target: str = "", met: bool | None = None, **more: Any) -> Row:
    """One line of the table."""
    return {"name": name, "figure": figure, "target": target, "met": met, **more}


def at_least(name: str, figure: float, target: float, **more: Any) -> Row:
    return row(name, round(figure, 4), f">= {target:g}", figure >= target, **more)


def at_most(name: str, figure: float, target: float, **more: Any) -> Row:
    return row(name, round(figure, 4), f"<= {target:g}", figure <= target, **more)


def normal(sigma: float = 1.0) -> Null:
    return Null(family="normal", scale=sigma, source="the bench draws it so")


def uniform(a: float = 1.0) -> Null:
    return Null(family="uniform", scale=a, source="the bench draws it so")


DRAWS: dict[str, tuple[Callable[..., Array], Null]] = {
    "normal": (lambda rng, shape: rng.standard_normal(shape, np.float32), normal()),
    "uniform": (lambda rng, shape: 2 * rng.random(shape, np.float32) - 1, uniform()),
}


# Weights that were never trained.


def null(quick: bool) -> Rows:
    """Rejection rates of the four tests of the paper on untouched weights."""
    rows: Rows = []
    for family, (draw, law) in DRAWS.items():
        rng = np.random.default_rng(2026)
        rows += exact("neyman (3.2.1)", family, quick, lambda rng=rng, draw=draw, law=law: edges_of(rng, draw, law))
        rows += exact("norm (3.3.1)", family, quick, lambda rng=rng, draw=draw, law=law: sequences_of(rng, draw, law))
        W, theta = draw(rng, (2048, 2048)), [draw(rng, (1024, 1024)) for _ in range(8)]
        walks = {level: confirm(W, "walk", level=level).evidence for level in LEVELS}
        for level, evidence in walks.items():
            shares = np.array(evidence.classes) / W.size
            rows.append(
                row(
                    f"null: walk (3.2.2), {family}, alpha {level}: share called preferred",
                    round(float(shares[0]), 4),
                    "reported",
                    random=round(float(shares[1]), 4),
                    suppressed=round(float(shares[2]), 4),
                    bandwidth=evidence.bandwidth,
                )
            )
        for level in LEVELS:
            evidence = confirm_sequences(theta, "consistency", level=level, correction="none").evidence
            p0 = evidence.classes[1] / sum(evidence.classes)
            rows.append(
                row(
                    f"null: consistency (3.3.2), {family}, alpha {level}: rejection rate",
                    round(evidence.confirmed, 6),
                    "reported",
                    p0=round(p0, 4),
                    least_p=round((1 - p0) ** 8, 4),
                    power=evidence.power,
                )
            )
    return rows


def edges_of(rng: np.random.Generator, draw: Callable[..., Array], law: Null) -> tuple[int, dict[float, int]]:
    W = draw(rng, (2048, 2048))
    return W.size, {a: int(confirm(W, "neyman", null=law, level=a, correction="none").confirmed.sum()) for a in LEVELS}


def sequences_of(rng: np.random.Generator, draw: Callable[..., Array], law: Null) -> tuple[int, dict[float, int]]:
    theta = [draw(rng, (1024, 1024)) for _ in range(8)]
    found = {}
    for level in LEVELS:
        decision = confirm_sequences(theta, "norm", nulls=[law] * 8, level=level, correction="none")
        found[level] = int(decision.confirmed.sum())
    return theta[0].size, found


def exact(test: str, family: str, quick: bool, sample: Callable[[], tuple[int, dict[float, int]]]) -> Rows:
    """The rejection rate against alpha, of 6e7 edges: its standard error at 0.001 is 0.4 % of it."""
    edges, rejected = 0, Counter[float]()
    while edges < (2_000_000 if quick else 60_000_000):
        count, found = sample()
        edges += count
        rejected.update(found)
    rows = []
    for level in LEVELS:
        rate = rejected[level] / edges
        error = math.sqrt(level * (1 - level) / edges) / level
        name = f"null: {test}, {family}, alpha {level}: relative error of the rejection rate"
        rows.append(at_most(name, abs(rate / level - 1), 0.02, rate=rate, standard_error=round(error, 5), edges=edges))
    return rows


# Blocks planted in noise.


def planted(seed: int, shape: tuple[int, int], blocks: int, signal: float) -> tuple[Array, Array, Array]:
    """(A float32 weight with equal blocks in N(0, 1), the true block of every row, that of every column)."""
    rng = np.random.default_rng([seed, *shape, blocks, round(100 * signal)])
    rows, columns = (rng.permutation(np.arange(size) % blocks) for size in shape)
    W = rng.standard_normal(shape, np.float32)
    W += (rows[:, None] == columns) * np.float32(signal) * rng.standard_normal(shape, np.float32)
    return W, rows, columns


def agreement(rows: Array, columns: Array, found_rows: Array, found_columns: Array) -> float:
    """Adjusted Rand index over the K + N labels; a feature in no block is one of its own."""
    found = np.concatenate([found_rows, found_columns])
    alone = np.where(found < 0, -1 - np.arange(found.size), found)
    return float(adjusted_rand_score(np.concatenate([rows, columns]), alone))


def genie(W: Array, rows: Array, columns: Array, blocks: int, signal: float) -> float:
    """The agreement of one who knows sigma, the signal and all labels of the other side: nobody can do better."""
    square = W * W
    total, inside = 1.0, 1 + signal**2
    found = []
    for matrix, other in ((square, columns), (square.T, rows)):
        members = membership(other, blocks)
        score = 0.5 * (matrix @ members) * (1 / total - 1 / inside) - 0.5 * members.sum(0) * math.log(inside)
        found.append(score.argmax(1))
    return agreement(rows, columns, *found)


@cache
def searched(known: bool, seeds: int) -> dict[tuple[Any, int, int], list[tuple[float, bool, float, str]]]:
    """(Agreement, accepted, that of the genie, reason) for every seed of every configuration."""
    found: dict[tuple[Any, int, int], list[tuple[float, bool, float, str]]] = {}
    for (shape, blocks), signal in product(SIZES, SIGNALS):
        for seed in range(seeds):
            W, rows, columns = planted(seed, shape, blocks, signal)
            decision = anneal_blocks(W, normal() if known else None)
            partition, certificate = decision.partition, decision.evidence.certificate
            ari = agreement(rows, columns, partition.inputs, partition.outputs)
            best = genie(W, rows, columns, blocks, signal) if known else math.nan
            found.setdefault((shape, blocks, signal), []).append(
                (ari, decision.decomposition is not None, best, certificate.reason)
            )
    return found


def share_found(results: Iterable[tuple[float, bool, float, str]]) -> float:
    return float(np.mean([accepted and ari >= EXACT for ari, accepted, *_ in results]))


def overall(known: bool, seeds: int, signal: int) -> float:
    """Share found over all four configurations."""
    return float(np.mean([share_found(r) for (*_, s), r in searched(known, seeds).items() if s == signal]))


def blocks_planted(quick: bool) -> Rows:
    """Share of seeds in which the planted blocks are found and accepted, sigma being known."""
    seeds = 2 if quick else 20
    rows: Rows = []
    for signal, target in zip(SIGNALS, (0.6, 0.95, 1.0), strict=True):
        name = f"planted: blocks found, {signal}x signal, {seeds} seeds of each of four weights"
        rows.append(at_least(name, overall(True, seeds, signal), target))
        for ((K, N), blocks, s), results in searched(True, seeds).items():
            if s != signal:
                continue
            refused = [reason for _, accepted, _, reason in results if not accepted]
            rows.append(
                row(
                    f"planted: {blocks} in {K}x{N}, {signal}x",
                    share_found(results),
                    "reported",
                    mean_ari=round(float(np.mean([r[0] for r in results])), 4),
                    accepted=float(np.mean([r[1] for r in results])),
                    genie=float(np.mean([r[2] >= EXACT for r in results])),
                    genie_ari=round(float(np.mean([r[2] for r in results])), 4),
                    smallest_signal=round(smallest_block_signal((K, N), blocks), 2),
                    **({"refused": refused[0]} if refused else {}),
                )
            )
    return rows


def unknown(quick: bool) -> Rows:
    """The same with sigma estimated."""
    seeds = 2 if quick else 20
    rows: Rows = []
    for signal in SIGNALS:
        rate, known = overall(False, seeds, signal), overall(True, seeds, signal)
        by_weight = {
            f"{blocks} in {K}x{N}": share_found(results)
            for ((K, N), blocks, s), results in searched(False, seeds).items()
            if s == signal
        }
        name = f"unknown sigma: blocks found over those with sigma known, {signal}x signal"
        rows.append(at_least(name, rate / known if known else 1.0, 0.9, found=rate, **by_weight))
    return rows


# No blocks.


def tally(name: str, make: Callable[[np.random.Generator], Array], law: Null | None, seeds: int, target: bool) -> Row:
    """Share of seeds in which blocks are accepted where there are none."""
    accepted, reasons, times = 0, Counter[str](), []
    for seed in range(seeds):
        W = make(np.random.default_rng([7, seed])).astype(np.float32)
        start = time.perf_counter()
        decision = anneal_blocks(W, law)
        times.append(time.perf_counter() - start)
        accepted += decision.decomposition is not None
        reasons[decision.evidence.certificate.reason.partition(":")[0].partition(" (p")[0]] += 1
    full = f"false blocks: {name}, {seeds} seeds"
    more = {"seconds_each": round(median(times), 3), "reasons": dict(reasons.most_common(2))}
    rate = accepted / seeds
    return at_most(full, rate, 0.01, **more) if target else row(full, round(rate, 4), "reported", **more)


def false(quick: bool) -> Rows:
    """Blocks accepted in noise, in one dense block, and in weights that follow no null at all."""
    rows: Rows = []
    side = (384, 384)
    wide = (1024, 4096)
    for known in (True, False):
        mark = "sigma known" if known else "sigma estimated"
        law, flat = (normal(), uniform()) if known else (None, None)
        for shape, seeds in ((side, 5 if quick else 200), (wide, 1 if quick else 20)):
            where = f"{shape[0]}x{shape[1]}, {mark}"
            rows += [
                tally(f"normal noise, {where}", lambda rng, s=shape: rng.standard_normal(s), law, seeds, True),
                tally(f"one dense block of 2x, {where}", lambda rng, s=shape: dense(rng, s, 2), law, seeds, True),
                tally(f"uniform noise, {where}", lambda rng, s=shape: rng.uniform(-1, 1, s), flat, seeds, True),
            ]
        seeds = 5 if quick else 200
        rows.append(tally(f"one dense block of 1x, 384x384, {mark}", lambda r: dense(r, side, 1), law, seeds, True))
        for name, make in HARDER.items():
            rows.append(tally(f"{name}, {mark}", lambda rng, make=make: make(rng, side), law, seeds, False))
    return rows


def dense(rng: np.random.Generator, shape: tuple[int, int], signal: float) -> Array:
    return math.sqrt(1 + signal**2) * rng.standard_normal(shape)


def scales(rng: np.random.Generator, count: int) -> Array:
    return np.exp(0.5 * rng.standard_normal(count))


HARDER: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "rows of different scale": lambda rng, s: rng.standard_normal(s) * scales(rng, s[0])[:, None],
    "rank-one scales": lambda rng, s: rng.standard_normal(s) * np.outer(scales(rng, s[0]), scales(rng, s[1])),
    "Student t with 3 degrees": lambda rng, s: rng.standard_t(3, s),
    "low rank and noise": lambda rng, s: (
        rng.standard_normal(s) + 0.3 * rng.standard_normal((s[0], 8)) @ rng.standard_normal((8, s[1]))
    ),
    "one dense sub-block": lambda rng, s: (
        rng.standard_normal(s) + np.pad(3 * rng.standard_normal((100, 100)), [(0, size - 100) for size in s])
    ),
    "block triangular": lambda rng, s: (
        rng.standard_normal(s)
        * (1 + 2 * np.kron(np.tril(np.ones((4, 4))), np.ones((s[0] // 4, s[1] // 4))))  # no two blocks are apart
    ),
}


# Blocks that do not exist, beside real ones.


WEAK = (0.75, 1.0, 1.5)
SMALL = (((128, 128), 2), ((128, 128), 4), ((192, 256), 3), ((256, 256), 4), ((384, 384), 4), ((384, 384), 8))


def imagined(decision: BlockDecision, in_rows: Array, in_columns: Array, blocks: int) -> list[tuple[int, int]]:
    """Shapes of the accepted blocks that share no more than half of what either has with any true block."""
    found = []
    for block in decision.decomposition.blocks if decision.decomposition else ():
        rows = np.bincount(in_rows[block.inputs], minlength=blocks)
        columns = np.bincount(in_columns[block.outputs], minlength=blocks)
        both = rows * columns
        true = np.bincount(in_rows, minlength=blocks) * np.bincount(in_columns, minlength=blocks)
        either = block.inputs.size * block.outputs.size + true - both
        if not (both > either / 2).any():
            found.append((block.inputs.size, block.outputs.size))
    return found


def spurious(quick: bool) -> Rows:
    """Accepted partitions that hold a block that does not exist, the others being near what can be seen at all."""
    seeds = 2 if quick else 13
    rows: Rows = []
    total = Counter[str]()
    for family, known in product(("normal", "uniform"), (True, False)):
        law = (normal() if family == "normal" else uniform(math.sqrt(3))) if known else None
        count, shapes = Counter[str](), Counter[str]()
        for seed, (shape, blocks), signal in product(range(seeds), SMALL, WEAK):
            W, in_rows, in_columns = planted(seed, shape, blocks, signal)
            if family == "uniform":
                rng = np.random.default_rng([seed, *shape, blocks, 1])
                W = np.float32(math.sqrt(3)) * (2 * rng.random(shape, np.float32) - 1)
                W += (in_rows[:, None] == in_columns) * np.float32(signal) * rng.standard_normal(shape, np.float32)
            decision = anneal_blocks(W, law)
            wrong = imagined(decision, in_rows, in_columns, blocks)
            found = decision.decomposition
            right = found is not None and not wrong and len(found.blocks) == blocks
            count += Counter(runs=1, accepted=found is not None, imagined=bool(wrong), right=right)
            shapes.update(f"{K}x{N}" for K, N in wrong)
        total += count
        where = f"{family} noise, sigma {'known' if known else 'estimated'}"
        name = f"spurious: accepted runs with a block that does not exist, {where}"
        rows.append(row(name, round(count["imagined"] / max(count["accepted"], 1), 4), "reported", **count, **shapes))
    name = f"spurious: accepted runs with a block that does not exist, all {total['runs']}"
    return [*rows, at_most(name, total["imagined"] / max(total["accepted"], 1), 0.01, **total)]


# Other ways.


def edges(quick: bool) -> Rows:
    """What the edge-wise test finds on the same planted blocks: the components of what it confirms."""
    seeds = 1 if quick else 5
    rows: Rows = []
    for correction in ("bonferroni", "benjamini-hochberg", "none"):
        found: dict[str, dict[str, float]] = {}
        rates = []
        for signal in SIGNALS:
            for (shape, blocks), seed in product(SIZES, range(seeds)):
                W, in_rows, in_columns = planted(seed, shape, blocks, signal)
                mask = confirm(W, "neyman", null=normal(), level=0.05, correction=correction).confirmed
                parts = components(mask)
                ari = agreement(in_rows, in_columns, parts.inputs, parts.outputs)
                rates.append(ari >= EXACT)
                line = found.setdefault(f"{signal}x", {"exact": 0.0, "giant": 0.0})
                line["exact"] += float(ari >= EXACT) / seeds / len(SIZES)
                line["giant"] += parts.giant / seeds / len(SIZES)
        shown = {signal: {key: round(value, 3) for key, value in line.items()} for signal, line in found.items()}
        name = f"edges: planted blocks exact after block-fill, neyman at 0.05, {correction}, {seeds} seeds"
        rows.append(row(name, round(float(np.mean(rates)), 3), "reported", **shown))
    return rows


def residual(quick: bool) -> Rows:
    """Twenty entries of 8 sigma between the blocks: found one by one, and the blocks as without them."""
    rows: Rows = []
    for shape, blocks in (((384, 384), 4), ((1024, 4096), 4)):
        good, seeds = 0, 2 if quick else 20
        for seed in range(seeds):
            W, in_rows, in_columns = planted(seed, shape, blocks, 2)
            rng = np.random.default_rng([seed, 20])
            apart = np.argwhere(in_rows[:, None] != in_columns)
            chosen = apart[rng.choice(len(apart), 20, replace=False)]
            W[tuple(chosen.T)] = 8 * rng.choice([-1, 1], 20)
            decision = anneal_blocks(W, normal())
            found = decision.partition
            exact_blocks = agreement(in_rows, in_columns, found.inputs, found.outputs) >= EXACT
            same = {tuple(pair) for pair in decision.residual.tolist()} == {tuple(pair) for pair in chosen.tolist()}
            good += decision.decomposition is not None and exact_blocks and same
        size = f"{shape[0]}x{shape[1]}"
        name = f"residual entries: exactly the 20 of 8 sigma beside {blocks} blocks in {size}, {seeds} seeds"
        rows.append(at_least(name, good / seeds, 0.95))
    return rows


# Cost.


def clock(work: Callable[[], Any]) -> float:
    """Seconds of one run, until the device is done."""
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each, in rounds of random order after one warm-up."""
    shuffle = random.Random(0).shuffle
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        turns = list(works.items())
        shuffle(turns)
        for name, work in turns:
            times[name].append(clock(work))
    return {name: median(found) for name, found in times.items()}


def tests_of(W: Any, theta: list[Any]) -> dict[str, Callable[[], Any]]:
    law = normal()
    return {
        "neyman": lambda: confirm(W, "neyman", null=law),
        "walk": lambda: confirm(W, "walk"),
        "norm": lambda: confirm_sequences(theta, "norm", nulls=[law] * 8),
        "consistency": lambda: confirm_sequences(theta, "consistency"),
    }


def speed(quick: bool) -> Rows:
    """The four tests over 45 million weights, against one pass over them; the search for blocks."""
    K, N = (1024, 2752) if quick else (4096, 11008)
    W = np.random.default_rng(0).standard_normal((K, N), np.float32)
    rows = [four_tests(W, "numpy.abs(W).sum()", lambda: np.abs(W).sum(), 40, 3 if quick else 7)]
    if CUDA:
        there = torch.from_numpy(W).cuda()
        rows.append(four_tests(there, "reading it once, CUDA", lambda: there.sum(), 5, 20))
    for shape in ((384, 384), (1024, 4096)) if quick else ((384, 384), (1024, 4096), (4096, 4096)):
        planted_weight = planted(0, shape, 8, 2)[0]
        for name, given in (("8 blocks of 2x", planted_weight), ("noise", np.random.default_rng(1).normal(size=shape))):
            rows.append(search_cost(f"speed: anneal_blocks, {name}, {shape[0]}x{shape[1]}: seconds", np.float32(given)))
    return rows


def four_tests(W: Any, unit: str, once: Callable[[], Any], target: float, rounds: int) -> Row:
    """The same entries are eight channels for the tests of sequences."""
    theta = list(W.reshape(8, W.shape[0] // 2, W.shape[1] // 4))
    times = interleaved({"once": once, **tests_of(W, theta)}, rounds)
    unit_seconds = times.pop("once")
    ratios = {name: round(seconds / unit_seconds, 2) for name, seconds in times.items()}
    name = f"speed: all four tests over {tuple(W.shape)} float32, in units of {unit}"
    return at_most(name, sum(times.values()) / unit_seconds, target, unit_ms=round(unit_seconds * 1e3, 2), **ratios)


def search_cost(name: str, W: Array) -> Row:
    decisions: list[BlockDecision] = []
    seconds = interleaved({"search": lambda: decisions.append(anneal_blocks(W, normal()))}, 3)["search"]
    tracemalloc.start()
    anneal_blocks(W, normal())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    verdict = decisions[0].evidence.certificate.reason
    return row(name, round(seconds, 3), "reported", peak_over_weight=round(peak / W.nbytes, 2), verdict=verdict)


def theorem(quick: bool) -> Rows:
    """Plain SGD on disjoint activations: the entries that moved, and the blocks that they make (Theorem 2.1)."""
    rows: Rows = []
    for init in ("normal",) if quick else ("normal", "uniform"):
        result = train(0, steps=400 if quick else 4000, init=init)
        decision = updated(result.trained, result.initial)
        blocks = decompose(components(decision.confirmed))
        filled = np.zeros_like(result.trained)
        labels = np.full((2, filled.shape[0]), -1)
        for number, block in enumerate(blocks.blocks):
            inside = np.ix_(block.inputs, block.outputs)
            filled[inside] = result.trained[inside]
            labels[0, block.inputs] = labels[1, block.outputs] = number
        true = np.where(result.active, result.classes, -1 - np.arange(result.classes.size))
        dormant = np.where(result.active, result.classes, -1 - result.classes.size - np.arange(result.classes.size))
        ari = agreement(true, dormant, *labels)
        changes = [
            float(np.abs(table.X @ result.trained - table.X @ filled)[:, table.active].max())
            for table in result.datasets
        ]
        rows += [
            at_least(f"theorem: ARI of blocks and co-occurrence classes, SGD, {init}", ari, 1.0),
            at_most(f"theorem: largest change of an own output, SGD, {init}", max(changes), 0.0),
        ]
    return rows


def minilm(quick: bool) -> Rows:
    """The whole command `scission sweep` on a real transformer, with the sigma of its own untrained pooler."""
    from scission.models.trained.minilm import export, sentences, tokens

    with tempfile.TemporaryDirectory() as folder:
        model, data, mask, result = (
            Path(folder) / name for name in ("minilm.onnx", "calib.npz", "mask.npy", "out.json")
        )
        export(model)
        feeds = tokens(sentences(10 if quick else 100))
        np.savez(data, **feeds)
        np.save(mask, feeds["attention_mask"])
        words = ["sweep", model.name, "--data", data.name, "--labels", mask.name, "--init", "normal:0.0091"]
        words += ["--metric", "python:scission.models.trained.minilm.sentence_cosine", "-o", result.name, "--quiet"]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "scission", *words], check=True, cwd=folder)
        seconds = time.perf_counter() - start
        found = json.loads(result.read_text())
    why = found["decomposability"]
    says = not found["decomposes"] and "does not decompose" in why["sentence"]
    giants = [one["giant"] for one in why["matrices"]]
    distances = [one["distance"] for one in why["matrices"]]
    levels = {f"{one['level']:g}": round(one["metric"], 3) for one in found["levels"]}
    return [
        at_most(
            f"minilm: seconds of a sweep of {len(found['levels'])} levels", seconds, 300, sentences=found["samples"]
        ),
        row("minilm: the report says that it does not decompose", int(says), "1", says, sentence=why["sentence"]),
        row("minilm: smallest giant share", min(giants), distance=f"{min(distances):.0f}-{max(distances):.0f}"),
        row("minilm: sentence cosine where no giant is left", round(why["worth"]["value"], 3), levels=levels),
    ]


PARTS: dict[str, Callable[[bool], Rows]] = {
    "null": null,
    "planted": blocks_planted,
    "unknown": unknown,
    "false": false,
    "spurious": spurious,
    "edges": edges,
    "residual": residual,
    "speed": speed,
    "theorem": theorem,
    "minilm": minilm,
}
SHOWN = {"name", "figure", "target", "met"}


def main() -> None:
    """Run the parts and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*PARTS], help="parts to run")
    parser.add_argument("--quick", action="store_true", help="few seeds and small sizes: does it run at all?")
    parser.add_argument("--save", action="store_true", help="keep the figures in tests/bench/results/")
    options = parser.parse_args()
    console = Console(width=200)
    rows: Rows = []
    for name in options.only or PARTS:
        start = time.perf_counter()
        found = PARTS[name](options.quick)
        rows += found
        table = Table("figure", "measured", "target", "", "details", box=None, title_justify="left")
        for one in found:
            more = ", ".join(f"{key} {value}" for key, value in one.items() if key not in SHOWN)
            met = {True: "yes", False: "NO", None: ""}[one["met"]]
            table.add_row(one["name"], f"{one['figure']:g}", one["target"], met, more)
        console.print(table)
        console.print(f"{name}: {time.perf_counter() - start:.0f} s\n", highlight=False)
    if not CUDA:
        console.print("no CUDA device: the row of the GPU did not run")
    if options.save:
        today = datetime.date.today()
        versions = {"torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
        versions["scikit-learn"] = sklearn.__version__
        about = machine("cpu") | {"gpu": torch.cuda.get_device_name() if CUDA else None, "versions": versions}
        about["blas_threads"] = os.environ.get("OPENBLAS_NUM_THREADS", "all")
        data = {"date": str(today), "machine": about, "parts": options.only or [*PARTS], "rows": rows}
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"annealing-{'cuda' if CUDA else 'cpu'}-{today}.json"
        file.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
