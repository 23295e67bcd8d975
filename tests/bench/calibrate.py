"""What work costs on a machine, measured, fitted and written: `python tests/bench/calibrate.py [--cells]`, or
`--provider cuda` on a machine with a GPU.

Times dense and lowered products and feed-forward networks on the machine at hand, one thread, interleaved, and fits the
prices of linears (`passes/lowering/prices.py`) to the medians: least squares over logarithms, so that a microsecond and
a second count alike. Prints how far predictions are off, and how often the way that is predicted to be fastest is
within 10 % of the one that is. --keep writes the measurements, --from fits to kept ones; --write puts the prices into
the file of the CPU, or into another one, with what the machine is called. --cells does the same with the prices of
recurrent operators, and leaves all others as they are; its measurements are those of `python tests/bench/recurrent.py`.
`--provider cuda` measures single nodes and ways on the GPU (`cuda_measure.py`, --minutes at the most), fits the prices
of its provider to them (`cuda_prices.py`), and prints how good they are for what they were fitted to and, fitted anew
to a part of the cases, for the rest (--save keeps both); `--from tests/bench/cards/h200-2026-11-27.json` fits to a card
that was measured before and needs no GPU. A fit is as good as the machine is quiet: without --write nothing changes.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cell_prices
import cuda_measure
import cuda_prices
import numpy as np
import onnx
import recurrent
from cost import linear_of, lowered, model, race
from figures import Figure, save, show
from scipy.optimize import least_squares
from ways import Predictor as CardPredictor
from ways import by_case, read

import scission
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.models.planted import ffn as planted_ffn
from scission.passes.lowering import prices as price_list
from scission.passes.lowering.linear.lowerings import lowering_of
from scission.passes.lowering.prices import Prices, prices_of
from scission.passes.lowering.region.cost import region_seconds, region_split_seconds
from scission.passes.lowering.region.cut import RegionBlocks
from scission.passes.planning.analysis import analyse
from scission.passes.planning.regions import candidate, grow
from scission.runtime.ort.session import open_session

CPU_FILE = Path(price_list.__file__).parent / "machines" / "cpu.json"
CUDA_FILE = CPU_FILE.with_name("cuda.json")
SINGLES = [(128, 4), (256, 4), (384, 4), (768, 8), (1024, 4), (1024, 32), (2048, 16), (4096, 16), (4096, 64)]
NETWORKS = [(128, 4), (384, 4), (768, 8), (1024, 16), (2048, 4), (2048, 16)]
ROWS = (1, 16, 128, 512)
CELL_SECONDS = 0.3  # that each recurrent operator is timed for
CALL = 8e-6  # seconds that Python and ONNX Runtime take for one call, whatever is in the model
FITTED = (
    *("gemm_launch_s", "node_s", "mac_s", "dram_byte_s", "llc_byte_s", "find_row_s", "copy_s", "transpose_s"),
    *("transpose_cached_s", "gather_elements_s", "batched_block_s", "unpacked_factor", "conv_group_s", "gemm_io_s"),
)  # not `elementwise_s`: ONNX Runtime fuses the Relu of these networks into their products


@dataclass(frozen=True)
class Measured:
    """Seconds of one way to compute one case; size, count: of weight and blocks; way: a lowering or 'layout/blocks'."""

    kind: str
    size: int
    count: int
    shuffle: bool
    rows: int
    way: str
    seconds: float

    @property
    def case(self) -> tuple[str, int, int, bool, int]:
        return self.kind, self.size, self.count, self.shuffle, self.rows


def timed(kind: str, size: int, count: int, shuffle: bool, models: dict[str, onnx.ModelProto]) -> list[Measured]:
    """All ways to compute a case, raced at every number of rows."""
    sessions = {way: open_session(made.SerializeToString(), provider="cpu", threads=1) for way, made in models.items()}
    found = []
    for rows in ROWS:
        x = np.random.default_rng(rows).standard_normal((rows, size), np.float32)
        seconds = race(sessions, {"x": x})
        found += [Measured(kind, size, count, shuffle, rows, way, spent) for way, spent in seconds.items()]
    return found


def single(size: int, count: int, shuffle: bool) -> tuple[onnx.ModelProto, scission.Decomposition]:
    rng = np.random.default_rng(size + count)
    W, truth = weight(rng, [(size // count, size // count)] * count, contiguous=not shuffle)
    return model(W), truth


def network(size: int, count: int, shuffle: bool) -> onnx.ModelProto:
    rng = np.random.default_rng(size + count)
    return planted_ffn.build(rng, size, 4 * size, count, "relu", shuffle=shuffle).model


def network_ways(original: onnx.ModelProto, count: int) -> dict[str, onnx.ModelProto]:
    """A feed-forward network as one region, in every layout, stacked and not."""
    plan = scission.plan(original, provider="cpu", threads=1, force=True)
    (region,) = plan.regions
    ways = {}
    for layout in ("features_last", "features_first"):
        for blocks_per_node in sorted({1, 4, count}):
            changed = replace(plan, regions=(replace(region, layout=layout, blocks_per_node=blocks_per_node),))
            ways[f"{layout}/{blocks_per_node}"] = scission.apply(original, changed)
    return ways


def measure() -> list[Measured]:
    found = []
    for size, count in SINGLES:
        for shuffle in (False, True):
            original, truth = single(size, count, shuffle)
            found += timed("single", size, count, shuffle, {"dense": original, **lowered(original, truth)})
            print(f"single {size} in {count}", flush=True)
    for size, count in NETWORKS:
        for shuffle in (False, True):
            original = network(size, count, shuffle)
            found += timed("network", size, count, shuffle, {"dense": original, **network_ways(original, count)})
            print(f"network {size} in {count}", flush=True)
    return found


class Predictor:
    """Predicted seconds of each measured way, for any constants."""

    def __init__(self, measured: list[Measured]) -> None:
        self.regions = {}
        self.truths = {}
        for one in measured:
            key = one.size, one.count, one.shuffle
            if one.kind == "single" and key not in self.truths:
                original, truth = single(*key)
                self.truths[key] = linear_of(original), truth
            elif one.kind == "network" and key not in self.regions:
                found = view(load(network(*key)).graph).found
                candidates = [
                    candidate(linear, analyse(linear.canonical(found.constants)), found.constants)
                    for linear in found.linears
                ]
                (self.regions[key],) = grow([c for c in candidates if c], found.constants)

    def seconds(self, one: Measured, machine: Prices) -> float:
        key = one.size, one.count, one.shuffle
        if one.kind == "single":
            linear, truth = self.truths[key]
            return lowering_of(one.way).seconds(linear, truth, one.rows, machine)
        grown = self.regions[key]
        if one.way == "dense":
            return region_seconds(grown.region, one.rows, machine)
        layout, count = one.way.split("/")
        blocks = RegionBlocks(
            decompositions=grown.decompositions, layout=layout, blocks_per_node=int(count), copies=grown.copies
        )
        return region_split_seconds(grown.region, blocks, one.rows, machine)


def fit(measured: list[Measured], predictor: Predictor) -> tuple[Prices, float]:
    """The constants whose predictions are nearest, and the seconds that one call takes besides.

    The size of the cache is tried, the others are solved for.
    """
    start_at = prices_of("cpu")
    best, cost = (start_at, CALL), np.inf
    cases = {key: index for index, key in enumerate(dict.fromkeys(one.case for one in measured))}
    case = np.array([cases[one.case] for one in measured])

    def residuals(logs: np.ndarray, cache: float) -> np.ndarray:
        *values, call = np.exp(logs).tolist()
        machine = replace(start_at, l2_bytes=cache, **dict(zip(FITTED, values, strict=True)))
        off = np.array([np.log((predictor.seconds(one, machine) + call) / one.seconds) for one in measured])
        mean = np.bincount(case, off) / np.bincount(case)
        return np.concatenate([off / 2, off - mean[case]])  # which way is fastest matters more than how fast it is

    start = np.log([*(getattr(start_at, name) for name in FITTED), CALL])
    for cache in (5e5, 1e6, 2e6, 8e6, 3e7):
        found = least_squares(residuals, start, args=(cache,), loss="soft_l1", f_scale=0.3, max_nfev=60)
        if found.cost < cost:
            *values, call = np.exp(found.x).tolist()
            best, cost = (replace(start_at, l2_bytes=cache, **dict(zip(FITTED, values, strict=True))), call), found.cost
    return best


def judge(measured: list[Measured], predictor: Predictor, machine: Prices, call: float) -> None:
    """Print how good a machine's predictions are."""
    cases = defaultdict(list)
    for one in measured:
        cases[one.case].append(one)
    losses = []
    for ways in cases.values():
        picked = min(ways, key=lambda one: predictor.seconds(one, machine))
        losses.append((picked.seconds / min(one.seconds for one in ways), picked))
    errors = [abs(np.log((predictor.seconds(one, machine) + call) / one.seconds)) for one in measured]
    near = np.mean([loss <= 1.1 for loss, _ in losses])
    print(f"predictions are off by a factor of {np.exp(np.median(errors)):.2f} (median)")
    print(f"picked within 10 % of the fastest: {near:.1%} of {len(losses)} cases; worst:")
    for loss, one in sorted(losses, key=lambda pair: -pair[0])[:8]:
        fastest = min(cases[one.case], key=lambda other: other.seconds)
        print(f"  {loss:.2f}x  {one.case}: {one.way} instead of {fastest.way}")


