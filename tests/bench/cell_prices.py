"""Prices of recurrent operators, fitted to seconds that were measured; `calibrate.py --cells` writes them.

A record is one of `recurrent.py`: seconds of a whole operator and of the same in blocks. Least squares over logarithms
of both, and of what one is beside the other, which decides whether an operator is split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from scission import Decomposition
from scission.models.planted.recurrent import recurrent_weights
from scission.passes.lowering.prices import CellPrices, OperatorPrices
from scission.passes.lowering.recurrent.cost import Run, parallel_seconds, seconds

__all__ = ["fit", "off_by", "predicted", "rounded"]

FITTED = ("launch_s", "mac_s", "dram_byte_s", "cached_byte_s", "gather_s", "copy_s")  # those of all operators
OWN = ("step_s", "row_s", "unit_s")  # those of each
CACHES = (5e5, 1e6, 2e6, 8e6, 3e7)  # sizes that are tried
LEAST = 1e-12  # seconds below which a price is nothing
ITEMSIZE = 4  # of float32
LEVEL = 0.5  # what seconds count beside gains
ROUNDS = 40  # evaluations of the least squares, for each cache

Record = Mapping[str, Any]


def predicted(records: Sequence[Record], prices: CellPrices) -> np.ndarray:
    """(records, 2) seconds of the whole operator and of its blocks."""
    known: dict[tuple[Any, ...], Decomposition] = {}
    found = []
    for one in records:
        key = tuple(one[name] for name in ("op", "features", "hidden", "blocks", "contiguous"))
        truth = known.setdefault(key, known.get(key) or blocks_of(*key))
        op, features, hidden = key[:3]
        run = Run(one["positions"], one["batch"])
        whole = seconds(op, features, hidden, run, ITEMSIZE, prices)
        found.append((whole, parallel_seconds(truth, op, features, run, ITEMSIZE, prices)))
    return np.array(found)


def blocks_of(op: str, features: int, hidden: int, count: int, contiguous: bool) -> Decomposition:
    """The blocks of an operator as `recurrent.measure` builds it."""
    rng = np.random.default_rng(features + hidden + count)
    return recurrent_weights(rng, op, [(features // count, hidden // count)] * count, contiguous=contiguous)[2]


def fit(records: Sequence[Record], start: CellPrices, caches: Sequence[float] = CACHES) -> CellPrices:
    """The prices whose predictions are nearest; a price of an operator that no record is of stays what it is."""
    measured = np.array([(one["whole"], one["split"]) for one in records])
    operators = tuple(dict.fromkeys(str(one["op"]) for one in records))
    best, cost = start, np.inf

    def residuals(logs: np.ndarray, cache: float) -> np.ndarray:
        off = np.log(predicted(records, _priced(start, operators, np.exp(logs), cache)) / measured)
        return np.concatenate([LEVEL * off.ravel(), off[:, 0] - off[:, 1]])

    first = np.log(np.maximum(LEAST, _values(start, operators)))
    for cache in caches:
        found = least_squares(residuals, first, args=(cache,), loss="soft_l1", f_scale=0.3, max_nfev=ROUNDS)
        if found.cost < cost:
            best, cost = _priced(start, operators, np.exp(found.x), cache), found.cost
    return best


def off_by(records: Sequence[Record], prices: CellPrices) -> tuple[float, float]:
    """The factors by which predicted seconds, and predicted gains, are off; medians."""
    off = np.log(predicted(records, prices) / np.array([(one["whole"], one["split"]) for one in records]))
    return float(np.exp(np.median(np.abs(off)))), float(np.exp(np.median(np.abs(off[:, 0] - off[:, 1]))))


def rounded(prices: CellPrices) -> CellPrices:
    """The same with three digits; what is next to nothing is nothing."""

    def digits(value: float) -> float:
        return float(f"{value:.3g}") if value > LEAST * 10 else 0.0

    own = {op: OperatorPrices(**{n: digits(getattr(prices.of(op), n)) for n in OWN}) for op in ("RNN", "GRU", "LSTM")}
    return replace(prices, **{name: digits(getattr(prices, name)) for name in FITTED}, **own)


def _values(prices: CellPrices, operators: Sequence[str]) -> list[float]:
    own = [getattr(prices.of(op), name) for op in operators for name in OWN]
    return [*(getattr(prices, name) for name in FITTED), *own]


def _priced(start: CellPrices, operators: Sequence[str], values: np.ndarray, cache: float) -> CellPrices:
    """Prices with other values, in the order of `_values`."""
    shared, own = values[: len(FITTED)].tolist(), values[len(FITTED) :].reshape(-1, len(OWN)).tolist()
    each = {op: OperatorPrices(**dict(zip(OWN, one, strict=True))) for op, one in zip(operators, own, strict=True)}
    return replace(start, cache_bytes=cache, **dict(zip(FITTED, shared, strict=True)), **each)
