"""A weight taken apart into stages, in float64: where it can be split is sampled, everything else follows from it.

weight (ranks, places, N)  ── a split ──►  slices (places', ranks · a, N)  ── classes ──►  planes of each class
                                                                                               │
the next stages  ◄── of one matrix, where all classes have the same  ◄── what is left (ranks' · places', n)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .classes import ColumnClass, classes
from .hidden_orders import HiddenOrder, hidden_order
from .known_orders import SEED, RadixSplit, splits
from .stages import Array, Factors, Stage

__all__ = ["factorise", "follow"]

SAME = 1e-11  # of the largest eigenvalue of a Gram matrix: what float32 leaves of one that should be zero, and some
ALIKE = 4e-6  # of the largest entry: matrices that differ by less are one
LEAST = 16  # places that are worth splitting
TRIED = 4  # splits of one weight whose factors are made, the most even ones, of those that go on and of others
MOST_CUTS = 64  # of the splits of one weight that are looked at; in one that is the same everywhere all are allowed
RADIX = (8, 32)  # within which the radix of a stage is best, where the weight is large or small enough
SAMPLED = 6  # slices that decide which columns belong together


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a weight is split, so that the same factors follow from it again: splits: one a stage but the last;
    scaled: whether inputs are scaled first, such as by the window of a transform; hidden: whether inputs and outputs
    are put in order first."""

    splits: tuple[RadixSplit, ...]
    scaled: bool = False
    hidden: bool = False


def factorise(weight: npt.NDArray[np.floating], seconds: Callable[[Factors], float]) -> tuple[Recipe, Factors] | None:
    """The factors of a weight (K, N) of float32 that take least, and how it is split; None where nothing is found.

    seconds: what factors are predicted to take.
    """
    if weight.shape[0] < LEAST:
        return None
    return _known(weight, seconds) or _hidden(weight, seconds)


def _known(weight: npt.NDArray[np.floating], seconds: Callable[[Factors], float]) -> tuple[Recipe, Factors] | None:
    """The factors of a weight whose inputs and outputs lie in a known order."""
    if not (first := splits(weight)):
        return None
    whole = weight.astype(np.float64)
    found: list[tuple[Recipe, Factors]] = []
    for scaled in (False, True):
        rows, scale = _rows_scaled(whole) if scaled else (whole, None)
        if scaled and (scale is None or any(_shares(factors) for _, factors in found)):
            break
        found += [
            (Recipe(splits=way, scaled=scaled), replace(factors, scale=scale))
            for way, factors in _ways(rows[None], first, seconds)
        ]
    return min(found, key=lambda one: seconds(one[1]), default=None)


def follow(weight: npt.NDArray[np.floating], recipe: Recipe) -> Factors | None:
    """The factors of a weight that is split so; None where it cannot be."""
    if recipe.hidden:
        order = hidden_order(weight)
        return None if order is None else _ordered(weight, order, recipe.splits)
    whole = weight.astype(np.float64)
    rows, scale = _rows_scaled(whole) if recipe.scaled else (whole, None)
    found = _followed(rows[None], recipe.splits)
    return None if found is None else replace(found, scale=scale)


def _hidden(weight: npt.NDArray[np.floating], seconds: Callable[[Factors], float]) -> tuple[Recipe, Factors] | None:
    """The factors of a weight whose inputs and outputs have to be put in order first, by as many stages as pay."""
    if (order := hidden_order(weight)) is None:
        return None
    ways = (order.splits[: place + 1] for place in range(len(order.splits)))
    found = [
        (Recipe(splits=way, hidden=True), factors)
        for way in ways
        if (factors := _ordered(weight, order, way)) is not None
    ]
    return min(found, key=lambda one: seconds(one[1]), default=None)


def _ordered(weight: npt.NDArray[np.floating], order: HiddenOrder, way: Sequence[RadixSplit]) -> Factors | None:
    found = _followed(weight[order.rows][:, order.columns].astype(np.float64)[None], way)
    if found is None:
        return None
    outputs = np.empty_like(found.order)
    outputs[order.columns] = found.order
    return replace(found, order=outputs, taken=order.rows)


def _shares(factors: Factors) -> bool:
    """Whether all places of the first stage have one matrix."""
    return bool(factors.stages[0].weight.shape[1] == 1)


