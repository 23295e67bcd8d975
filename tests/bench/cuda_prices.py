"""Prices of a GPU, fitted to what was measured on it; `calibrate.py --provider cuda` measures, fits and writes them.

A card is a file of `cards/`: seconds of single nodes, and of every way to compute some products and networks. Three
things are asked of the prices, in this order: that the way which is predicted to be fastest is, that ways beside one
another are as far apart as they were measured, and that seconds are right. So least squares over logarithms comes
first, of nodes, of ways, and of how dense and stacked compare; then small random steps, kept where more choices are
right or the median error falls. Both begin at the same round numbers for every card, and draw the same steps, so that
one table gives one file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from figures import Figure, at_least, at_most
from scipy.optimize import least_squares
from scipy.stats import spearmanr
from ways import BY_HAND, EMPTY, STACKED, Case, Predictor

from scission.passes.lowering import seconds as pieces
from scission.passes.lowering.prices import MARGIN, Prices

__all__ = ["NO_SLOWER", "WITHIN", "Fit", "Quality", "figures", "fit", "held_out", "net", "nodes_of", "quality"]

COPY_S = {"float16": 1.1e-12, "float32": 1.9e-12}  # an element that the graph of nothing copies
LEAST = 3e-7  # seconds below which what is left of a call is noise
SOFT = 1e-6  # seconds beside which differences of a call do not matter
WITHIN = 1.1  # of the fastest, where a choice is right
NO_SLOWER = 0.98  # of dense, within noise
CLOSE, WHOLE = 0.5, 8e-6  # logarithm of a ratio, and seconds of dense, where a choice is easily wrong
STEPS, STEP, AT_ONCE, SEED = 600, 0.05, 3, 0  # random steps: how many, how far, over how many prices
ROUNDS = 12  # of the least squares
FOLDS = 4  # of the held-out check
FITTED = {  # round numbers that every fit begins at
    "gemm_launch_s": 3e-6,
    "stack_launch_s": 3e-6,
    "node_s": 1.5e-6,
    "mac_s": 5e-15,
    "dram_byte_s": 3e-13,
    "llc_byte_s": 3e-13,
    "copy_s": 3e-12,
    "transpose_s": 2e-12,
    "transpose_blocks_s": 2e-12,
    "gather_elements_s": 5e-12,
    "gather_last_s": 3e-12,
    "gather_last_uncached_s": 3e-12,
    "gemm_io_s": 5e-13,
    "elementwise_s": 1e-12,
    "depth_s": 2e-9,
    "bias_s": 5e-12,
    "half_mac": 0.5,
    "half_move": 0.75,
    "half_elementwise": 0.75,
}
TIED = {"copy_uncached_s": "copy_s", "transpose_cached_s": "transpose_s", "turn_row_s": "node_s"}
ITEMSIZE = {"float16": 2, "float32": 4}


@dataclass(frozen=True)
class Node:
    """Seconds of one node of (rows, features), in blocks where it has some, recorded as a CUDA graph and not."""

    op: str
    dtype: str
    rows: int
    features: int
    blocks: int
    recorded: float
    plain: float

    def predicted(self, prices: Prices) -> float | None:
        """The same by prices; None for nodes that have no price of their own."""
        size, elements = ITEMSIZE[self.dtype], self.rows * self.features
        block = (self.features // self.blocks,) * 2
        if self.op == "gather_last":
            return pieces.picked_seconds(elements, size, prices)
        if self.op == "transpose2":
            return 2 * pieces.transpose_seconds(elements, size, prices)
        if self.op == "transpose_blocks2":
            return 2 * pieces.turned_blocks_seconds(elements, size, prices)
        if self.op == "gather_first":
            return prices.node_s + elements * prices.copy_s * prices.moved(size)
        if self.op == "matmul":
            return pieces.products_seconds([(self.features,) * 2], self.rows, size, prices)
        if self.op.startswith("bmm"):
            stacked = pieces.products_seconds([block] * self.blocks, self.rows, size, prices.stacked(), nodes=1)
            return stacked + self.blocks * prices.batched_block_s
        if self.op == "tanh":
            return prices.node_s + elements * prices.elementwise_s * prices.computed(size)
        return None


def nodes_of(card: Path) -> list[Node]:
    """Those of a card."""
    found = json.loads(card.read_text())["nodes"]
    return [Node(*row[:5], recorded=row[5] * 1e-6, plain=row[6] * 1e-6) for row in found]


def net(case: Case, ways: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each way without those of a call."""
    call = ways[EMPTY] - COPY_S[case.dtype] * case.rows * case.size
    return {way: max(spent - call, LEAST) for way, spent in ways.items() if way != EMPTY}


