"""Predicted seconds of a linear, dense or split, and the choice between them.

The model is small: launches, multiply-adds, bytes of weights, elements moved. Its constants were measured on ONNX
Runtime (`tests/bench/cost.py` prints them again for the machine at hand); they only have to rank, because `optimize`
measures the result anyway and keeps the original where that is faster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..ir.plan import Decomposition, Lowering
from .blocks import group, has_windows, is_contiguous, is_run

__all__ = ["CPU", "CUDA", "MARGIN", "Choice", "Machine", "choose", "dense_seconds", "split_seconds"]

MARGIN = 1.1  # a predicted gain below this is not worth a larger graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Seconds per unit of work.

    launch: run a node; mac: a multiply-add; stream: a byte of weights from memory; cached: a byte of weights that fit
    `cache` bytes; row: find one row to gather; move: copy an element by rows (Gather, Concat, Split); turn: an element
    of a Transpose, a quarter of it while the tensor fits the cache.
    """

    launch: float
    mac: float
    stream: float
    cached: float
    cache: float
    row: float
    move: float
    turn: float

    def threaded(self, threads: int) -> Machine:
        """The same with several threads: products scale, memory up to two threads, index work does not."""
        return replace(self, mac=self.mac / threads, stream=self.stream / min(threads, 2))


# Intel Xeon with AVX-512, one thread, ONNX Runtime 1.31, float32.
CPU = Machine(launch=2.5e-6, mac=2.5e-11, stream=7.5e-11, cached=3e-11, cache=2e6, row=3e-8, move=8e-10, turn=2.3e-9)
# From data sheets (H200), not measured: launches of one stream follow one another, everything else is cheap.
CUDA = Machine(launch=5e-6, mac=3e-14, stream=2.5e-13, cached=1e-13, cache=5e7, row=0, move=4e-12, turn=6e-12)


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to lower a linear and how many times faster than dense it is predicted to be, at its worst."""

    lowering: Lowering
    decomposition: Decomposition
    gain: float


def _products(shapes: Iterable[tuple[int, int]], rows: int, itemsize: int, machine: Machine) -> float:
    shapes = list(shapes)
    entries = sum(k * n for k, n in shapes)
    held = entries * itemsize
    load = held * (machine.stream if held > machine.cache else machine.cached)
    work = entries * rows * machine.mac * (itemsize / 4 if itemsize > 4 else 1)
    # Loading overlaps with computing, but not entirely.
    return len(shapes) * machine.launch + max(load, work) + min(load, work) / 4


def dense_seconds(shape: tuple[int, int], rows: int, itemsize: int, machine: Machine) -> float:
    """Predicted seconds of one dense product of `rows` activations with a weight of shape (K, N)."""
    return _products([shape], rows, itemsize, machine)


def split_seconds(
    decomposition: Decomposition, lowering: Lowering, rows: int, itemsize: int, machine: Machine, transposes: int = 2
) -> float:
    """Predicted seconds of the same product in blocks, with the index work around it.

    transposes: how many of its two ends a `scatter` has to bring to features-first layout and back.
    """
    K, N = decomposition.shape
    blocks = [block.shape for block in decomposition.blocks]
    element = rows * machine.move * itemsize / 4
    seconds = _products(blocks, rows, itemsize, machine) + machine.launch + N * element  # Concat
    if lowering == "split":
        nodes = 1 if is_contiguous(decomposition) else len(blocks)  # one Split, or a Slice for each block
        return seconds + nodes * machine.launch + sum(k for k, _ in blocks) * element
    read = sum(k for k, _ in blocks)
    # A run of features is sliced in one piece; others are found row by row.
    found = sum(block.inputs.size for block in decomposition.blocks if not is_run(block.inputs)) + N
    seconds += (len(blocks) + 1) * machine.launch + (read + N) * element + found * machine.row
    turned = [extent * rows for extent in (K, N)[:transposes]] if rows > 1 else []
    for elements in turned:  # a single row is transposed by renaming its axes
        fits = elements * itemsize <= machine.cache
        seconds += machine.launch + elements * machine.turn * (itemsize / 4) / (4 if fits else 1)
    return seconds


def choose(
    decomposition: Decomposition,
    rows: Iterable[int],
    itemsize: int,
    machines: Iterable[Machine],
    transposes: int = 2,
) -> Choice | None:
    """The lowering and the number of groups with the largest gain at its worst over all row counts and machines.

    Tries halving numbers of groups from all blocks down to one. None when nothing is saved by any of them.
    """
    settings = [(count, machine) for count in rows for machine in machines]
    best: Choice | None = None
    count = len(decomposition.blocks)
    while count:
        grouped = group(decomposition, count)
        for lowering in _lowerings(grouped) if grouped.mac_share < 1 else ():
            gain = min(
                dense_seconds(grouped.shape, r, itemsize, machine)
                / split_seconds(grouped, lowering, r, itemsize, machine, transposes)
                for r, machine in settings
            )
            if best is None or gain > best.gain:
                best = Choice(lowering, grouped, gain)
        count = 0 if count == 1 else -(-count // 2)
    return best


def _lowerings(decomposition: Decomposition) -> tuple[Lowering, ...]:
    if is_contiguous(decomposition):
        return ("split",)
    return ("split", "scatter") if has_windows(decomposition) else ("scatter",)
