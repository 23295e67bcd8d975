"""The structure of digraphs, measured: `python tests/bench/closure.py [--only PART …] [--save] [--quick]`.

Prints each figure beside its target. Everything runs on a CPU; where torch has a CUDA device the rows that need one run
as well. Times are medians of interleaved repeats in this one process. --save writes the figures and the plot of growth
to tests/bench/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import scipy
import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from digraphs import KINDS, digraph, expected

from scission.passes.connectivity.boolean import multiplier
from scission.passes.connectivity.closure import closure
from scission.passes.connectivity.digraph.structure import structure
from scission.passes.connectivity.on_device.pipeline import stream_components
from scission.passes.connectivity.tensor_cores import tuning
from scission.passes.connectivity.tensor_cores.products import why_not
from scission.passes.connectivity.tensor_cores.squares import Squares
from scission.runtime.ort.environment import machine

RESULTS = Path(__file__).parent / "results"
ENGINES = ("graph", "bitset", "matrix", "search")
FIELDS = ("scc", "component", "layer", "isolated", "order")
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"

Rows = list[dict[str, Any]]


def clock(work: Callable[[], Any]) -> float:
    """Seconds of one run, until the device is done."""
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], Any]], seconds: float = 1.0, most: int = 15) -> dict[str, float]:
    """Median seconds of each, in rounds of random order after one warm-up, for about `seconds` each."""
    shuffle = random.Random(0).shuffle
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    start = time.perf_counter()
    while min(map(len, times.values())) < 3 or (
        time.perf_counter() - start < seconds * len(works) and max(map(len, times.values())) < most
    ):
        turns = list(works.items())
        shuffle(turns)
        for name, work in turns:
            times[name].append(clock(work))
    return {name: median(found) for name, found in times.items()}


def row(name: str, figure: Any, target: str = "", met: bool | None = None, **more: Any) -> dict[str, Any]:
    """One line of the table."""
    return {"name": name, "figure": figure, "target": target, "met": met, **more}


def labels(quick: bool) -> Rows:
    """All engines and networkx on random digraphs of every kind."""
    rng = np.random.default_rng(2026)
    devices = ["cpu", "cuda"] if CUDA else ["cpu"]
    total, wrong = 100 if quick else 1000, 0
    for index in range(total):
        A = digraph(rng, int(rng.integers(0, 301)), KINDS[index % len(KINDS)])
        scc, component, layer, edges = expected(A)
        ways = [(engine, "cpu") for engine in ("graph", "bitset")]
        ways += [(engine, device) for engine in ("matrix", "search") for device in devices]
        for engine, device in ways:
            found = structure(A, engine=engine, device=device)
            same = all(map(np.array_equal, (found.scc, found.component, found.layer), (scc, component, layer)))
            same &= [tuple(pair) for pair in found.couplings().tolist()] == edges
            wrong += not same
    engines = "graph, bitset, matrix, search" + (" (also on CUDA)" if CUDA else "")
    return [row(f"labels that differ from networkx: {total} digraphs x {engines}", wrong, "0", wrong == 0)]


def grid(n: int) -> dict[str, np.ndarray]:
    """Digraphs of n states whose cost depends on different things."""
    rng = np.random.default_rng(n)
    order = rng.permutation(n)

    def hidden(A: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(A[order][:, order])

    return {
        "random 50 %": rng.random((n, n)) < 0.5,
        "random 2 %": rng.random((n, n)) < 0.02,
        "random degree 2": rng.random((n, n)) < 2 / n,
        "random degree 0.5": rng.random((n, n)) < 0.5 / n,
        "triangle": hidden(np.tril(np.ones((n, n), bool), -1)),
        "triangle 50 %": hidden(np.tril(rng.random((n, n)) < 0.5, -1)),
        "triangle 10 %": hidden(np.tril(rng.random((n, n)) < 0.1, -1)),
        "triangle degree 1": hidden(np.tril(rng.random((n, n)) < 2 / n, -1)),
        "path": hidden(np.eye(n, k=-1, dtype=bool)),
        "permutation": hidden(np.eye(n, dtype=bool)),
        "16 blocks": hidden(np.kron(np.eye(16, dtype=bool), np.ones((n // 16, n // 16), bool))),
    }


def choice(quick: bool) -> Rows:
    """On a CPU, `auto` against the better of the matrix and the graph engine."""
    rows: Rows = []
    for n in (64, 256) if quick else (64, 256, 512, 1024, 2048, 4096):
        for name, A in grid(n).items():
            engines = ["auto", "graph", *(["matrix"] if n <= 512 else [])]
            works = {e: lambda e=e, A=A: structure(A, engine=e) for e in engines}
            times = interleaved(works, 0.4 if n < 2048 else 1, 60)
            best = min(times[e] for e in engines[1:])
            ratio = times["auto"] / best
            rows.append(
                row(
                    f"auto / better engine, n {n}, {name}",
                    round(ratio, 2),
                    "1.2",
                    ratio <= 1.2,
                    ms={engine: round(seconds * 1e3, 3) for engine, seconds in times.items()},
                    taken=structure(A).engine,
                )
            )
    worst = max(r["figure"] for r in rows)
    rows.append(row("auto / better engine, the worst", worst, "1.2", worst <= 1.2))
    return rows


def products(quick: bool) -> Rows:
    """The rate of one Boolean product in every arithmetic, against torch's plain product of the same factors."""
    rows: Rows = []
    for n in (2048, 8192) if quick else (2048, 4096, 8192, 16384):
        R = torch.rand(n, n, device="cuda") < 0.5
        works: dict[str, Callable[[], Any]] = {}
        for arithmetic in ("fp8", "int8", "bf16"):
            works[f"{arithmetic} plain"] = plain(R, arithmetic)
            works[arithmetic] = lambda R=R, arithmetic=arithmetic: multiplier(R, arithmetic)(R)
        if why_not(R.device) is None:
            works["fused"] = lambda R=R: multiplier(R, "fused")(R)
        for name, seconds in interleaved(works).items():
            rows.append(row(f"product n {n}, {name}: TFLOP/s", round(2 * n**3 / seconds / 1e12, 1)))
    return rows