def _rows_scaled(weight: Array) -> tuple[Array, Array | None]:
    """The weight with rows of one length, and the lengths that they had; None where they have one already."""
    lengths = np.linalg.norm(weight, axis=1)
    largest = lengths.max(initial=0.0)
    if not largest or lengths.min() > (1 - ALIKE) * largest:
        return weight, None
    scale = lengths / largest
    return np.divide(weight, scale[:, None], out=np.zeros_like(weight), where=scale[:, None] > 0), scale


def _ways(
    weight: Array, options: Sequence[RadixSplit], seconds: Callable[[Factors], float]
) -> Iterator[tuple[tuple[RadixSplit, ...], Factors]]:
    """Factors of (ranks, places, N) by each of some splits, what is left of it split further where that pays."""
    even = weight.shape[1] / np.clip(np.sqrt(weight.shape[1]), *RADIX)
    tried: set[int] = set()
    alike = others = 0
    likely = sorted(options, key=lambda one: (one.rank, abs(np.log(one.stride / even)), one.step))
    for split in likely[:MOST_CUTS]:
        if TRIED in (alike, others):
            return
        if split.stride in tried or (cut := _cut(weight, split)) is None:
            continue
        tried.add(split.stride)
        yield (split,), _closed(cut)
        like = cut.rest.shape[0] == 1  # all groups go on in the same way
        alike, others = alike + like, others + (not like)
        if cut.rest.shape[2] < LEAST:
            continue
        first = cut.rest[0][:, :, : cut.groups[0].columns.size]
        again = splits(first.reshape(-1, first.shape[2]), first.shape[0])
        further = list(_ways(first, again, seconds))
        if further:
            way, inner = min(further, key=lambda one: seconds(one[1]))
            whole = _nested(cut, inner) if like else _of_groups(cut, way)
            if whole is not None:
                yield (split, *way), whole


