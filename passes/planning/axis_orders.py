"""Another order for the features of free axes, in which the blocks of linears lie one after another."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...ir.axes.shared_axis import SharedAxis
from ...ir.plan.axis_order import Reordering
from ...ir.plan.decomposition import Decomposition, Indices

__all__ = ["choose_orders"]

# How blocks of several linears come to lie side by side on one shared axis. Every linear cuts the axis into its blocks;
# cuts that nest or keep apart are the levels of one tree, and a walk of its leaves keeps all of them contiguous:
#
#     up     a a a a a a b b b b        everything
#     gate   a a a b b b c c c c          ├── {0..5}            block a of `up`
#     down   a a a a a a a a a a          │     ├── {0..2}      block a of `gate`
#                                         │     └── {3..5}
#                                         └── {6..9}
#
# Which of two siblings comes first is free, and is taken from a side of the same linear that was placed before: blocks
# that come in one order on both sides of a product need no index work at either. Cuts that cross (one block has a part
# of another, and neither holds the other) fit into no tree; the linear with more multiply-adds keeps its blocks whole.

NOWHERE = np.iinfo(np.int64).max


def choose_orders(
    shared_axes: Sequence[SharedAxis],
    decompositions: Mapping[str, Decomposition],
    covers: Mapping[str, Decomposition] | None = None,
) -> tuple[Reordering, ...]:
    """For each free axis the order in which the most blocks of its linears are contiguous, where that is another.

    shared_axes: of one model; decompositions: of its linears, by address; covers: small groups of linears whose blocks
    share inputs, which decide where no linear of a shared axis falls apart. Partitions that nest or keep apart are
    contiguous together; where they cross, the ones with more multiply-adds win. Blocks of a linear come in one order on
    both of its sides where that can be had: the order of one side is handed on to the other, those of sides that cannot
    be moved first. Features in no block go last. An axis that would gain nothing is left out. Reads no weight.

    >>> from ...ir.plan.decomposition import Block
    >>> shared_axis = SharedAxis(value="h", axis=1, size=4, members=(), constants=(), readers=("down",), writers=())
    >>> found = choose_orders([shared_axis], {"down": Decomposition((4, 1), (Block([0, 2], [0]),))})
    >>> [(one.value, one.order.tolist()) for one in found]
    [('h', [0, 2, 1, 3])]
    """
    known = {address: _Linear(address, cut) for address, cut in decompositions.items() if _splits(cut)}
    covers = covers or {}
    free = [
        _FreeAxis(shared_axis, sides)
        for shared_axis in shared_axes
        if not shared_axis.pinned and (sides := _sides(shared_axis, known)) and not _covered(shared_axis, sides, covers)
    ]
    # Sides that nobody can move come first: what is asked of the others is to agree with them.
    settled = {free_axis.shared_axis for free_axis in free}
    ranks: dict[_Linear, Indices] = {}  # in which order the blocks of a linear come
    _settle(ranks, _fixed(known.values(), free))
    found: dict[int, Reordering] = {}
    waiting = _Waiting(free, ranks)
    while (index := waiting.next()) is not None:
        free_axis = free[index]
        natural, order = np.arange(free_axis.shared_axis.size), _order(free_axis, ranks)
        if _score(free_axis, order, ranks) > _score(free_axis, natural, ranks):
            found[index] = Reordering(value=free_axis.shared_axis.value, axis=free_axis.shared_axis.axis, order=order)
        else:
            order = natural
        waiting.placed(_settle(ranks, ((side, side.labels[order]) for side in free_axis.sides)))
    ordered = [found[index] for index in sorted(found)]
    for shared_axis in shared_axes:
        windows = _windows(shared_axis, covers) if not shared_axis.pinned and shared_axis not in settled else None
        if windows is not None:
            ordered.append(Reordering(value=shared_axis.value, axis=shared_axis.axis, order=windows))
    return tuple(ordered)


def _covered(shared_axis: SharedAxis, sides: Iterable[_Side], covers: Mapping[str, Decomposition]) -> bool:
    """Whether covers say more of a shared axis than components: none of its linears falls apart but for dormant
    features."""
    known = any(address in covers for address in (*shared_axis.readers, *shared_axis.writers))
    return known and all(len(side.parts) == 1 for side in sides)


def _windows(shared_axis: SharedAxis, covers: Mapping[str, Decomposition]) -> Indices | None:
    """The features of a shared axis in an order in which covers write runs and read windows of it; None where they do.

    The linear with the most multiply-adds comes first; others decide among what it leaves equal, forwards or backwards
    as agrees better with it.
    """
    known = [
        (address, index) for index, own in enumerate((shared_axis.writers, shared_axis.readers)) for address in own
    ]
    ends = [(covers[address], index) for address, index in known if address in covers]
    # A cover has groups that overlap, so no tree; sorting by the first and last group of each feature makes windows.
    keys: list[Indices] = []
    for cover, index in sorted(ends, key=lambda end: -end[0].shape[0] * end[0].shape[1]):
        for key in (_written if index == 0 else _read)(cover):
            # The numbers of groups may run either way; their sign is that which correlates with the first key.
            backwards = bool(keys) and float(np.dot(key - key.mean(), keys[0] - keys[0].mean())) < 0
            keys.append(-key if backwards else key)
    if not keys:
        return None
    order: Indices = np.lexsort((np.arange(shared_axis.size), *reversed(keys)))
    return None if (order == np.arange(shared_axis.size)).all() else order


def _written(cover: Decomposition) -> list[Indices]:
    """For each output the group that owns it; dormant ones last."""
    group = np.full(cover.shape[1], len(cover.blocks))
    for index, block in enumerate(cover.blocks):
        group[block.outputs] = index
    return [group]


def _read(cover: Decomposition) -> list[Indices]:
    """For each input the first and the last group that reads it; dormant ones last."""
    first, last = np.full(cover.shape[0], len(cover.blocks)), np.full(cover.shape[0], len(cover.blocks))
    # Written backwards, so that the first group is the one that stays; forwards below, for the last.
    for index, block in reversed(list(enumerate(cover.blocks))):
        first[block.inputs] = index
    for index, block in enumerate(cover.blocks):
        last[block.inputs] = index
    return [first, last]


@dataclass(frozen=True, slots=True, eq=False)
class _Linear:
    """A linear that splits."""

    address: str
    decomposition: Decomposition

    @property
    def macs(self) -> int:
        """Multiply-adds of the dense product, of one row."""
        return self.decomposition.shape[0] * self.decomposition.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The inputs or the outputs of a linear: for each feature the block that owns it, -1 where none does."""

    linear: _Linear
    outputs: bool
    labels: Indices = field(init=False)

    def __post_init__(self) -> None:
        labels = np.full(self.linear.decomposition.shape[self.outputs], -1)
        for index, part in enumerate(self.parts):
            labels[part] = index
        object.__setattr__(self, "labels", labels)

    @property
    def parts(self) -> list[Indices]:
        """The features of each block."""
        return [block.outputs if self.outputs else block.inputs for block in self.linear.decomposition.blocks]


