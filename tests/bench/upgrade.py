"""Training of blocks, and watching it: `python tests/bench/upgrade.py [--only NAME …] [--save]`.

blocks: eq. 4.7 on 200 random decompositions and covers: gradients beside those of the masked dense weight, to the bit
where sums are exact and within the bound of their rounding otherwise, and weights after 20 steps of SGD, momentum and
Adam. A step of Adam divides by a moment, so that an entry whose gradient is nearly zero differs by its relative error.
removal: MiniLM without some of its hidden units and heads, fitted to 2,000 sentences of docstrings, judged on others,
in one thread.
projected: weights as products of smaller ones: two layers of blocks, products of a known rank and noise, of which the
form, the rank and the gain are to be found; and MiniLM's, fitted to 300 sentences, beside removal at one budget.
distilled: MiniLM at 1.7x, what is left trained against the original on other sentences, on all cores: the cosine of
sentences that took no part, and how often the sentence that a docstring goes on with is among the ten nearest to its
first, in a package of which no sentence was seen, beside how often it is by the original.
kept: a network for digits made smaller within several budgets, each time with other samples that judge, and whether
the budget holds on these; where it does not, the result says by how much.
monitor: what a look each 100 steps costs of them, on a net of four layers of 1024 units, in one thread; and whether the
blocks of Theorem 2.1's setting are those of the features active together so far, at every look.
written: every planted kind of model, split, trained for 50 steps in torch and written back: what ONNX Runtime computes
of it beside what the module does, over what rounding may make.
killed: training that is killed at 20 random moments and begun again, beside a run that is not.
experts: a network with ReLU that learnt to tell the next byte of docstrings with few hidden units active, and one that
learnt so without any such penalty, as experts: how much faster at 512 rows, and what that costs on sentences that took
no part; and MiniLM, whose hidden units are never zero, so that none may become experts.
digits: a net 64-512-512-10 on scikit-learn's digits, dense and with both hidden layers in blocks from the beginning,
trained alike with five seeds: accuracy on a quarter of the samples that no run sees, and speed at 256 rows. Its first
layer, with an eighth of the products of the second, is in a quarter as many blocks, each of which a few of the second
read: in as many as the second a block sees too few pixels. That was chosen on parts of the samples that are trained on.
grouped: the dense nets of `digits` once they are trained, by `scission.decompose` with `blocks`: groups of units are
found, weights between them trained away, on what the nets were trained on; the same unseen samples judge.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import next_byte
import numpy as np
import torch
from decomposed import distilled, kept
from figures import Figure, at_least, at_most, bench, reported
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from torch import nn

import scission
from scission import Block, DecomposeResult, Decomposition, Samples, SampleSets, Trials, decompose
from scission.ir.findings.formation import from_runs
from scission.ir.io.load import load as load_model
from scission.ir.reason import Cause
from scission.models.networks.cooccurrence import coupling, noisy
from scission.models.planted.products import KINDS, build, feeds
from scission.models.tables import load
from scission.models.trained.minilm import batches, export, sentences
from scission.models.trained.prose import prose
from scission.runtime.decompose.blocks.method import Blocks
from scission.runtime.decompose.experts.method import Experts
from scission.runtime.decompose.projection.method import Projection
from scission.runtime.decompose.removal.method import Removal
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import Declined, DecomposeTask
from scission.torch import CoverLinear, RetrainOptions, StructureMonitor, retrain, to_onnx, to_torch

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]

from masked import OPTIMISERS, Masked, as_linear, dense_of  # noqa: E402
from projectable import correlated, planted  # noqa: E402
from reference import model, node  # noqa: E402
from retrain_runs import finished, killed_and_begun_again, run, write_run  # noqa: E402
from rewritten import plan  # noqa: E402
from run_torch import by_runtime, by_torch, excess, trained_for  # noqa: E402

CASES, STEPS = 200, 20
COSINE = "python:scission.models.trained.minilm.sentence_cosine"
FITTED, CHOOSING, JUDGING, FASTER = 2_000, 400, 1_000, 1.25
PLANTED, RANK, BLOCKS, FEW, LOST = 512, 16, 8, (300, 100, 200), 0.02
WIDTH, DEPTH, ROWS, EVERY, LOOKS = 1024, 4, 64, 100, 3
LEARNT, KILLS = 50, 20
SEEDS, UNSEEN, AT_ONCE, COARSER, CHOOSES = 5, 450, 256, 4, 5


def random_decomposition(rng: np.random.Generator, shared: bool) -> Decomposition:
    """Up to six blocks of up to 48 features, some features dormant; shared: blocks may read the same inputs."""
    K, N = (int(size) for size in rng.integers(4, 49, 2))
    count = int(rng.integers(1, 7))
    outputs, inputs = rng.integers(-1, count, N), rng.integers(-1, count, K)
    blocks = []
    for label in range(count):
        own = np.flatnonzero(rng.random(K) < 0.4) if shared else np.flatnonzero(inputs == label)
        if own.size and (outputs == label).any():
            blocks.append(Block(own, np.flatnonzero(outputs == label)))
    return Decomposition((K, N), tuple(blocks))


def trained(layer: nn.Module, optimiser: str, seed: int, shape: tuple[int, int], dtype: torch.dtype) -> None:
    step, draw = OPTIMISERS[optimiser](layer.parameters()), torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        x, target = (torch.randn(16, size, generator=draw, dtype=torch.float64).to(dtype) for size in shape)
        step.zero_grad()
        (torch.tanh(layer(x)) - target).square().mean().backward()
        step.step()


def gradients(found: Decomposition, seed: int, dtype: torch.dtype, whole: bool) -> float:
    """Of the gradients of one step: the largest difference over what rounding of the sums may make, 0 where there is
    none at all; whole: of whole numbers, whose sums are exact, so that the bound is 0 and a difference counts as it is.
    """
    masked = Masked(found, seed=seed, whole_numbers=whole).to(dtype)
    layer = CoverLinear.from_linear(as_linear(masked), found)
    draw = torch.Generator().manual_seed(seed)
    x, delta = (torch.randint(-4, 5, (16, size), generator=draw).to(dtype) for size in found.shape)
    if not whole:
        x, delta = (torch.randn(one.shape, generator=draw, dtype=torch.float64).to(dtype) for one in (x, delta))
    for one in (masked, layer):
        one(x).backward(delta)
    assert masked.weight.grad is not None
    difference = np.abs(dense_of(layer, "grad") - masked.weight.grad.double().numpy())
    bound = 2 * len(x) * torch.finfo(dtype).eps * (delta.abs().T @ x.abs()).double().numpy()
    return float((difference if whole else difference / np.maximum(bound, 1e-300)).max(initial=0))


def blocks() -> Iterator[Figure]:
    """Eq. 4.7: gradients, then trajectories by optimiser and type."""
    cases = [random_decomposition(np.random.default_rng(seed), shared=bool(seed % 2)) for seed in range(CASES)]
    name = f"{CASES} decompositions and covers"
    for dtype, whole, what in (
        (torch.float64, True, "gradients of whole numbers, float64: largest difference"),
        (torch.float64, False, "gradients, float64: largest difference over the bound of the sum"),
        (torch.float32, False, "gradients, float32: largest difference over the bound of the sum"),
    ):
        worst = max(gradients(found, seed, dtype, whole) for seed, found in enumerate(cases))
        yield at_most(name, what, worst, 0 if whole else 1)
    for dtype in (torch.float64, torch.float32):
        for optimiser in OPTIMISERS:
            worst, awake = 0.0, 0
            for seed, found in enumerate(cases):
                masked = Masked(found, seed=seed).to(dtype)
                layer = CoverLinear.from_linear(as_linear(masked), found)
                for one in (masked, layer):
                    trained(one, optimiser, seed, found.shape, dtype)
                dense = masked.weight.detach().double().numpy()
                worst = max(worst, float(np.abs(dense_of(layer) - dense).max(initial=0)))
                awake += int((layer.weight.detach() * ~masked.mask).count_nonzero())
            row = f"{optimiser}, {str(dtype).removeprefix('torch.')}, {STEPS} steps"
            if dtype is torch.float64:
                yield at_most(row, "largest difference of a weight, units of 1e-9", worst * 1e9, 1)
            else:
                yield reported(row, "largest difference of a weight, units of 1e-6", worst * 1e6)
            yield at_most(row, "entries outside of the blocks that woke up", awake, 0)


def net() -> tuple[nn.Module, torch.optim.Optimizer, torch.Tensor]:
    torch.manual_seed(0)
    made = nn.Sequential(*[one for _ in range(DEPTH) for one in (nn.Linear(WIDTH, WIDTH), nn.ReLU())])
    return made, torch.optim.Adam(made.parameters()), torch.randn(ROWS, WIDTH)


def monitor() -> Iterator[Figure]:
    """The cost of a look, and what it sees."""
    made, optimizer, x = net()
    watch = StructureMonitor(made, every=EVERY, evidence="spare")
    steps: list[float] = []
    looks: list[float] = []
    for _ in range(EVERY * LOOKS):
        began = time.perf_counter()
        optimizer.zero_grad()
        made(x).square().mean().backward()
        optimizer.step()
        middle = time.perf_counter()
        look = watch.step()
        steps.append(middle - began)
        if look is not None:
            looks.append(time.perf_counter() - middle)
    watch.close()
    share = statistics.median(looks) / (EVERY * statistics.median(steps))
    name = f"{DEPTH} x {WIDTH} MLP, {ROWS} rows"
    yield reported(name, "ms a step", 1e3 * statistics.median(steps))
    yield reported(name, "ms a look", 1e3 * statistics.median(looks))
    yield at_most(name, "a look in 100 steps, % of them", 100 * share, 2)
    yield at_least("Theorem 2.1, five data sets", "least ARI of all looks", *formation())


def formation() -> tuple[float, float]:
    """(Least agreement over the looks of ten runs, what it is to be): blocks are there as soon as they exist."""
    least = 1.0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        tables = load(rng)
        n = tables[0].X.shape[1]
        layer = nn.Linear(n, n, bias=False)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.02)
        watch, rows = StructureMonitor(layer, every=1, evidence="off"), []
        labels: Any = None
        for _ in range(40):
            table = tables[rng.integers(len(tables))]
            rows.append(table.X[rng.integers(len(table.X))])
            target = torch.from_numpy(rows[-1][None])
            error = (layer(torch.from_numpy(noisy(rng, rows[-1][None]))) - target) * (target != 0)
            optimizer.zero_grad()
            (error.square().sum() / 2).backward()
            optimizer.step()
            look = watch.step()
            assert look is not None
            seen = look.weights[0]
            if seen.inputs is not None:
                labels = [from_runs(text, n) for text in (seen.inputs, seen.outputs or "")]
            active = np.array(rows) != 0
            truth = np.where(active.any(0), coupling(active), -1 - np.arange(n))
            for one in labels:
                least = min(least, float(adjusted_rand_score(truth, np.where(one < 0, -1 - np.arange(n), one))))
    return least, 1.0


def sentence_sets(fitted: int, choosing: int, judging: int) -> SampleSets:
    """So many sentences for MiniLM, no one of them in two sets."""
    parts = np.split(np.array(prose(fitted + choosing + judging), object), [fitted, fitted + choosing])
    sets = [batches([str(text) for text in part]) for part in parts]
    samples = [Samples(feeds=feeds, labels=[feed["attention_mask"] for feed in feeds]) for feeds in sets]
    return SampleSets(calibration=samples[0], selection=samples[1], judgement=samples[2])


def removal() -> Iterator[Figure]:
    """MiniLM at 1.25x: the cosine of sentences on samples that took no part, and what it took to get there."""
    sets = sentence_sets(FITTED, CHOOSING, JUDGING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        export(path)
        began = time.perf_counter()
        found = decompose(
            path,
            sets,
            metric=COSINE,
            target=FASTER,
            methods=[Removal()],
            trials=Trials(provider="cpu", threads=1),
        )
    name = f"MiniLM, removal, {FITTED:,} sentences"
    yield at_most(name, "minutes", (time.perf_counter() - began) / 60, 10)
    best = max(found.tried, key=lambda one: one.speedup)
    yield at_least(name, "times faster", (found.chosen or best).speedup, FASTER)
    for one in found.tried:
        yield reported(f"{name}, {one.latency.figure}", "sentence cosine on samples to choose by", one.measured.metric)
    judged = found.judged.measured.metric if found.judged is not None else 0.0
    yield at_least(name, f"sentence cosine on {JUDGING:,} sentences that took no part", judged, 0.98)


def experts() -> Iterator[Figure]:
    """Hidden units as experts: a quarter of them active at most, or a refusal."""
    sets, trials = next_byte.sample_sets(), Trials(provider="cpu", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "next_byte.onnx"
        for penalty in (1e-3, 0.0):
            made = next_byte.trained(penalty)
            next_byte.export(made, path)
            with torch.no_grad():
                made(torch.from_numpy(sets.judgement.feeds[0]["x"]))
            name = f"next byte, {'activations penalised' if penalty else 'no penalty'}"
            yield reported(name, "hidden units that are active, %", 100 * float((made.hidden > 0).float().mean()))
            began = time.perf_counter()
            found = decompose(path, sets, methods=[Experts()], budget="argmax<=0.005", trials=trials)
            yield reported(name, "minutes", (time.perf_counter() - began) / 60)
            yield from experts_of(name, found, penalty > 0)
        export(path)
        given = Samples(feeds=batches(sentences(8)))
        (only,) = Experts().propose(
            DecomposeTask(
                model=load_model(path), calibration=given, selection=given, goal=parse_goal(target=2), trials=trials
            )
        )
        kept_as_is = isinstance(only, Declined) and only.reason.cause is Cause.NOT_SPARSE
        yield at_least("MiniLM", "declined, as its hidden units are never zero", float(kept_as_is), 1)


def experts_of(name: str, found: DecomposeResult, aimed: bool) -> Iterator[Figure]:
    """What was tried, and what was kept, beside the target where there is one."""
    for one in found.tried:
        yield reported(f"{name}, {one.latency.figure}", "accuracy lost on samples to choose by, %", 100 * one.drop)
    speedup = found.chosen.speedup if found.chosen is not None else 1.0
    lost = found.judged.measured.drop / found.judged.measured.baseline if found.judged is not None else 0.0
    what = "accuracy lost on sentences that took no part, % of it"
    if aimed:
        yield at_least(name, "times faster", speedup, 1.5)
        yield at_most(name, what, 100 * lost, 1)
    else:
        yield reported(name, "times faster", speedup)
        yield reported(name, what, 100 * lost)


def projected() -> Iterator[Figure]:
    """Weights that are blocks, products of a low rank and noise; and MiniLM's, beside removal."""
    one = Trials(provider="cpu", threads=1)
    data = {"x": np.concatenate([feed["x"] for feed in correlated(PLANTED, count=64)])}
    known = planted(PLANTED, 2 * PLANTED, rank=RANK, blocks=BLOCKS)
    found = decompose(known, data, methods=[Projection()], budget="cosine<=0.01", trials=one)
    name = f"planted, {PLANTED} features, rank {RANK}, {BLOCKS} blocks"
    chosen = found.chosen
    weights = {} if chosen is None else {weight.node: weight for weight in chosen.candidate.projected}
    for where, form in (("up", "block_low_rank"), ("down", "low_rank")):
        weight = weights.get(where)
        right = weight is not None and weight.form == form
        yield at_most(
            f"{name}, {where}", f"rank beside the planted one, as {form}", abs(weight.rank - RANK) if right else RANK, 0
        )
        yield reported(
            f"{name}, {where}", "% of the multiply-adds", 100 * weight.share if weight is not None else 100.0
        )
    yield at_most(
        name, "cosine lost on samples that took no part", found.judged.measured.drop if found.judged else 1.0, 0.01
    )
    yield at_least(name, "times faster", chosen.speedup if chosen is not None else 1.0, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        export(path)
        sets = sentence_sets(*FEW)
        for method in (Removal(), Projection()):
            began = time.perf_counter()
            found = decompose(path, sets, methods=[method], budget=f"{COSINE}<={LOST}", trials=one)
            name = f"MiniLM, {method.name}, {FEW[0]:,} sentences, {LOST:g} of the cosine"
            yield reported(name, "minutes", (time.perf_counter() - began) / 60)
            yield reported(name, "times faster within it", found.chosen.speedup if found.chosen is not None else 1.0)
            for tried in found.tried:
                yield reported(f"{name}, {tried.latency.figure}", "sentence cosine", tried.measured.metric)


def written() -> Iterator[Figure]:
    """Models that learnt, as files and as modules."""
    worst, count = 0.0, 0
    for kind in KINDS:
        rng = np.random.default_rng(0)
        planted = build(rng, kind)
        given = feeds(rng, planted)
        if kind in ("fp16", "gemm-beta-zero-nan"):  # Adam's 1e-8 is 0 in 16 bits; NaN teaches nothing
            continue
        module = to_torch(planted.model, plan(planted.model))
        trained_for(module, given, LEARNT)
        worst = max(worst, excess(by_runtime(to_onnx(module), given), by_torch(module, given), given))
        count += 1
    what = "largest difference over what rounding may make"
    yield at_most(f"{count} planted kinds, {LEARNT} steps, written back", what, worst, 1)


def killed() -> Iterator[Figure]:
    """Runs that are killed and begun again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder)
        finished(run(folder, "whole.onnx"))
        whole, done, differing = (folder / "whole.onnx").read_bytes(), 0, 0
        while done < KILLS:
            done += killed_and_begun_again(folder, "killed.onnx", min(4, KILLS - done), seed=done)
            differing += (folder / "killed.onnx").read_bytes() != whole
            (folder / "killed.onnx").unlink()
    yield at_most(f"retrain, killed {done} times", "results of other bits than the run that was not", differing, 0)


def digits_net(rng: np.random.Generator, first: int, second: int) -> Any:
    """64-512-512-10 with its hidden layers in so many blocks, drawn as He et al. do for what a unit reads."""
    constants = {}
    for name, (K, N), parts in (("A", (64, 512), first), ("B", (512, 512), second), ("C", (512, 10), 1)):
        mask = np.kron(np.eye(parts), np.ones((K // parts, N // parts)))
        constants[name] = (mask * rng.standard_normal((K, N)) * np.sqrt(2 * parts / K)).astype(np.float32)
    constants |= {name: np.zeros(size, np.float32) for name, size in (("a", 512), ("b", 512), ("c", 10))}
    nodes = [
        node("Gemm", "x A a", "h", "first"),
        node("Relu", "h", "r", "relu"),
        node("Gemm", "r B b", "g", "second"),
        node("Relu", "g", "s", "again"),
        node("Gemm", "s C c", "y", "last"),
    ]
    return model(nodes, {"x": ["n", 64]}, {"y": ["n", 10]}, constants)


def digits() -> Iterator[Figure]:
    """Accuracy and speed of nets whose hidden layers are blocks from the beginning."""
    trials = Trials(threads=1, provider="cpu", seconds=10)
    dense, dense_hits = None, 0.0
    for count, least in ((1, None), (8, 3), (16, 4)):
        runs = [digits_run(seed, count) for seed in range(SEEDS)]
        made, mean = runs[-1][0], 100 * statistics.mean(hits for _, hits in runs)
        name = f"digits, 64-512-512-10, {f'{count} blocks' if count > 1 else 'dense'}, {SEEDS} seeds"
        if least is None:
            dense, dense_hits = made, mean
            yield reported(name, "accuracy on unseen samples, %", mean)
            continue
        yield at_least(name, "accuracy on unseen samples, % (dense - 0.2)", mean, round(dense_hits - 0.2, 3))
        (timed,) = scission.bench(dense, made, trials=trials, batch=[AT_ONCE])
        yield at_least(name, f"times the speed of the dense one, {AT_ONCE} rows", timed.speedup, least)


def digits_data(seed: int) -> tuple[Any, Any, Any, Any]:
    """(Samples and labels that are seen, those that are not), another partition for each seed."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    unseen, seen = order[:UNSEEN], order[UNSEEN:]
    X = (X / 16).astype(np.float32)
    return X[seen], y[seen], X[unseen], y[unseen]


def digits_run(seed: int, count: int) -> tuple[Any, float]:
    """(A trained net, its share of hits on unseen samples)."""
    X, y, unseen, wanted = digits_data(seed)
    made = digits_net(np.random.default_rng(seed), max(count // COARSER, 1), count)
    chosen = scission.plan(made, provider="cpu", threads=1, batch=[AT_ONCE])
    how = RetrainOptions(labels=y, steps=3000, every=100, patience=8, held_back=0.1, seed=seed, bench=False)
    trials = Trials(threads=1, provider="cpu")
    done = retrain(made, None, how, data={"x": X}, plan=chosen, trials=trials).model
    (scores,) = by_runtime(done, {"x": unseen})
    return done, float((scores.argmax(1) == wanted).mean())


def grouped() -> Iterator[Figure]:
    """Accuracy and speed of dense nets that are trained into blocks."""
    found: dict[int, list[tuple[float, float, float]]] = {8: [], 16: []}
    for seed in range(SEEDS):
        dense, hits = digits_run(seed, 1)
        X, y, unseen, wanted = digits_data(seed)
        choosing = len(X) // CHOOSES
        parts = (slice(choosing, None), slice(0, choosing))
        calibration, selection = (Samples(feeds=[{"x": X[part]}], labels=[y[part]]) for part in parts)
        judgement = Samples(feeds=[{"x": unseen}], labels=[wanted])
        sets = SampleSets(calibration=calibration, selection=selection, judgement=judgement)
        for count, own in found.items():
            trials = Trials(threads=1, provider="cpu", seconds=3, seed=seed)
            made = decompose(dense, sets, metric="argmax", target=1.5, methods=[Blocks(counts=[count])], trials=trials)
            assert made.judged is not None and made.chosen is not None, made.reason
            own.append((hits, made.judged.measured.metric, made.chosen.speedup))
    for count, own in found.items():
        before, after = (100 * statistics.mean(column) for column in list(zip(*own, strict=True))[:2])
        name = f"digits, trained dense, then {count} blocks of 512x512, {SEEDS} seeds"
        yield at_least(name, "accuracy on unseen samples, % (dense - 0.2)", after, round(before - 0.2, 3))
        speed = statistics.median(speed for *_, speed in own)
        yield reported(name, f"times the speed of the dense one, {choosing} rows", speed)


PARTS = {
    "blocks": blocks,
    "removal": removal,
    "experts": experts,
    "projected": projected,
    "distilled": distilled,
    "kept": kept,
    "monitor": monitor,
    "written": written,
    "killed": killed,
    "digits": digits,
    "grouped": grouped,
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(bench("upgrade", __doc__, PARTS))
