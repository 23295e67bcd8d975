"""Predicted seconds of a linear, dense or split, and the choice between them.

The model is small: launches, multiply-adds, bytes of weights, elements moved. Its constants were measured on ONNX
Runtime (`tests/bench/calibrate.py` fits them again to the machine at hand); they only have to rank, because `optimize`
measures the result anyway and keeps the original where that is faster.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....ir.plan.plan import Block, Decomposition, LoweringName
from ...decompose.blocks import closed, group, grouped_at, halves, has_windows, is_contiguous, is_cover, is_run
from ...decompose.cover_cost import CoverCost
from ..nodes.residual import levels
from ..nodes.windows import plan_reads
from .batched import padded_shape
from .lowering import misfit
from .permute import arranged

__all__ = [
    *("CPU", "CUDA", "MARGIN", "Choice", "Machine", "best_of", "choose", "dense_seconds", "fitting", "groupings"),
    *("machines_for", "products_seconds", "split_seconds", "transpose_seconds", "worst_gain"),
]

LOWERINGS: tuple[LoweringName, ...] = ("split", "scatter", "gather", "batched", "grouped")
MARGIN = 1.1  # a predicted gain below this is not worth a larger graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Seconds per unit of work.

    launch: run a node that multiplies; node: run any other; mac: a multiply-add; stream: a byte of weights from memory;
    cached: a byte of weights that fit `warm` bytes; cache: bytes of the cache next to the core; row: find one row to
    gather; move: copy an element by rows, as Gather, Concat and Split do; far: the same of a tensor of more than `warm`
    bytes; turn: an element of a Transpose; flip: the same while the tensor fits the cache; pick: an element of a
    GatherElements and of the Expand of its indices; batch: a block of a product of three dimensions; unpacked: how many
    times as long multiply-adds take whose weight cannot be packed when the model is loaded, being of three dimensions
    or on the left; pixel: a group of a convolution, for one row; edge: an element that a product reads or writes;
    touch: one that an operator between products computes; sum: one that ScatterND adds to another; strip: a row of what
    Slice cuts out, twice one of what Split or Concat does; lanes: outputs that a product computes at once where the
    weight is packed; warm: bytes that the last cache keeps; place: a ScatterND, however little it writes.
    """

    launch: float
    node: float
    mac: float
    stream: float
    cached: float
    cache: float
    row: float
    move: float
    turn: float
    flip: float
    pick: float
    batch: float
    unpacked: float
    pixel: float
    edge: float
    touch: float
    sum: float
    strip: float
    lanes: int
    warm: float
    far: float
    place: float = 0

    def stacked(self) -> Machine:
        """The same for weights of three dimensions, which are read as they are stored."""
        factor = self.unpacked
        return replace(self, mac=self.mac * factor, stream=self.stream * factor, cached=self.cached * factor, lanes=1)

    def left(self) -> Machine:
        """The same for weights that are the left factor of a product."""
        return replace(self, mac=self.mac * self.unpacked, lanes=1)

    def cover_cost(self, rows: int, itemsize: int, pick: float) -> CoverCost:
        """What groups of a cover cost here, in seconds; pick: of an element that a group reads, where that is not
        a window."""
        element = rows * itemsize / 4
        heavy = max(rows * self.mac, itemsize * self.cached)
        return CoverCost(
            mac=heavy,
            read=element * (pick + self.move + self.edge),
            write=element * (self.move + self.edge),
            launch=self.launch + self.node + 1.5 * rows * self.strip,
            granularity=self.lanes if rows > 1 else 1,
            stray=element * (self.move + self.touch + self.sum),
        )

    def threaded(self, threads: int) -> Machine:
        """The same with several threads: products scale, memory up to two threads, index work does not."""
        return replace(self, mac=self.mac / threads, stream=self.stream / min(threads, 2))