@dataclass(frozen=True, slots=True, eq=False)
class _FreeAxis:
    """A free axis with the sides of linears that lie on it, those with the most multiply-adds first."""

    shared_axis: SharedAxis
    sides: list[_Side]


class _Waiting:
    """The free axes whose turn has not come, by the multiply-adds of those of their linears that are placed already:
    what has the most has the least freedom left. Equal ones come by the multiply-adds of all, then in their order."""

    def __init__(self, free_axes: Sequence[_FreeAxis], ranks: Collection[_Linear]) -> None:
        self._on: dict[_Linear, list[int]] = {}  # the free axes of each linear, one twice where it has both sides on it
        for index, free_axis in enumerate(free_axes):
            for side in free_axis.sides:
                self._on.setdefault(side.linear, []).append(index)
        sides = [[side.linear for side in free_axis.sides] for free_axis in free_axes]
        self._known = [sum(linear.macs for linear in own if linear in ranks) for own in sides]
        self._all = [sum(linear.macs for linear in own) for own in sides]
        self._done: set[int] = set()
        self._heap = [self._key(index) for index in range(len(free_axes))]
        heapq.heapify(self._heap)

    def next(self) -> int | None:
        """The number of the free axis whose turn it is; None where all had theirs."""
        while self._heap:
            index = heapq.heappop(self._heap)[-1]  # what was known less of comes later once more, and is done by then
            if index not in self._done:
                self._done.add(index)
                return index
        return None

    def placed(self, linears: Iterable[_Linear]) -> None:
        """Some linears have got an order."""
        for linear in linears:
            for index in self._on[linear]:
                self._known[index] += linear.macs
                heapq.heappush(self._heap, self._key(index))

    def _key(self, index: int) -> tuple[int, int, int]:
        return -self._known[index], -self._all[index], index


def _splits(decomposition: Decomposition) -> bool:
    return bool(decomposition.blocks) and not decomposition.layers and decomposition.mac_share < 1


def _sides(shared_axis: SharedAxis, known: Mapping[str, _Linear]) -> list[_Side]:
    reads = [_Side(known[address], False) for address in shared_axis.readers if address in known]
    writes = [_Side(known[address], True) for address in shared_axis.writers if address in known]
    return sorted(reads + writes, key=lambda side: -side.linear.macs)


def _fixed(linears: Iterable[_Linear], free: Iterable[_FreeAxis]) -> Iterable[tuple[_Side, Indices]]:
    """The sides that cannot be moved, with their labels as they are."""
    moved = {(side.linear, side.outputs) for free_axis in free for side in free_axis.sides}
    for linear in linears:
        for outputs in (False, True):
            if (linear, outputs) not in moved:
                side = _Side(linear, outputs)
                yield side, side.labels