def calibrate_cells(kept: list[dict[str, object]] | None, keep: Path | None, seconds: float) -> Prices:
    """The prices of the CPU with those of recurrent operators fitted to what is measured here, or was kept."""
    records = recurrent.measure(seconds) if kept is None else kept
    if keep:
        keep.write_text(json.dumps(records) + "\n")
    now = prices_of("cpu")
    fitted = cell_prices.rounded(cell_prices.fit(records, now.cells))
    for what, prices in (("as it is", now.cells), ("fitted", fitted)):
        level, gain = cell_prices.off_by(records, prices)
        print(f"{what}: seconds are off by a factor of {level:.2f}, gains by {gain:.2f} (medians)")
    return replace(now, cells=fitted)


def calibrate_linears(kept: list[dict[str, object]] | None, keep: Path | None) -> Prices:
    """The prices of the CPU with those of linears fitted to what is measured here, or was kept."""
    measured = measure() if kept is None else [Measured(**one) for one in kept]
    if keep:
        keep.write_text(json.dumps([asdict(one) for one in measured]) + "\n")
    predictor = Predictor(measured)
    print("as it is:")
    judge(measured, predictor, prices_of("cpu"), CALL)
    machine, call = fit(measured, predictor)
    print(f"fitted, with {call:.2g} s for a call:")
    judge(measured, predictor, machine, call)
    return replace(machine, **{name: float(f"{getattr(machine, name):.3g}") for name in FITTED})