def plain(R: torch.Tensor, arithmetic: str) -> Callable[[], Any]:
    """torch's own product, nothing around it."""
    if arithmetic == "bf16":
        factor = R.to(torch.bfloat16)
        return lambda: factor @ factor
    if arithmetic == "int8":
        left, right = R.to(torch.int8), R.t().contiguous().to(torch.int8).t()
        return lambda: torch._int_mm(left, right)
    wide = R.to(torch.bfloat16)
    left8, right8 = wide.to(torch.float8_e4m3fn), wide.t().contiguous().to(torch.float8_e4m3fn).t()
    one = torch.ones((), device=R.device)
    return lambda: torch._scaled_mm(left8, right8, one, one, out_dtype=torch.bfloat16, use_fast_accum=True)


def dense(quick: bool) -> Rows:
    """The node table of a dense random digraph on the device, against scipy on the host, CSR built."""
    return dense_of(2048 if quick else 8192)


def dense_of(n: int) -> Rows:
    """Of one size, on CUDA where there is one."""
    A = np.random.default_rng(0).random((n, n)) < 0.5
    there = torch.from_numpy(A).to(DEVICE)
    times = interleaved(
        {
            "scipy": lambda: structure(A, engine="graph"),
            "bitset": lambda: structure(A, engine="bitset"),
            "matrix": lambda: structure(A, engine="matrix", device=DEVICE),
            "matrix, already there": lambda: structure(there, engine="matrix"),
            "search, already there": lambda: structure(there, engine="search"),
        },
        most=5,
    )
    ratio = times["scipy"] / times["matrix"]
    ms = {name: round(seconds * 1e3, 2) for name, seconds in times.items()}
    gains = {name: round(times["scipy"] / seconds, 1) for name, seconds in times.items()}
    what = f"dense n {n}: scipy / matrix engine, copy included"
    return [row(what, round(ratio, 1), "60", ratio >= 60, ms=ms, times=gains)]


def rate(quick: bool) -> Rows:
    """The closure's share of the tensor-core rate that torch has for the same product, and what it holds."""
    sizes = ((4096, 0.75),) if quick else ((16384, 0.85), (4096, 0.75))
    return [found for n, target in sizes for found in share_of_rate(n, target)]