@dataclass(frozen=True)
class Quality:
    """How good prices are: share of cases whose choice is right, least gain over dense, median error, rank."""

    cases: int
    near: float
    gain: float
    error: float
    rank: float

    def __str__(self) -> str:
        return (
            f"{self.cases} cases: {self.near:.1%} within 10 % of the fastest, at least {self.gain:.2f} of dense; "
            f"seconds off by {self.error:.1%} (median), rank correlation {self.rank:.3f}"
        )


def figures(row: str, found: Sequence[Quality]) -> list[Figure]:
    """How good prices are over several parts: shares and errors by their cases, gains and ranks at their least."""
    cases = [one.cases for one in found]
    near, error = (
        float(np.average([getattr(one, name) for one in found], weights=cases)) for name in ("near", "error")
    )
    return [
        at_least(row, f"share within 10 % of the fastest way, {sum(cases)} cases", near, 0.95),
        at_least(row, "smallest gain over dense", min(one.gain for one in found), NO_SLOWER),
        at_most(row, "median error", error, 0.15),
        at_least(row, "rank correlation", min(one.rank for one in found), 0.98),
    ]


class _Table:
    """Measured seconds of some cases side by side, and their predictions."""

    def __init__(self, cases: Mapping[Case, Mapping[str, float]], predictor: Predictor) -> None:
        self.predictor = predictor
        self.rows = [
            (case, way, spent)
            for case, ways in cases.items()
            for way, spent in net(case, ways).items()
            if way not in BY_HAND
        ]
        self.spent = np.array([spent for *_, spent in self.rows])
        self.places: dict[Case, dict[str, int]] = {}
        for place, (case, way, _) in enumerate(self.rows):
            self.places.setdefault(case, {})[way] = place
        pairs = [ways for ways in self.places.values() if STACKED in ways and "dense" in ways]
        self.dense, self.stacked = (np.array([ways[way] for ways in pairs]) for way in ("dense", STACKED))

    def predicted(self, prices: Prices) -> np.ndarray:
        """Seconds of all rows."""
        return np.array([self.predictor.seconds(case, way, prices) for case, way, _ in self.rows])

    def quality(self, prices: Prices) -> Quality:
        """How good prices are for these cases."""
        found, near, gains = self.predicted(prices), [], []
        for ways in self.places.values():
            pick = min(ways, key=lambda way: found[ways[way]])
            if found[ways["dense"]] < MARGIN * found[ways[pick]]:
                pick = "dense"
            near.append(self.spent[ways[pick]] <= WITHIN * min(self.spent[place] for place in ways.values()))
            gains.append(self.spent[ways["dense"]] / self.spent[ways[pick]])
        error = float(np.expm1(np.median(np.abs(np.log(found / self.spent)))))
        rank = float(spearmanr(found, self.spent).statistic)
        return Quality(len(self.places), float(np.mean(near)), float(min(gains)), error, rank)


def quality(cases: Mapping[Case, Mapping[str, float]], prices: Prices, predictor: Predictor) -> Quality:
    """How good prices are for the cases of a card; predictor: of these cases, and of others perhaps."""
    return _Table(cases, predictor).quality(prices)


@dataclass(frozen=True)
class Fit:
    """Prices that were fitted, and how good they are for what they were fitted to."""

    prices: Prices
    quality: Quality


def fit(
    cases: Mapping[Case, Mapping[str, float]],
    nodes: Sequence[Node],
    start: Prices,
    predictor: Predictor,
    *,
    steps: int = STEPS,
) -> Fit:
    """The prices of a card; start: what is not fitted, such as sizes of caches, is taken from there."""
    return _fit(_Table(cases, predictor), nodes, _by_nodes(nodes, start), steps)


