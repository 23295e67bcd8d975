"""Orders that were lost: inputs and outputs of a product of stages put so that the stages lie in digits again.

Input (a, b) reaches output (c, d) of a product of two stages by one path, first[b][a, c] · second[c][b, d]. So two rows
of one b have the same ratio in all columns of one c, and two columns of one c the same in all rows of one b; all other
ratios differ, as all of an ordinary weight do:

    rows i, j of one b          columns of class c       ratio of rows i and j, sorted
    . x . o x . o o     ──►     x x x  o o o  . . .      ───┐  one step a class, as long as it has columns
    . X . O X . O O                                         └───┐
                                                                └───

Ratios of pairs of a few rows in some of the columns tell that there may be such pairs, and reject ordinary weights;
those of one row and all others tell where one is. A pair of rows tells all classes of columns, a pair of columns of one
class all classes of rows. The members of a class are put in an order that is the same in all classes, where one matrix
is for all of them.
Products that are made of more stages are put in order from the first stage to the last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .known_orders import GOLDEN, SEED, RadixSplit, sampled_lines
from .stages import Array

__all__ = ["HiddenOrder", "hidden_order", "may_be_hidden"]

UNROUNDED = 5  # bits of a ratio, that entries which were rounded and changed by an ulp do not tell
NEAR = 2.0**-19  # of a ratio: how far those of one class are apart, whose entries were rounded and changed by an ulp
WINDOW = 32  # columns in which rows are compared with the first one
PAGE = 1024  # entries that lie in one page of a file
SOME_LINES = 16, 3  # of which pairs are compared: so many, or so many times the fourth root of all of them
SOME_ENTRIES = 64, 2  # in which they are: so many, or so many times the square root of all of them
REPEATED = 6  # ratios of two lines of one class that are as another one: of 64 or more many more are expected
FEWEST = 3  # ratios among these that are as one another, which chance leaves to rows of few different numbers
TRIED = 3  # rows that are taken for one of the first one's class
COMPARED = 8  # columns that are compared with one of their class
SMALLEST = 4  # places that may be put in order further

Indices: TypeAlias = npt.NDArray[np.int64]
_Order: TypeAlias = tuple[Indices, list[Indices], tuple[int, ...]]  # of rows, of each weight's columns, and strides


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HiddenOrder:
    """weight[rows][:, columns] is a product of stages in digits, the first of which are split so."""

    rows: Indices
    columns: Indices
    splits: tuple[RadixSplit, ...]


def may_be_hidden(weight: npt.NDArray[np.floating]) -> bool:
    """Whether a few entries of a weight (K, N) allow that it is such a product: some of the ratios of two of its rows
    are the same in several columns, or the other way round where columns are what lies together."""
    by_columns = weight.flags.f_contiguous and not weight.flags.c_contiguous
    lines, entries, one, other = _sampled(weight.shape, by_columns=by_columns)
    if min(len(lines), len(entries)) < SMALLEST:
        return False
    some = np.asarray((weight.T if by_columns else weight)[lines, entries], np.float32)
    with np.errstate(all="ignore"):
        ratios = some[one] / some[other]
    bits = np.sort(
        ratios.view(np.int32) >> UNROUNDED, axis=1
    )  # near ones fall apart now and then, others never together
    same = bits[:, 1:] == bits[:, :-1]
    # Of ordinary weights not even all pairs together repeat so many.
    return bool(np.count_nonzero(same) >= REPEATED and np.count_nonzero(same, axis=1).max() >= REPEATED)


@lru_cache(maxsize=64)
def _sampled(shape: tuple[int, int], *, by_columns: bool) -> tuple[Indices, Indices, Indices, Indices]:
    """The lines (count, 1) and their entries in which a shape is looked at, and the first and second line of each pair.

    Lines are those that have been read of known orders, and their neighbours: few pages of a file hold all entries.
    """
    known, length = sampled_lines(*shape)[by_columns], shape[by_columns]
    size = min(max(SOME_LINES[0], int(SOME_LINES[1] * length**0.25)), length)
    apart = [known[place * len(known) // size] for place in range(size)] if len(known) > size else known
    first = known[0] if known else 0
    others = (one for one in itertools.chain(range(first, length), range(first)) if one not in apart)
    nearby = list(itertools.islice(others, size - len(apart)))
    across = shape[not by_columns]
    count = min(max(SOME_ENTRIES[0], int(SOME_ENTRIES[1] * across**0.5)), across)
    entries = np.argsort(np.arange(min(across, PAGE)) * GOLDEN % 1)[:count]  # spread over the page
    lines = np.array(sorted([*apart, *nearby]))
    return lines[:, None], np.sort(entries), *np.triu_indices(lines.size, 1)


def hidden_order(weight: npt.NDArray[np.floating]) -> HiddenOrder | None:
    """The order in which a weight (K, N) is a product of stages, as far as ratios tell; None where they tell nothing.

    Whether it is one has to be proved.
    """
    if (found := _of_all([weight])) is None:
        return None
    rows, (columns,), strides = found
    splits = tuple(RadixSplit(rank=1, stride=stride, step=1) for stride in strides)
    return HiddenOrder(rows=rows, columns=columns, splits=splits)


def _of_all(weights: Sequence[npt.NDArray[np.floating]]) -> _Order | None:
    """The order of the rows that several weights share, and of the columns of each."""
    for row in _alike(weights[0]):
        if (found := _from_pair([weight.astype(np.float64) for weight in weights], row)) is not None:
            return found
    return None


def _alike(weight: npt.NDArray[np.floating]) -> Iterator[int]:
    """Rows that have the same ratio to the first one in some of a few columns, the likeliest first."""
    some = np.ascontiguousarray(weight[:, :WINDOW])
    if min(some.shape) < SMALLEST or not some[0].all():
        return
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.sort(some[1:] / some[0], axis=1)
        near = ratios[:, 1:] - ratios[:, :-1] <= NEAR * abs(ratios[:, 1:])
    if np.count_nonzero(near) < FEWEST:  # as nearly always
        return
    counts = np.count_nonzero(near, axis=1)
    likely = np.flatnonzero((counts >= FEWEST) & (ratios[:, 0] != ratios[:, -1]))
    yield from (1 + likely[np.argsort(-counts[likely], kind="stable")][:TRIED]).tolist()


def _from_pair(weights: Sequence[Array], row: int) -> _Order | None:
    """The order that follows where a row is of the class of the first one."""
    first = weights[0]
    of_each = [_steps(weight[row], weight[0]) for weight in weights]
    groups = [one for one in of_each if one is not None and min(map(len, one)) > 1]
    if len(groups) < len(weights):
        return None
    if (classes := _row_classes(first, max(groups[0], key=len))) is None:
        return None
    places = _like_one_another(np.stack(classes), first[:, [one[0] for one in groups[0]]].T)  # (places, radix)
    lasting = [weight[places[:, 0]] for weight in weights]
    aligned = [
        [_like_one_another(one[None], rows)[0] for one in own] for own, rows in zip(groups, lasting, strict=True)
    ]
    left = [rows[:, one] for own, rows in zip(aligned, lasting, strict=True) for one in own]
    inner = _of_all(left) if min(map(min, (one.shape for one in left))) >= SMALLEST else None
    rows, columns, strides = inner or (np.arange(len(places)), [np.arange(one.shape[1]) for one in left], ())
    orders = iter(columns)
    whole = [np.concatenate([one[next(orders)] for one in own]) for own in aligned]
    return places[rows].T.ravel(), whole, (len(places), *strides)


def _row_classes(weight: Array, columns: Indices) -> list[Indices] | None:
    """Classes of rows of one size, by pairs of some columns of one class; None where there are none.

    Two columns that further stages keep together tell fewer classes than others: the most are those of the first stage.
    """
    pairs = (_steps(weight[:, columns[0]], weight[:, other]) for other in columns[1 : 1 + COMPARED])
    even = [one for one in pairs if one is not None and len(set(map(len, one))) == 1 and len(one[0]) > 1]
    return max(even, key=len, default=None)


def _steps(above: Array, below: Array) -> list[Indices] | None:
    """Places of each ratio of two vectors; None where there is but one, or some are no numbers."""
    if not (above.all() and below.all()):
        return None
    ratios = above / below
    order = np.argsort(ratios, kind="stable")
    ends = np.flatnonzero(np.diff(ratios[order]) > NEAR * abs(ratios[order][1:])) + 1
    return [np.sort(one) for one in np.split(order, ends)] if ends.size else None


def _like_one_another(classes: Indices, vectors: Array) -> Indices:
    """The members of classes (count, size) in one order, which products of what is a member's and what is the class's
    have in common: that of sums of their logarithms in some vectors, by factors that are drawn."""
    factors = np.random.default_rng(SEED).standard_normal(len(vectors))
    keys = factors @ np.log(np.maximum(abs(vectors), np.finfo(np.float64).tiny))
    return np.take_along_axis(classes, np.argsort(keys[classes], axis=1, kind="stable"), axis=1)
