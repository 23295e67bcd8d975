"""Covers: the outputs of a weight in groups that each read few inputs; rectangular sub-operators (paper 4.4).

Inputs may be shared between groups, outputs never are, so that the groups run in parallel and the result is exact.
Connected components are the case in which no input is shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Labels
from ....ir.plan.plan import Block, Decomposition
from ....ir.relation import Relation, columns_of
from ...connectivity.bipartite import Components
from ..blocks import group, grouped_at, transposed
from ..cover_cost import CoverCost
from ..segmentation import Run, cheapest, evenly
from .bordered_form import bordered
from .exact import FEW, exactly
from .orders import orders
from .row_patterns import Supports, supports

__all__ = ["EACH", "WORTH", "cover", "cover_cost", "covers", "every_cover"]

ATOMS = 256  # groups at most; more are never faster
WORTH = 0.1  # of the multiply-adds; what saves less would not pay for the copies
LARGEST = 1 << 28  # entries that are looked at one byte each
SUMMED = CoverCost(read=115, write=20)  # of outputs in the place of inputs: adding rows takes longer than copying them
BETTER = 0.99  # of the cost: an order that moves features must save that much
TRIANGLE = 0.25  # of the entries are edges at least
SMALL = 1 << 16  # entries that are not worth a look ahead
SAMPLED = 32  # outputs that the look ahead is at
SIZES = (16, 64, 256)
CHEAP = CoverCost(read=20, write=0)  # copies at their cheapest
EACH = 16  # outputs of a group; smaller ones copy more than they save
MAIN = 1 / 16  # of the entries inside components: one that holds less is not looked into


def cover(relation: Relation, cost: CoverCost | None = None) -> Decomposition:
    """The groups of a relation (K, N) at least cost: every output with an edge is in one, with all inputs it reads.

    Exact where there are at most twelve different supports, by trying every subset; else the best runs, by dynamic
    programming, of the best of several orders (`scission.passes.decompose.cover.orders`).

    >>> from ...connectivity.edges import relate
    >>> found = cover(relate(np.triu(np.ones((4, 4)))), CoverCost(read=0, write=0, launch=3))
    >>> [(b.inputs.tolist(), b.outputs.tolist()) for b in found.blocks]
    [([0, 1], [0, 1]), ([0, 1, 2, 3], [2, 3])]
    """
    cost = cost or CoverCost()
    found = supports(relation.transposed())
    if not found.members:
        return Decomposition(relation.shape, ())
    order, layer = _best_order(found, relation, cost)
    atoms = _cut(found, order)
    runs, _ = cheapest(*_merged(found, order, atoms), cost)
    whole = [(atoms[start][0], atoms[stop - 1][1]) for start, stop in runs]
    return _decomposition(relation.shape, found, order, whole, layer)


def covers(
    relation: Relation, parts: Components | None = None, cost: CoverCost | None = None, *, triangles: bool = True
) -> Decomposition | None:
    """At most 256 small groups of a relation, in an order in which neighbours merge well (see `blocks.group`).

    parts: its components, each of which is covered for itself; those that are small stay one group; triangles: see
    `orders`. None when groups of sixteen outputs would not save a tenth of the multiply-adds of the components, or
    there are more than 2**28 entries.

    >>> from ...connectivity.edges import relate
    >>> found = covers(relate(np.triu(np.ones((4, 4)))))
    >>> len(found.blocks), found.layers, found.mac_share
    (4, ((0, 0), (1, 1), (2, 2), (3, 3)), 0.625)
    """
    K, N = relation.shape
    if not relation.count or K * N > LARGEST:
        return None
    # What components save is saved already; a cover has to save a tenth of what is left.
    areas = [] if parts is None else _areas(parts)
    total = sum(areas) if areas else K * N
    if relation.count > (1 - WORTH) * total:
        return None
    if parts is None or parts.count == 1:
        found = _atoms(relation, cost or CoverCost(), triangles)
    else:
        found = _of_components(relation, parts, areas, cost or CoverCost())
    if found is None or len(found.blocks) < 2:
        return None
    few = group(found, max(N // EACH, 2))
    return found if few.mac_share * K * N <= (1 - WORTH) * total else None


def every_cover(relation: Relation, parts: Components) -> Iterator[Decomposition]:
    """The covers of a relation that are worth a trial: outputs in groups, the same with residual entries taken out of
    the groups that cost least, and inputs in groups, where that costs less still."""
    cost = CoverCost()
    found = covers(relation, parts, cost)
    least = np.inf
    if found is not None:
        yield found
        whole = grouped_at(found, cost)
        apart = bordered(whole, relation, cost)
        least = cover_cost(apart, cost)
        if least < BETTER * cover_cost(whole, cost):
            yield apart
    other = Components(parts.outputs, parts.inputs, parts.count, parts.nonzeros)
    # The transposed problem: groups of inputs, whose partial products are added afterwards (split-K).
    turned = covers(relation.transposed(), other, cost, triangles=False)
    if turned is not None and cover_cost(grouped_at(turned, SUMMED), SUMMED) < BETTER * least:
        yield transposed(turned)


def cover_cost(found: Decomposition, cost: CoverCost) -> float:
    """The cost of all groups and residual entries."""
    return float(sum(cost.of(*block.shape) for block in found.blocks) + cost.residual * len(found.residual))


def _atoms(relation: Relation, cost: CoverCost, triangles: bool = True) -> Decomposition | None:
    """The supports in the best order, neighbours put together where there are too many."""
    found = supports(relation.transposed())
    if len(found.members) < 2 or not _promising(found):
        return None
    order, layer = _best_order(found, relation, cost, triangles)
    return _decomposition(relation.shape, found, order, _cut(found, order), layer)


def _promising(found: Supports) -> bool:
    """Whether outputs that are most alike read few enough inputs together for any group of them to pay.

    A sample of outputs is looked at, each with the 16, 64 and 256 others that have most in common with it, which is
    about the best that any order could put beside it. Where structure is random that tells at once.
    """
    m, K = len(found.members), found.inputs
    if m * K <= SMALL:
        return True
    sample = np.random.default_rng(0).choice(m, min(SAMPLED, m), replace=False)
    totals = np.zeros(len(SIZES))
    for place in sample:
        common = np.bitwise_count(found.words & found.words[place]).sum(axis=1, dtype=np.int64)
        alike = common / (found.degrees + found.degrees[place] - common)
        nearest = np.argsort(-alike, kind="stable")[: SIZES[-1]]
        union = np.bitwise_or.accumulate(found.words[nearest], axis=0)
        read = np.bitwise_count(union).sum(axis=1, dtype=np.int64)
        outputs = np.cumsum(found.sizes[nearest])
        at = np.minimum(np.searchsorted(outputs, SIZES), nearest.size - 1)
        totals += CHEAP.of(read[at], outputs[at]) / (CHEAP.mac * K * outputs[at])
    return bool((totals / sample.size).min() < 1)


def _of_components(
    relation: Relation, parts: Components, areas: Sequence[int], cost: CoverCost
) -> Decomposition | None:
    """The cover of each large component, and the other components as they are."""
    blocks: list[Block] = []
    covered = False
    floor = MAIN * sum(areas)
    dense = relation.dense()
    for index in range(parts.count):
        inputs, outputs = np.flatnonzero(parts.inputs == index), np.flatnonzero(parts.outputs == index)
        own = Block(inputs, outputs)
        if areas[index] < floor:
            blocks.append(own)
            continue
        part = dense[np.ix_(inputs, outputs)]
        inside = Relation.of_rows(part.shape, [part])
        found = _atoms(inside, cost) if inside.density <= 1 - WORTH else None
        covered |= found is not None
        blocks += [own] if found is None else [Block(inputs[b.inputs], outputs[b.outputs]) for b in found.blocks]
    return Decomposition(relation.shape, tuple(blocks)) if covered else None


def _areas(parts: Components) -> list[int]:
    inputs, outputs = (
        np.bincount(labels[labels >= 0], minlength=parts.count) for labels in (parts.inputs, parts.outputs)
    )
    return [int(area) for area in inputs * outputs]


def _best_order(
    found: Supports, relation: Relation, cost: CoverCost, triangles: bool = True
) -> tuple[Labels, Labels | None]:
    """The order whose best runs cost least, and the layers that it may have."""

    def spent(places: Labels) -> float:
        union = np.bitwise_or.reduce(found.words[places], axis=0)
        return float(cost.of(int(np.bitwise_count(union).sum()), int(found.sizes[places].sum())))

    best, least = np.arange(len(found.members)), np.inf
    # Orders compete by what the best runs of theirs would cost. They are cut into at most 256 atoms first, since the
    # dynamic program is quadratic in these:
    #
    #     order   o3 o0 o4 | o1 o5 | o2 ...      atoms
    #     runs    └── one group ──┘ └─ next      union of inputs x outputs, the sum of which is least
    whole = cost.of(found.inputs, int(found.sizes.sum()))
    layered: list[Labels] = []
    for order, layer in orders(found, relation, WORTH, triangles=triangles):
        runs = _cut(found, order)
        words, sizes = _merged(found, order, runs)
        chosen, total = cheapest(words, sizes, cost)
        # Two orders with the same products differ in what has to be gathered for them.
        total += cost.read / 2 * _unlike(found, order, runs, chosen)
        score = total / whole
        if score > BETTER:  # too small to pay, whatever the order; it may be split all the same
            score = BETTER + _share(words, sizes, found.inputs)
        if score < least * BETTER:
            best, least = order, score
        layered += [] if layer is None else [layer]
    if len(found.members) <= FEW:
        groups = exactly(found, cost)
        fewest, _ = cheapest(found.words[best], found.sizes[best], cost)
        if sum(map(spent, groups)) < sum(spent(best[start:stop]) for start, stop in fewest):
            best = np.concatenate(groups)
    return best, next((layer for layer in layered if _is_triangle(found, best, layer)), None)


def _share(words: npt.NDArray[np.uint64], sizes: Labels, inputs: int) -> float:
    """The share of the entries that groups of about sixteen outputs leave, in order."""
    outputs = int(sizes.sum())
    runs = evenly(words, sizes, min(max(outputs // EACH, 2), len(sizes)))
    union = [int(np.bitwise_count(np.bitwise_or.reduce(words[a:b], axis=0)).sum()) for a, b in runs]
    own = [int(sizes[a:b].sum()) for a, b in runs]
    return float(np.dot(union, own)) / (inputs * outputs)


def _is_triangle(found: Supports, order: Labels, layer: Labels) -> bool:
    """Whether an order follows layers, and supports are as large as those of a triangle, which windows are not."""
    steps = np.diff(layer[order])
    filled = int(found.degrees @ found.sizes) / (found.inputs * int(found.sizes.sum()))
    return bool((steps >= 0).all() or (steps <= 0).all()) and filled > TRIANGLE


def _unlike(found: Supports, order: Labels, runs: Sequence[Run], chosen: Sequence[Run]) -> int:
    """How many features have to be moved: inputs where a group reads no window, outputs where they are not in order."""
    outputs = np.concatenate([found.members[place] for place in order])
    moved = 0 if (np.diff(outputs) == 1).all() else outputs.size
    dense = found.dense
    for start, stop in chosen:
        places = order[runs[start][0] : runs[stop - 1][1]]
        reads = np.flatnonzero(dense[places].any(axis=0))
        moved += 0 if reads[-1] - reads[0] + 1 == reads.size else reads.size
    return moved


def _cut(found: Supports, order: Labels) -> list[Run]:
    """At most `ATOMS` runs of an order: half of the cuts where neighbours have least in common, half evenly."""
    m = order.size
    if m <= ATOMS:
        return [(place, place + 1) for place in range(m)]
    words, degrees = found.words[order], found.degrees[order]
    common = np.bitwise_count(words[1:] & words[:-1]).sum(axis=1, dtype=np.int64)
    alike = common / (degrees[1:] + degrees[:-1] - common)
    cuts = np.zeros(m + 1, bool)
    cuts[[0, m]] = True
    cuts[np.argsort(alike, kind="stable")[: ATOMS // 2 - 1] + 1] = True
    cuts[np.linspace(0, m, ATOMS // 2 + 1).round().astype(np.int64)] = True
    at = np.flatnonzero(cuts).tolist()
    return list(pairwise(at))


def _merged(found: Supports, order: Labels, runs: Sequence[Run]) -> tuple[npt.NDArray[np.uint64], Labels]:
    """The inputs that each run reads, packed, and its number of outputs."""
    starts = [start for start, _ in runs]
    return np.bitwise_or.reduceat(found.words[order], starts, axis=0), np.add.reduceat(found.sizes[order], starts)


def _decomposition(
    shape: tuple[int, int], found: Supports, order: Labels, runs: Sequence[Run], layer: Labels | None
) -> Decomposition:
    blocks, spans = [], []
    for start, stop in runs:
        places = order[start:stop]
        inputs = columns_of(np.bitwise_or.reduce(found.words[places], axis=0), shape[0])
        blocks.append(Block(inputs, np.sort(np.concatenate([found.members[place] for place in places]))))
        if layer is not None:
            spans.append((int(layer[places].min()), int(layer[places].max())))
    return Decomposition(shape, tuple(blocks), tuple(spans))