def _settle(ranks: dict[_Linear, Indices], placed: Iterable[tuple[_Side, Indices]]) -> list[_Linear]:
    """Remember in which order blocks come, where they are contiguous and nothing was said of them before; the linears
    of which something was."""
    fresh = []
    for side, labels in placed:
        runs = _runs(labels)
        # Scattered blocks have no order to hand on, and the first side that has one decides for both.
        if side.linear not in ranks and runs.size == len(side.parts):
            ranks[side.linear] = np.argsort(runs)
            fresh.append(side.linear)
    return fresh


def _runs(labels: Indices) -> Indices:
    """The blocks in the order in which they come; one that comes in several runs is there as often.

    >>> _runs(np.array([1, 1, -1, 0, 1])).tolist()
    [1, 0, 1]
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-2))
    first: Indices = labels[starts]
    return first[first >= 0]


def _score(free_axis: _FreeAxis, order: Indices, ranks: Mapping[_Linear, Indices]) -> int:
    """Multiply-adds of the sides that are contiguous in an order, twice where their blocks are in order, too."""
    score = 0
    for side in free_axis.sides:
        runs = _runs(side.labels[order])
        # As many runs as blocks: each is contiguous, and a Split can take its place of a Gather.
        if runs.size == len(side.parts):
            known = ranks.get(side.linear)
            score += side.linear.macs * (1 if known is None else 1 + bool((np.diff(known[runs]) > 0).all()))
    return score


def _order(free_axis: _FreeAxis, ranks: Mapping[_Linear, Indices]) -> Indices:
    """The features of a shared axis, block after block, those in no block last."""
    sides = _compatible(free_axis.sides)
    inside = _tree(sides, free_axis.shared_axis.size)
    sets = [np.arange(free_axis.shared_axis.size), *(part for part, _ in inside)]
    children: list[list[int]] = [[] for _ in sets]
    for index, (_, parent) in enumerate(inside, start=1):
        children[parent].append(index)
    keys = [[_rank(side.labels[part], ranks[side.linear]) for side in sides if side.linear in ranks] for part in sets]
    placed: list[Indices] = []
    pending = [(False, 0)]
    taken = np.zeros(free_axis.shared_axis.size, bool)
    # Depth first without recursion: a tree may be as deep as an axis has linears.
    while pending:  # each set: the sets inside it in order, then what is left of it
        done, index = pending.pop()
        if done:
            left = sets[index][~taken[sets[index]]]
            taken[left] = True
            placed.append(left)
            continue
        pending.append((True, index))
        inner = sorted(children[index], key=lambda child: (*keys[child], int(sets[child][0])))
        pending += [(False, child) for child in reversed(inner)]
    return np.concatenate(placed)


def _rank(labels: Indices, ranks: Indices) -> int:
    """The rank of the first block that features belong to."""
    owned = labels[labels >= 0]
    return int(ranks[owned].min()) if owned.size else NOWHERE


def _compatible(sides: Sequence[_Side]) -> list[_Side]:
    """The sides whose blocks all nest or keep apart, first come, first served."""
    distinct: dict[bytes, _Side] = {}  # equal partitions need not be compared
    crossing: set[bytes] = set()
    chosen: list[_Side] = []
    for side in sides:
        key = _numbered(side.labels).tobytes()
        if key in crossing:
            continue
        if key not in distinct:
            if any(_cross(side.labels, other.labels) for other in distinct.values()):
                crossing.add(key)
                continue
            distinct[key] = side
        chosen.append(side)
    return chosen


def _numbered(labels: Indices) -> Indices:
    """The same partition, its blocks numbered in the order of their first features."""
    values, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers = np.full(values.size, -1)
    owned = np.flatnonzero(values >= 0)
    numbers[owned[np.argsort(first[owned])]] = np.arange(owned.size)
    found: Indices = numbers[inverse]
    return found


def _cross(a: Indices, b: Indices) -> bool:
    """Whether a block of one partition has a part of a block of the other, but neither holds the other.

    >>> _cross(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])), _cross(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]))
    (True, False)
    """
    # Only features that both own count, so dormant ones of one linear cross nothing.
    both = (a >= 0) & (b >= 0)
    pairs, shared = np.unique(np.stack([a[both], b[both]]), axis=1, return_counts=True)
    sizes = [np.bincount(labels[labels >= 0], minlength=1) for labels in (a, b)]
    whole = [shared == size[labels] for size, labels in zip(sizes, pairs, strict=True)]
    return not bool((whole[0] | whole[1]).all())


def _tree(sides: Sequence[_Side], size: int) -> list[tuple[Indices, int]]:
    """The blocks of partitions that do not cross, each once, larger ones first, each with the number of the smallest
    that holds it, counted from 1; 0 is everything."""
    blocks: dict[bytes, Indices] = {}
    for side in sides:
        for part in side.parts:
            blocks.setdefault(part.tobytes(), part)
    owner = np.zeros(size, np.int64)
    found: list[tuple[Indices, int]] = []
    # Larger blocks first, so that whatever owns the first feature of a block when its turn comes is its parent.
    for part in sorted(blocks.values(), key=lambda part: (-part.size, int(part[0]))):
        found.append((part, int(owner[part[0]])))
        owner[part] = len(found)
    return found
