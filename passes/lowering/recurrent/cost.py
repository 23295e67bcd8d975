"""Predicted seconds of a recurrent operator, whole or in blocks of its states.

The product with X runs once over all positions; the product with the previous states runs once a position, on as few
rows as the batch has, so that the recurrent weight is read from memory again and again: that is what blocks save most.
`tests/bench/recurrent.py` holds what is predicted beside what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....ir.graph.recurrent import GATES
from ....ir.plan.plan import Decomposition
from ...decompose.recurrent import hidden_block
from ..prices import FLOAT_BYTES, CellPrices

__all__ = ["Run", "parallel_seconds", "seconds"]


@dataclass(frozen=True, slots=True)
class Run:
    """How long a sequence is, how many of them run together, and whether they begin with a given state."""

    positions: int
    batch: int
    given: bool = False


def seconds(op: str, features: int, hidden: int, run: Run, itemsize: int, prices: CellPrices) -> float:
    """Predicted seconds of one direction of an RNN, GRU or LSTM."""
    gates = GATES[op]
    once = _product(gates * hidden * features, run.positions * run.batch, itemsize, prices)
    walk = _product(gates * hidden * hidden, run.batch, itemsize, prices)
    own = prices.of(op)
    each = own.step_s + run.batch * (own.row_s + hidden * own.unit_s)
    # Without a state to begin with, an RNN has nothing to multiply at its first position; the others multiply zeros.
    walked = run.positions - (op == "RNN" and not run.given)
    return prices.launch_s + once + run.positions * each + walked * walk


def _product(entries: int, rows: int, itemsize: int, prices: CellPrices) -> float:
    """Predicted seconds of a product of so many rows with a weight of so many entries."""
    held = entries * itemsize
    load = held * (prices.dram_byte_s if held > prices.cache_bytes else prices.cached_byte_s)
    return max(load, entries * rows * prices.mac_s * (itemsize / FLOAT_BYTES if itemsize > FLOAT_BYTES else 1))


def parallel_seconds(
    decomposition: Decomposition, op: str, features: int, run: Run, itemsize: int, prices: CellPrices
) -> float:
    """Predicted seconds of the same in blocks, with the index work around them."""
    blocks = [hidden_block(block, features) for block in decomposition.blocks]
    total = sum(seconds(op, block.read.size, block.hidden.size, run, itemsize, prices) for block in blocks)
    rows = run.positions * run.batch
    read = [block.features for block in blocks]
    written = [block.hidden for block in blocks]
    width = decomposition.shape[1]
    gathers = 0
    if _follow(read) and all(part.size for part in read):
        total += prices.launch_s + rows * (len(blocks) * prices.gather_s + features * prices.copy_s)  # Split
    else:
        gathers = len(blocks)
        total += rows * sum(part.size for part in read) * prices.gather_s
    total += rows * (len(blocks) * prices.gather_s + width * prices.copy_s)  # Concat
    if not _follow(written):
        gathers += 1
        total += rows * width * prices.gather_s
    return total + (gathers + 1) * prices.launch_s


def _follow(parts: Sequence[np.ndarray]) -> bool:
    joined = np.concatenate([np.empty(0, np.intp), *parts])  # a weight of zeros has no part
    return bool((joined == np.arange(joined.size)).all())