def _followed(weight: Array, chosen: Sequence[RadixSplit]) -> Factors | None:
    cut = _cut(weight, chosen[0], weight.shape[2]) if chosen else None
    if cut is None or len(chosen) == 1:
        return None if cut is None else _closed(cut)
    if cut.rest.shape[0] == 1:
        inner = _followed(cut.rest[0], chosen[1:])
        return None if inner is None else _nested(cut, inner)
    return _of_groups(cut, chosen[1:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cut:
    """A first stage, and what is left: rest: (groups or 1, ranks, places, columns), zeros behind the columns of small
    groups; groups: their columns."""

    stage: Stage
    rest: Array
    groups: tuple[ColumnClass, ...]

    def order(self, inner: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
        """Which result each column is, where those of a group are `size`, in the order `inner`."""
        order = np.zeros(sum(one.columns.size for one in self.groups), np.int64)
        for place, one in enumerate(self.groups):
            order[one.columns] = place * size + inner[: one.columns.size]
        return order


def _closed(cut: _Cut) -> Factors:
    """What is left as the last stage."""
    groups, ranks, places, columns = cut.rest.shape
    last = Stage(weight=cut.rest.reshape(groups, 1, ranks * places, columns), radix=places, ranks=1)
    return Factors(stages=(cut.stage, last), order=cut.order(np.arange(columns), columns))


def _nested(cut: _Cut, inner: Factors) -> Factors:
    """What is left, the same for all groups, as further stages."""
    count = len(cut.groups)
    size = 1
    for stage in inner.stages:
        size *= stage.weight.shape[3] // stage.ranks
    stages = (
        replace(stage, weight=np.tile(stage.weight, (count, 1, 1, 1))) if stage.weight.shape[0] > 1 else stage
        for stage in inner.stages
    )
    return Factors(stages=(cut.stage, *stages), order=cut.order(inner.order, size))


def _of_groups(cut: _Cut, chosen: Sequence[RadixSplit]) -> Factors | None:
    """What is left of each group as further stages of its own; None where these are not of one shape."""
    inners: list[Factors] = []
    for rest, one in zip(cut.rest, cut.groups, strict=True):
        inner = _followed(rest[:, :, : one.columns.size], chosen)
        if inner is None or (inners and _shapes(inner) != _shapes(inners[0])):
            return None
        inners.append(inner)
    stages = []
    for same in zip(*(inner.places() for inner in inners), strict=True):
        own = max(stage.weight.shape[1] for stage, _ in same)
        weights = [np.broadcast_to(one.weight, (at.groups, own, *one.weight.shape[2:])) for one, at in same]
        stages.append(replace(same[0][0], weight=np.concatenate(weights)))
    order = np.empty(sum(one.columns.size for one in cut.groups), np.int64)
    for place, (one, inner) in enumerate(zip(cut.groups, inners, strict=True)):
        order[one.columns] = place * inner.made + inner.order
    return Factors(stages=(cut.stage, *stages), order=order)


def _shapes(factors: Factors) -> list[tuple[int, ...]]:
    return [(one.radix, one.ranks, *one.weight.shape[2:]) for one in factors.stages]


def _cut(weight: Array, split: RadixSplit, most: int | None = None) -> _Cut | None:
    """The first stage of (ranks, places, N) by a split, None where slices do not have few classes; most: of these."""
    ranks, places, columns = weight.shape
    stride = split.stride
    radix = places // stride
    if places % stride or radix < 2:
        return None
    apart = weight.reshape(ranks, radix, stride, columns).transpose(2, 0, 1, 3)
    picked = np.sort(np.random.default_rng(SEED).permutation(stride)[:SAMPLED])
    groups = classes(apart[picked].reshape(len(picked), ranks * radix, columns), split.step, most)
    if len(groups) < 2:
        return None
    slices = apart.reshape(stride, ranks * radix, columns)
    rank = max(one.rank for one in groups)
    parts = [_plane(slices[:, :, one.columns], one.rank) for one in groups]
    shared = all(len(basis) == 1 for basis, _ in parts)
    if not shared:
        parts = [_planes(slices[:, :, one.columns], one.rank) for one in groups]
    stage = np.zeros((parts[0][0].shape[0], ranks * radix, len(groups), rank))
    rest = np.zeros((len(groups), rank, stride, max(one.columns.size for one in groups)))
    for place, (one, (basis, found)) in enumerate(zip(groups, parts, strict=True)):
        stage[:, :, place, : one.rank] = basis
        rest[place, : one.rank, :, : one.columns.size] = found.transpose(1, 0, 2)
    stage, rest = _of_one(stage, rest, groups)
    made = stage.reshape(1, *stage.shape[:2], -1)
    return _Cut(stage=Stage(weight=made, radix=radix, ranks=rank), rest=rest, groups=groups)


def _plane(slices: Array, rank: int) -> tuple[Array, Array]:
    """The plane (1, rows, rank) that columns of all slices (places, rows, n) lie in, and where, (places, rank, n).

    Nothing, (0, rows, rank), where they do not lie in one. Rows of zeros, as of inputs that a window leaves out, fit
    every plane.
    """
    live = abs(slices).max(axis=2) > 0
    whole = live.all(axis=1)
    if not whole.any():
        return np.empty((0, slices.shape[1], rank)), np.empty(0)
    values, vectors = np.linalg.eigh(np.einsum("pan,pbn->ab", slices[whole], slices[whole], optimize=True))
    if slices.shape[1] > rank and values[-rank - 1] > SAME * values[-1]:
        return np.empty((0, slices.shape[1], rank)), np.empty(0)
    basis = vectors[:, ::-1][:, :rank]
    inside = np.einsum("ar,pan->prn", basis, slices, optimize=True)
    for place in np.flatnonzero(~whole):
        inside[place] = np.linalg.pinv(basis[live[place]]) @ slices[place][live[place]]
    return basis[None], inside


def _planes(slices: Array, rank: int) -> tuple[Array, Array]:
    """The same with a plane for each slice: (places, rows, rank)."""
    bases = np.linalg.svd(slices, full_matrices=False)[0][:, :, :rank]
    if bases.shape[2] < rank:
        bases = np.pad(bases, ((0, 0), (0, 0), (0, rank - bases.shape[2])))
    return bases, bases.swapaxes(1, 2) @ slices


def _of_one(stage: Array, rest: Array, groups: Sequence[ColumnClass]) -> tuple[Array, Array]:
    """What is left of all groups as one matrix, where they are multiples of it, with the factors in the stage."""
    if stage.shape[3] > 1 or len({one.columns.size for one in groups}) > 1:
        return stage, rest
    first = rest[0]
    times = np.einsum("grpn,rpn->g", rest, first) / (first**2).sum()
    if abs(rest - times[:, None, None, None] * first).max() > ALIKE * abs(rest).max():
        return stage, rest
    return stage * times[:, None], rest[:1]