def share_of_rate(n: int, target: float) -> Rows:
    """Of one size, on CUDA where there is one."""
    from scission.passes.connectivity import closure as module

    A = torch.rand(n, n, device=DEVICE) < 1.5 / n
    with mock.patch.object(tuning, "RATE", 1.0):  # this is so much work that all tiles are tried before
        closure(A)
    with (
        mock.patch.object(module, "_square", wraps=module._square) as plainly,  # type: ignore[attr-defined]
        mock.patch.object(Squares, "square", autospec=True, side_effect=Squares.square) as fused,
    ):
        held = peak(lambda: closure(A), A)
    squarings = plainly.call_count + fused.call_count
    R = closure(A)
    kinds = ("fp8", "int8", "bf16") if CUDA else ("bf16",)
    works = {name: plain(R, name) for name in kinds}
    times = interleaved({"closure": lambda: closure(A), **works})
    flops = 2 * n**3
    own = squarings * flops / times["closure"]
    share = own / (flops / min(times[name] for name in works))
    rates = {name: round(flops / times[name] / 1e12, 3) for name in works}
    found = row(
        f"closure n {n}: share of the best tensor-core rate of the same product",
        round(share, 3),
        str(target),
        share >= target,
        tflops=round(own / 1e12, 3),
        squarings=squarings,
        fused=fused.call_count > 0,
        plain_tflops=rates,
    )
    if held is None:
        return [found]
    return [found, row(f"closure n {n}: bytes of device memory per entry", round(held, 2), "8", held <= 8)]


def peak(work: Callable[[], Any], argument: torch.Tensor) -> float | None:
    """Bytes of device memory per entry of an argument that is there already, itself included; None on the CPU."""
    if not CUDA:
        work()
        return None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() - argument.numel()
    work()
    return (torch.cuda.max_memory_allocated() - before) / argument.numel()


def path(quick: bool) -> Rows:
    """The worst case: one long path, log n squarings and n layers."""
    n = 1024 if quick else 8192
    A = grid(n)["path"]
    there = torch.from_numpy(A).cuda()
    times = interleaved(
        {
            "scipy": lambda: structure(A, engine="graph"),
            "matrix": lambda: structure(there, engine="matrix"),
            "search": lambda: structure(there, engine="search"),
            "closure alone": lambda: closure(there),
        },
        most=7,
    )
    ms = {name: round(seconds * 1e3, 2) for name, seconds in times.items()}
    return [row(f"path n {n}: whole node table, matrix engine, ms", ms["matrix"], "100", ms["matrix"] <= 100, ms=ms)]


def stream(quick: bool) -> Rows:
    """All weights of a model of 7 billion parameters, against copying them to the device."""
    return streamed(*(1024, 2816, 8000) if quick else (4096, 11008, 32000))


def streamed(d: int, f: int, v: int, layers: int = 32) -> Rows:
    """Weights of layers of width d and hidden width f, and of a vocabulary, to CUDA where there is one."""
    rng = np.random.default_rng(0)
    shapes = [(d, d)] * 4 + [(d, f)] * 2 + [(f, d)]
    distinct = 4  # layers that are held; the same memory is read again for the others
    held = [[rng.standard_normal(s, np.float32).astype(np.float16) for s in shapes] for _ in range(distinct)]
    ends = [rng.standard_normal(s, np.float32).astype(np.float16) for s in ((v, d), (d, v))]
    weights = [w for layer in range(layers) for w in held[layer % distinct]] + ends
    size = sum(w.nbytes for w in weights)
    pinned = torch.empty(max(w.nbytes for w in weights), dtype=torch.uint8, pin_memory=CUDA)
    there = torch.empty(pinned.shape, dtype=torch.uint8, device=DEVICE)

    def pageable() -> None:
        for w in weights:
            there[: w.nbytes].copy_(torch.from_numpy(w.view(np.uint8).reshape(-1)))

    def from_pinned() -> None:
        for w in weights:
            there[: w.nbytes].copy_(pinned[: w.nbytes], non_blocking=True)

    def analysed() -> None:
        for _ in stream_components(enumerate(weights), torch.device(DEVICE)):
            pass

    times = interleaved({"pageable": pageable, "pinned": from_pinned, "analysed": analysed}, 5, most=3)
    rates = {name: size / seconds / 1e9 for name, seconds in times.items()}
    share, pinned_share = rates["analysed"] / rates["pageable"], rates["analysed"] / rates["pinned"]
    shown = {name: round(value, 1) for name, value in rates.items()}
    name = f"{sum(w.size for w in weights) / 1e9:.1f} G parameters analysed: share of the rate of copying them"
    return [
        row(name, round(share, 3), "0.5", share >= 0.5, gigabytes_per_second=shown),
        row("the same, of the rate from pinned memory", round(pinned_share, 3), "0.7", pinned_share >= 0.7),
    ]