# AMD EPYC with AVX2, one thread, ONNX Runtime 1.31, float32.
CPU = Machine(
    launch=2.5e-6,
    node=1.6e-6,
    mac=3e-11,
    stream=7.1e-11,
    cached=2.6e-11,
    cache=5e5,
    row=1.4e-8,
    move=3.5e-10,
    turn=1.25e-9,
    flip=3.6e-10,
    pick=1.8e-9,
    batch=7e-7,
    unpacked=1.35,
    pixel=9e-8,
    edge=2.4e-10,
    touch=4e-10,
    sum=2.2e-9,
    strip=1.2e-8,
    lanes=16,
    warm=6e6,
    far=8e-10,
)
# From data sheets (H200), not measured: launches of one stream follow one another, everything else is cheap.
CUDA = Machine(
    launch=5e-6,
    node=5e-6,
    mac=3e-14,
    stream=2.5e-13,
    cached=1e-13,
    cache=5e7,
    row=0,
    move=4e-12,
    turn=6e-12,
    flip=6e-12,
    pick=6e-12,
    batch=1e-8,
    unpacked=1,
    pixel=1e-8,
    edge=1e-12,
    touch=4e-12,
    sum=8e-12,
    strip=0,
    lanes=1,
    warm=5e7,
    far=4e-12,
    place=1.2e-4,
)


