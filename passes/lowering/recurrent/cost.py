"""Predicted seconds of a recurrent operator, whole or in blocks of its states, and the choice between them.

The product with X runs once over all positions; the product with the previous states runs once a position, on as few
rows as the batch has, so that the recurrent weight is read from memory again and again: that is what blocks save most.
The constants were fitted to ONNX Runtime (`tests/bench/recurrent.py` measures them again).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....ir.graph.recurrent import GATES
from ....ir.plan.grain import Grain
from ....ir.plan.plan import Decomposition
from ...decompose.recurrent import unit_groups, units_of
from ..linear.cost import Choice

__all__ = ["CPU", "CUDA", "Machine", "Run", "choose_recurrent", "parallel_seconds", "seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Seconds per unit of work.

    launch: run a node; step, line, unit: one position of a sequence, one row of the batch at it and one hidden unit of
    that, by operator; mac: a multiply-add; stream, cached: a byte of a weight, from memory or from `cache` bytes; row:
    find and copy one element to gather, or the first of a run; move: copy an element of a run.
    """

    launch: float
    step: dict[str, float]
    line: dict[str, float]
    unit: dict[str, float]
    mac: float
    stream: float
    cached: float
    cache: float
    row: float
    move: float

    def threaded(self, threads: int) -> Machine:
        """The same with several threads: products scale, memory up to two threads, the rest does not."""
        scaled = {name: getattr(self, name) / threads for name in ("mac", "cached")}
        return replace(self, stream=self.stream / min(threads, 2), **scaled)


# Intel Xeon with AVX-512, one thread, ONNX Runtime 1.31, float32.
CPU = Machine(
    launch=2.9e-6,
    step={"RNN": 3e-8, "GRU": 2.4e-7, "LSTM": 4e-7},
    line={"RNN": 0.0, "GRU": 2.5e-7, "LSTM": 2.9e-7},
    unit={"RNN": 1.9e-8, "GRU": 8.2e-9, "LSTM": 2.4e-9},
    mac=2.6e-11,
    stream=5.1e-11,
    cached=2.3e-11,
    cache=2e6,
    row=7.6e-9,
    move=1.2e-9,
)
# From data sheets (H200), not measured: each position is a launch, and blocks follow one another.
CUDA = Machine(
    launch=5e-6,
    step=dict.fromkeys(GATES, 5e-6),
    line=dict.fromkeys(GATES, 0.0),
    unit=dict.fromkeys(GATES, 1e-11),
    mac=3e-14,
    stream=2.5e-13,
    cached=1e-13,
    cache=5e7,
    row=0.0,
    move=4e-12,
)


@dataclass(frozen=True, slots=True)
class Run:
    """How long a sequence is, how many of them run together, and whether they begin with a given state."""

    positions: int
    batch: int
    given: bool = False


def seconds(op: str, features: int, hidden: int, run: Run, itemsize: int, machine: Machine) -> float:
    """Predicted seconds of one direction of an RNN, GRU or LSTM."""
    gates = GATES[op]
    once = _product(gates * hidden * features, run.positions * run.batch, itemsize, machine)
    walk = _product(gates * hidden * hidden, run.batch, itemsize, machine)
    each = machine.step[op] + run.batch * (machine.line[op] + hidden * machine.unit[op])
    # Without a state to begin with, an RNN has nothing to multiply at its first position; the others multiply zeros.
    walked = run.positions - (op == "RNN" and not run.given)
    return machine.launch + once + run.positions * each + walked * walk


def _product(entries: int, rows: int, itemsize: int, machine: Machine) -> float:
    """Predicted seconds of a product of so many rows with a weight of so many entries."""
    held = entries * itemsize
    load = held * (machine.stream if held > machine.cache else machine.cached)
    return max(load, entries * rows * machine.mac * (itemsize / 4 if itemsize > 4 else 1))


def parallel_seconds(
    decomposition: Decomposition, op: str, features: int, run: Run, itemsize: int, machine: Machine
) -> float:
    """Predicted seconds of the same in blocks, with the index work around them."""
    blocks = [units_of(block, features) for block in decomposition.blocks]
    total = sum(seconds(op, block.read.size, block.hidden.size, run, itemsize, machine) for block in blocks)
    rows = run.positions * run.batch
    read = [block.features for block in blocks]
    written = [block.hidden for block in blocks]
    width = decomposition.shape[1]
    gathers = 0
    if _follow(read) and all(part.size for part in read):
        total += machine.launch + rows * (len(blocks) * machine.row + features * machine.move)  # Split
    else:
        gathers = len(blocks)
        total += rows * sum(part.size for part in read) * machine.row
    total += rows * (len(blocks) * machine.row + width * machine.move)  # Concat
    if not _follow(written):
        gathers += 1
        total += rows * width * machine.row
    return total + (gathers + 1) * machine.launch


def _follow(parts: Sequence[np.ndarray]) -> bool:
    joined = np.concatenate([np.empty(0, np.intp), *parts])  # a weight of zeros has no part
    return bool((joined == np.arange(joined.size)).all())


def choose_recurrent(
    decomposition: Decomposition,
    op: str,
    features: int,
    runs_: Iterable[Run],
    itemsize: int,
    machines: Iterable[Machine],
    grain: Grain | None = None,
) -> Choice | None:
    """The number of groups with the largest gain at its worst over all sequences and machines.

    Tries halving numbers of groups from all blocks down to one, or what a grain allows (`unit_groups`). None when
    nothing is saved by any of them.
    """
    hidden = decomposition.shape[1]
    settings = [(run, machine) for run in runs_ for machine in machines]
    best: Choice | None = None
    for grouped in unit_groups(decomposition, features, grain or Grain()):
        if grouped.mac_share < 1:
            gain = min(
                seconds(op, features, hidden, run, itemsize, machine)
                / parallel_seconds(grouped, op, features, run, itemsize, machine)
                for run, machine in settings
            )
            if best is None or gain > best.gain:
                best = Choice("parallel", grouped, gain)
    return best
