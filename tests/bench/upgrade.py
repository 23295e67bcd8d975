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

import numpy as np
import torch
from decomposed import distilled, experts, kept, projected, removal
from digits_blocks import digits, grouped
from figures import Figure, at_least, at_most, bench, reported
from sklearn.metrics import adjusted_rand_score
from torch import nn

from scission import Block, Decomposition
from scission.ir.findings.formation import from_runs
from scission.models.networks.cooccurrence import coupling, noisy
from scission.models.planted.products import KINDS, build, feeds
from scission.models.tables import load
from scission.torch import CoverLinear, StructureMonitor, to_onnx, to_torch

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]

from masked import OPTIMISERS, Masked, as_linear, dense_of  # noqa: E402
from retrain_runs import finished, killed_and_begun_again, run, write_run  # noqa: E402
from rewritten import plan  # noqa: E402
from run_torch import by_runtime, by_torch, excess, trained_for  # noqa: E402

CASES, STEPS = 200, 20
WIDTH, DEPTH, ROWS, EVERY, LOOKS = 1024, 4, 64, 100, 3
LEARNT, KILLS = 50, 20


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