def machines_for(provider: str, threads: int) -> list[Machine]:
    """The machines that costs are predicted for: one thread, and as many as there will be."""
    machine = CUDA if provider == "cuda" else CPU
    single = provider == "cuda" or threads == 1
    return [machine] if single else [machine, machine.threaded(threads)]


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to lower a linear and how many times faster than dense it is predicted to be, at its worst."""

    lowering: LoweringName
    decomposition: Decomposition
    gain: float


def products_seconds(shapes: Iterable[tuple[int, int]], rows: int, itemsize: int, machine: Machine) -> float:
    """Predicted seconds of products of `rows` activations with weights of these shapes, one node each."""
    shapes = list(shapes)
    entries = sum(k * n for k, n in shapes)
    held = entries * itemsize
    load = held * (machine.stream if held > machine.warm else machine.cached)
    # What fills the last lanes costs half: there are narrower kernels for some of it.
    filled = entries if rows == 1 else sum(k * -(-n // machine.lanes) * machine.lanes for k, n in shapes)
    computed = (entries + filled) / 2
    work = computed * rows * machine.mac * (itemsize / 4 if itemsize > 4 else 1)
    work += sum(k + n for k, n in shapes) * rows * machine.edge * itemsize / 4
    # Loading overlaps with computing, but not entirely.
    return len(shapes) * machine.launch + max(load, work) + min(load, work) / 4


def dense_seconds(shape: tuple[int, int], rows: int, itemsize: int, machine: Machine) -> float:
    """Predicted seconds of one dense product of `rows` activations with a weight of shape (K, N)."""
    return products_seconds([shape], rows, itemsize, machine)


def split_seconds(
    decomposition: Decomposition,
    lowering: LoweringName,
    rows: int,
    itemsize: int,
    machine: Machine,
    transposes: int = 2,
    tile: int = 1,
) -> float:
    """Predicted seconds of the same product in blocks, with the index work around it.

    transposes: how many of its two ends a `scatter` has to bring to features-first layout and back, none where
    features are channels; tile: what the sides of padded blocks are multiples of.
    """
    if lowering == "select":
        return _picked([decomposition.shape[1]], rows, itemsize, machine)
    if lowering in ("batched", "grouped"):
        return _stacked(decomposition, lowering, rows, itemsize, machine, transposes, tile)
    N = decomposition.shape[1]
    beside = _strays(decomposition, rows, itemsize, machine)
    blocks = [block.shape for block in decomposition.blocks]
    inside, outside = (_feature(extent, rows, itemsize, machine) for extent in decomposition.shape)
    first = lowering in ("scatter", "scatternd")  # features come first, so that weights are on the left
    kind = machine.left() if first and rows > 1 else machine
    seconds = products_seconds(blocks, rows, itemsize, kind) + machine.node + N * outside + beside  # Concat
    piece = 0 if first else rows * machine.strip / 2  # of a Split or Concat on the last axis
    seconds += len(blocks) * piece
    read = sum(k for k, _ in blocks)
    if lowering == "split":
        if is_contiguous(decomposition):
            return seconds + machine.node + len(blocks) * piece + read * inside
        whole = sum(k == decomposition.shape[0] for k, _ in blocks)  # is read as it is
        slices = len(blocks) - whole
        copied = read - whole * decomposition.shape[0]
        return seconds + slices * (machine.node + 2 * piece) + copied * inside
    if lowering == "gather":
        return seconds + _windows(decomposition, rows, itemsize, machine)
    # A run of features is sliced in one piece; others are found row by row.
    literal = lowering == "scatternd"
    found = sum(b.inputs.size for b in decomposition.blocks if literal or not is_run(b.inputs)) + N
    seconds += N * outside + machine.place if literal else 0  # what ScatterND writes into is copied before
    seconds += (len(blocks) + 1) * machine.node + read * inside + N * outside + found * machine.row
    if decomposition.summed:
        seconds += (len(blocks) + 2) * machine.node + sum(n for _, n in blocks) * rows * machine.sum * itemsize / 4
    return seconds + _turned(decomposition.shape, rows, itemsize, machine, transposes)


def _feature(extent: int, rows: int, itemsize: int, machine: Machine) -> float:
    """Seconds to copy one feature of a tensor of so many, for all rows."""
    fits = extent * rows * itemsize <= machine.warm
    return rows * (machine.move if fits else machine.far) * itemsize / 4


def _windows(decomposition: Decomposition, rows: int, itemsize: int, machine: Machine) -> float:
    """What `gather` needs around the products: permutations of the ends where they are needed, and the windows."""
    parts = [block for _, block in arranged(decomposition)]
    reads = plan_reads(parts, decomposition.shape[0])
    element = _feature(decomposition.shape[0], rows, itemsize, machine)
    strips = sum(start >= 0 for start in reads.starts)
    seconds = reads.copied * element + (machine.node if reads.follow else strips * machine.node)
    seconds += strips * rows * machine.strip / (2 if reads.follow else 1)
    outputs = np.concatenate([*(block.outputs for block in parts), decomposition.dormant_outputs])
    ends = [] if reads.order is None else [reads.order.size]
    ends += [] if (np.diff(outputs) == 1).all() else [outputs.size]
    return seconds + _picked(ends, rows, itemsize, machine)


def _strays(decomposition: Decomposition, rows: int, itemsize: int, machine: Machine) -> float:
    """What the entries beside the blocks take: Gather, Mul and ScatterND in each step."""
    if not decomposition.strays:
        return 0.0
    steps = levels(decomposition)
    element = (machine.move + machine.touch + machine.sum) * rows * itemsize / 4
    return 3 * len(steps) * machine.node + len(decomposition.strays) * (machine.row + element)


def _moved_ends(blocks: Sequence[Block], decomposition: Decomposition) -> list[int]:
    """How many features move where blocks lie one after another: of the inputs, of the outputs, where any does."""
    inputs = np.concatenate([block.inputs for block in blocks])
    outputs = np.concatenate([*(block.outputs for block in blocks), decomposition.dormant_outputs])
    pairs = zip((inputs, outputs), decomposition.shape, strict=True)
    return [order.size for order, extent in pairs if order.size != extent or (order != np.arange(extent)).any()]


def _picked(ends: Sequence[int], rows: int, itemsize: int, machine: Machine) -> float:
    """Permutations of the last axis: Expand and GatherElements for each, the shape once for all of them."""
    launches = 2 * len(ends) + (2 if ends else 0)
    return launches * machine.node + sum(ends) * rows * machine.pick * itemsize / 4


def _turned(shape: tuple[int, int], rows: int, itemsize: int, machine: Machine, transposes: int) -> float:
    seconds = 0.0
    for extent in shape[:transposes] if rows > 1 else ():  # a single row is transposed by renaming its axes
        seconds += transpose_seconds(extent * rows, itemsize, machine)
    return seconds


def transpose_seconds(elements: float, itemsize: int, machine: Machine) -> float:
    """Predicted seconds of one Transpose of so many elements."""
    fits = elements * itemsize <= machine.cache
    return machine.node + elements * (machine.flip if fits else machine.turn) * itemsize / 4


def _stacked(
    decomposition: Decomposition,
    lowering: LoweringName,
    rows: int,
    itemsize: int,
    machine: Machine,
    transposes: int,
    tile: int,
) -> float:
    """All blocks padded to one shape and computed by one node, two Reshapes around it."""
    beside = _strays(decomposition, rows, itemsize, machine)
    B, k, n = padded_shape(decomposition, tile)
    even = all(block.shape == (k, n) for block in decomposition.blocks)
    ends = _moved_ends(decomposition.blocks, decomposition) if even else [B * k, decomposition.shape[1]]
    if lowering == "grouped" and transposes:  # features are no channels: every row is an image of one pixel
        held = B * k * n * itemsize
        load = held * (machine.stream if held > machine.warm else machine.cached) * machine.unpacked
        work = max(load, rows * (held * machine.cached + B * machine.pixel))
        return 3 * machine.node + work + _picked(ends, rows, itemsize, machine)
    seconds = 2 * machine.node + products_seconds([(B * k, n)], rows, itemsize, machine.stacked()) + B * machine.batch
    seconds += beside
    seconds += len(ends) * machine.node + sum(ends) * (machine.row + rows * machine.move * itemsize / 4)
    return seconds + _turned(decomposition.shape, rows, itemsize, machine, transposes)


def choose(
    decomposition: Decomposition,
    rows: Iterable[int],
    itemsize: int,
    machines: Iterable[Machine],
    transposes: int = 2,
    lowerings: Collection[LoweringName] = LOWERINGS,
    tile: int = 1,
) -> Choice | None:
    """The lowering and the number of groups with the largest gain at its worst over all row counts and machines.

    lowerings: those that suit the linear, `select` only for a weight that is a selection, which is never grouped. Tries
    the groups of `groupings`. None when nothing is saved by any of them.
    """
    settings = [(count, machine) for count in rows for machine in machines]
    grouped = groupings(decomposition, settings, itemsize)
    whole = itertools.islice(grouped, 1) if "select" in lowerings else grouped
    ways = ((one, fitting(one, lowerings, tile)) for one in whole if one.mac_share < 1)
    return best_of(ways, settings, itemsize, transposes, tile)


def best_of(
    ways: Iterable[tuple[Decomposition, Iterable[LoweringName]]],
    settings: Collection[tuple[int, Machine]],
    itemsize: int,
    transposes: int = 2,
    tile: int = 1,
) -> Choice | None:
    """Of groups of blocks with the lowerings that fit each the ones with the largest gain at its worst over all
    settings (rows, machine); None where nothing fits."""
    best: Choice | None = None
    for found, lowerings in ways:
        for lowering in lowerings:
            gain = worst_gain(found, lowering, settings, itemsize, transposes, tile)
            if best is None or gain > best.gain:
                best = Choice(lowering, found, gain)
    return best


def worst_gain(
    found: Decomposition,
    lowering: LoweringName,
    settings: Iterable[tuple[int, Machine]],
    itemsize: int,
    transposes: int = 2,
    tile: int = 1,
) -> float:
    """Dense time over lowered time, at its worst over all settings (rows, machine)."""
    return min(
        dense_seconds(found.shape, rows, itemsize, machine)
        / split_seconds(found, lowering, rows, itemsize, machine, transposes, tile)
        for rows, machine in settings
    )


def groupings(
    decomposition: Decomposition, settings: Iterable[tuple[int, Machine]] = (), itemsize: int = 4
) -> Iterator[Decomposition]:
    """Larger and larger groups of blocks: halving numbers from all of them down to one, and of a cover besides those
    that cost least in some setting (rows, machine), and one more and one less."""
    seen: set[int] = set()
    for count in halves(len(decomposition.blocks)):
        seen.add(count)
        yield from _with_closed(group(decomposition, count))
    if not is_cover(decomposition) or decomposition.summed:
        return
    for rows, machine in settings:
        for pick in (0.0, machine.pick):
            found = grouped_at(decomposition, machine.cover_cost(rows, itemsize, pick))
            count = len(found.blocks)
            if count not in seen:
                seen.add(count)
                yield from _with_closed(found)
            for near in (count - 1, count + 1):
                if 0 < near <= len(decomposition.blocks) and near not in seen:
                    seen.add(near)
                    yield from _with_closed(group(decomposition, near))


def _with_closed(found: Decomposition) -> Iterator[Decomposition]:
    """Groups, and the same with dormant outputs among them where they follow one another only so."""
    yield found
    if found.dormant_outputs.size and found.blocks and not (found.summed or found.strays):
        whole = closed(found)
        if has_windows(whole):
            yield whole


def fitting(decomposition: Decomposition, suited: Collection[LoweringName], tile: int) -> list[LoweringName]:
    """Those that suit the blocks as well; where nothing has to be moved, none that would move it."""
    idle: tuple[LoweringName, ...] = ()
    if is_contiguous(decomposition):
        idle = ("scatter", "gather")
    elif has_windows(decomposition):
        idle = ("gather",)
    return [one for one in suited if one not in idle and misfit(decomposition, one, tile) is None]