def calibrate_cuda(source: Path | None, keep: Path | None, minutes: float) -> tuple[Prices, list[Figure]]:
    """The prices of a card, measured here or before, and how good they are for its cases, fitted and held out."""
    now = prices_of("cuda")
    path = source or keep or Path("card.json")
    if source is None:
        path.write_text(json.dumps(cuda_measure.measure("cuda", 60 * minutes)) + "\n")
        print(f"measured, kept in {path}")
    card = json.loads(path.read_text())
    cases, nodes = by_case(read(path)), cuda_prices.nodes_of(path)
    predictor = CardPredictor(cases, "gelu")
    print(f"as they are, of {now.card}: {cuda_prices.quality(cases, now, predictor)}", flush=True)
    found = cuda_prices.fit(cases, nodes, now, predictor)
    print(f"fitted to {card['card']}: {found.quality}", flush=True)
    parts = cuda_prices.held_out(cases, nodes, now, predictor)
    for inside, outside in parts:
        print(f"fitted to a part: {inside}\n  held out: {outside}", flush=True)
    told = cuda_prices.figures(f"{card['card']}, fitted to all", [found.quality])
    told += cuda_prices.figures(f"{card['card']}, each of {len(parts)} parts held out", [rest for _, rest in parts])
    show(told)
    name = {"card": card["card"], "machine": f"{card['card']}, {card['date']}"}
    return found.prices if card["card"] == now.card else replace(found.prices, **name), told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", action="store_true", help="fit the prices of recurrent operators")
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu", help="whose prices")
    parser.add_argument("--minutes", type=float, default=4, help="that measuring ways on a GPU may take")
    parser.add_argument("--seconds", type=float, default=CELL_SECONDS, help="that each of these is timed for")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--from", type=Path, dest="source")
    parser.add_argument("--save", action="store_true", help="keep how good the prices of a GPU are")
    parser.add_argument("--write", type=Path, nargs="?", const=CPU_FILE)
    parser.add_argument("--machine", default=f"{platform.processor() or platform.machine()}, one thread, float32")
    options = parser.parse_args()
    if options.provider == "cuda":
        fitted, told = calibrate_cuda(options.source, options.keep, options.minutes)
        if options.save:
            save("calibrate", told, "cuda" if options.source is None else "cpu")
        if options.write:
            target = CUDA_FILE if options.write == CPU_FILE else options.write
            target.write_text(fitted.dumps(), encoding="utf-8")
            print(f"written to {target}")
        return
    kept = json.loads(options.source.read_text()) if options.source else None
    if options.cells:
        fitted = calibrate_cells(kept, options.keep, options.seconds)
    else:
        fitted = calibrate_linears(kept, options.keep)
    if options.write:
        options.write.write_text(replace(fitted, machine=options.machine).dumps(), encoding="utf-8")
        print(f"written to {options.write}")


if __name__ == "__main__":
    main()