def _by_nodes(nodes: Sequence[Node], start: Prices) -> Prices:
    """What single nodes say by themselves: launches that are not recorded, and ScatterND."""
    small = [one for one in nodes if one.rows <= 128]
    launched = [one.plain for one in small if one.op in ("tanh", "gather_last", "gather_first")]
    stacked = [one.plain for one in small if one.op.startswith(("bmm", "lmm"))]
    scatter = [one for one in nodes if one.op == "scatternd"]
    least = min(one.recorded for one in scatter)
    large = [one for one in scatter if one.recorded > 2 * least]
    each = [(one.recorded - least) / (one.rows * one.features) for one in large]
    added = min(each, default=start.scatter_add_s)
    found = {
        "plain_node_s": float(np.median(launched)),
        "plain_gemm_launch_s": float(np.median(stacked)),
        "scatter_node_s": least,
        "scatter_add_s": added,
    }
    return replace(start, **{name: float(f"{value:.3g}") for name, value in found.items()})


def _priced(start: Prices, values: Sequence[float]) -> Prices:
    found = dict(zip(FITTED, values, strict=True))
    return replace(start, **found, **{name: found[other] for name, other in TIED.items()})


def _fit(table: _Table, nodes: Sequence[Node], start: Prices, steps: int) -> Fit:
    """Least squares, then small steps."""
    priced = [one for one in nodes if one.predicted(start) is not None]
    spent = np.array([one.recorded for one in priced])
    weight = np.array([3.0 if way in ("dense", STACKED) else 1.0 for _, way, _ in table.rows])
    apart = np.log(table.spent[table.dense] / table.spent[table.stacked])
    matters = np.where((np.abs(apart) < CLOSE) & (table.spent[table.dense] > WHOLE), 4.0, 0.5)

    def residuals(logs: np.ndarray) -> np.ndarray:
        prices = _priced(start, np.exp(logs).tolist())
        found = table.predicted(prices)
        own = np.array([one.predicted(prices) for one in priced])
        return np.concatenate(
            [
                np.sqrt(weight) * np.log((found + SOFT) / (table.spent + SOFT)),
                np.sqrt(2) * np.log(own / spent),
                matters * (np.log(found[table.dense] / found[table.stacked]) - apart),
            ]
        )

    solved = least_squares(residuals, np.log([*FITTED.values()]), loss="soft_l1", f_scale=0.2, max_nfev=ROUNDS)
    values = _climbed(table, start, np.exp(solved.x), steps)
    prices = _priced(start, [float(f"{value:.3g}") for value in values])
    return Fit(prices, table.quality(prices))


def _climbed(table: _Table, start: Prices, values: np.ndarray, steps: int) -> np.ndarray:
    """The prices after small steps, each of which makes choices or seconds better."""
    rng = np.random.default_rng(SEED)

    def worth(values: np.ndarray) -> float:
        found = table.quality(_priced(start, values.tolist()))
        return found.cases * (found.near - 2 * (found.gain < NO_SLOWER) / found.cases) - 3 * found.error

    best = worth(values)
    for _ in range(steps):
        moved = values.copy()
        places = rng.choice(len(values), AT_ONCE, replace=False)
        moved[places] *= np.exp(rng.normal(0, STEP, AT_ONCE))
        if (now := worth(moved)) > best:
            values, best = moved, now
    return values


def held_out(
    cases: Mapping[Case, Mapping[str, float]],
    nodes: Sequence[Node],
    start: Prices,
    predictor: Predictor,
    *,
    steps: int = STEPS,
) -> list[tuple[Quality, Quality]]:
    """(Of what was fitted, of the rest) for each part of the cases left out once; a model with all its rows is in one
    part."""
    models = list(dict.fromkeys(case.model for case in cases))
    start, found = _by_nodes(nodes, start), []
    for part in range(FOLDS):
        out = {model for place, model in enumerate(models) if place % FOLDS == part}
        inside, rest = ({case: cases[case] for case in cases if (case.model in out) is left} for left in (False, True))
        own = _fit(_Table(inside, predictor), nodes, start, steps)
        found.append((own.quality, quality(rest, own.prices, predictor)))
    return found