def growth(quick: bool) -> Rows:
    """The node table of dense random digraphs, and of batches of small ones, as n grows."""
    rows: Rows = []
    sizes = (256, 512, 1024) if quick else (1024, 2048, 4096, 8192, 16384, 32768)
    for n in sizes:
        A = np.random.default_rng(n).random((n, n), np.float32) < 0.5
        works: dict[str, Callable[[], Any]] = {"bitset": lambda A=A: structure(A, engine="bitset")}
        if n <= 16384:
            works["graph"] = lambda A=A: structure(A, engine="graph")
        if n <= 2048:
            works["matrix, CPU"] = lambda A=A: structure(A, engine="matrix")
        if CUDA:
            there = torch.from_numpy(A).cuda()
            works["matrix, CUDA"] = lambda there=there: structure(there, engine="matrix")
            works["search, CUDA"] = lambda there=there: structure(there, engine="search")
        for name, seconds in interleaved(works, 0.5, most=5).items():
            rows.append(row(f"growth n {n}, {name}: ms", round(seconds * 1e3, 3), n=n, engine=name))
    size = 64 if quick else 512
    for batch in (1, 4, 16, 64, 256):
        A3 = torch.rand(batch, size, size, device=DEVICE) < 2 / size
        seconds = interleaved({"batch": lambda A3=A3: closure(A3)}, 0.5)["batch"]
        rows.append(
            row(
                f"growth of a batch: {batch} closures of {size} on {DEVICE}: ms",
                round(seconds * 1e3, 3),
                batch=batch,
                size=size,
                engine=f"{batch} x {size}",
            )
        )
    return rows


def plot(rows: Rows, file: Path) -> None:
    """Growth with n and with the batch, on logarithmic axes."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for engine in dict.fromkeys(r["engine"] for r in rows if "n" in r):
        points = [(r["n"], r["figure"]) for r in rows if "n" in r and r["engine"] == engine]
        left.loglog(*zip(*points, strict=True), marker="o", label=engine)
    left.set(xlabel="states n", ylabel="ms", title="node table, dense random digraph")
    left.legend()
    left.grid(alpha=0.3)
    points = [(r["batch"], r["figure"]) for r in rows if "batch" in r]
    right.loglog(*zip(*points, strict=True), marker="o")
    size = next(r["size"] for r in rows if "batch" in r)
    right.set(xlabel="matrices", ylabel="ms", title=f"closure of a batch of {size} x {size}")
    right.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None})


PLAIN = {"name", "figure", "target", "met", "n", "engine", "batch", "size"}
PARTS = {"labels": labels, "choice": choice, "growth": growth}
ON_CUDA = {"products": products, "dense": dense, "rate": rate, "path": path, "stream": stream}


def main() -> None:
    """Run the parts that this machine can run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[*PARTS, *ON_CUDA], help="parts to run")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    parser.add_argument("--save", action="store_true", help="keep the figures in tests/bench/results/")
    options = parser.parse_args()
    if not CUDA:
        torch.set_num_threads(1)  # as scipy; idle threads of a product would disturb the measurement behind it
    parts = PARTS | (ON_CUDA if CUDA else {})
    if missing := [name for name in options.only or () if name not in parts]:
        sys.exit(f"{', '.join(missing)}: no CUDA device here")
    console = Console(width=160)
    rows: Rows = []
    for name in options.only or parts:
        for found in parts[name](options.quick):
            rows.append(found)
            more = {k: v for k, v in found.items() if k not in PLAIN}
            met = {True: "yes", False: "NO", None: ""}[found["met"]]
            console.print(found["name"], found["figure"], found["target"], met, more or "", highlight=False)
    if not CUDA:
        console.print("no CUDA device: the rows of the GPU did not run")
    if options.save:
        stem = f"closure-{'cuda' if CUDA else 'cpu'}-{datetime.date.today()}"
        versions = {"torch": torch.__version__, "scipy": scipy.__version__, "numpy": np.__version__}
        about = machine("cpu") | {"gpu": torch.cuda.get_device_name() if CUDA else None, "versions": versions}
        RESULTS.mkdir(exist_ok=True)
        data = {"date": str(datetime.date.today()), "machine": about, "rows": rows}
        (RESULTS / f"{stem}.json").write_text(json.dumps(data, indent=1) + "\n")
        if any("n" in r for r in rows):
            plot([r for r in rows if r["name"].startswith("growth")], RESULTS / f"{stem}.svg")


if __name__ == "__main__":
    main()
