"""Where to look for factors: strides of rows and steps of columns at which a few sampled entries have a low rank.

Of an ordinary dense weight no more is read than nine entries for each pair of a stride and a step:

    rows     k, k + stride, k + 2·stride, ...          9 entries of rank 2 or less, as those of a product of stages
    columns  n, n + step,   n + 2·step,   ...          have, where a random matrix has rank 3

Where their determinant is zero, samples of sixteen entries decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .classes import TOLERANCE
from .stages import Array

__all__ = ["SEED", "RadixSplit", "option_count", "sampled_lines", "splits"]

SIDE = 4  # rows and columns of a sample
SAMPLES = 6  # places where one is taken, of what has a low rank in the first columns
SEED = 19  # of what is drawn: a search finds the same whenever it is made
GOLDEN = 0.6180339887498949  # of whatever: a place that is like no other; nothing is drawn where weights are ordinary
SLACK = 4  # times the tolerance of a class, for what elimination adds


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class RadixSplit:
    """rank: of sampled entries, 1 or 2; stride: of the rows of a slice, which are as many places; step: between columns
    of one class."""

    rank: int = 2
    stride: int
    step: int


def splits(weight: npt.NDArray[np.floating], ranks: int = 1) -> list[RadixSplit]:
    """The splits of a weight (ranks · places, N) that some sampled entries allow, those of rank 1 first."""
    places = weight.shape[0] // ranks
    options = _of_low_rank(weight[:places])
    if not options.size:
        return []
    rng = np.random.default_rng(SEED)
    # Classes of columns that follow one another begin with the first column; a sample elsewhere may lie across two.
    options = options[_ranks(weight[:places], options, np.zeros_like(options[:, 0]), rng) <= 2]
    counts = np.zeros((4, len(options)), np.int64)  # how often each had each rank
    for place in range(SAMPLES if options.size else 0):
        first = rng.random(len(options))
        own = _ranks(weight[:places], options, first, rng, apart=SIDE if place % 2 else 1)
        counts[own, np.arange(len(options))] += 1
    return sorted(
        RadixSplit(rank=1 if lines >= planes else 2, stride=stride, step=step)
        for (stride, step), lines, planes in zip(options.tolist(), *counts[1:3].tolist(), strict=True)
        if lines + planes
    )


def _of_low_rank(weight: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """The options of which nine entries have the determinant zero: of an ordinary weight none, and no more is read."""
    options, rows, columns = _corners(*weight.shape)
    if not options.size:
        return options
    a, b, c = entries = weight[rows, columns].astype(np.float64)
    crossed = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
    crossed += a[2] * (b[0] * c[1] - b[1] * c[0])
    crossed, entries = abs(crossed), abs(entries)
    if crossed.min() > SLACK * TOLERANCE * entries.max() ** 3:  # as nearly always
        return options[:0]
    fits: npt.NDArray[np.bool_] = crossed <= SLACK * TOLERANCE * entries.max(axis=(0, 1)) ** 3
    return np.asarray(options[fits], np.int64)


@lru_cache(maxsize=64)
def _corners(places: int, columns: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The options of a shape, and of each the rows (3, 1, options) and the columns (1, 3, options) of nine entries."""
    options = _options(places, columns)
    stride, step = options.T
    first = int(places // 2 * GOLDEN)  # one row for all of them: few pages of a file
    three = np.arange(3)[:, None]
    return options, (first + stride * three)[:, None], (step * three)[None]


def option_count(places: int, columns: int) -> int:
    """How many pairs of a stride and a step are looked at in a weight of so many rows and columns."""
    return len(_corners(places, columns)[0])


def sampled_lines(places: int, columns: int) -> tuple[list[int], list[int]]:
    """The rows and the columns that are read of every weight (places, columns), sorted."""
    _, of_rows, of_columns = _corners(places, columns)
    return sorted(set(of_rows.ravel().tolist())), sorted(set(of_columns.ravel().tolist()))


def _options(places: int, columns: int) -> npt.NDArray[np.int64]:
    """All (stride, step) in known orders: of digits, and of frequencies of transforms of likely lengths."""
    strides = [one for one in divisors(places) if one > 1 and places // one >= SIDE]
    digits = {one for one in divisors(columns) if (SIDE - 1) * one < columns}
    power = 1 << (places - 1).bit_length()
    lengths = {times * size for times in (1, 2) for size in (places, columns, columns - 2, 2 * columns - 2, power)}
    found = set()
    for stride in strides:
        of_lengths = {times * length // stride for length in lengths for times in (1, 2) if length % stride == 0}
        found |= {(stride, step) for step in digits | of_lengths if 0 < (SIDE - 1) * step < columns}
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def divisors(number: int) -> list[int]:
    """All of them, in order.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [one for one in range(1, int(number**0.5) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})


def _ranks(
    weight: npt.NDArray[np.floating],
    options: npt.NDArray[np.int64],
    first: npt.NDArray[np.floating],
    rng: np.random.Generator,
    apart: int = 1,
) -> npt.NDArray[np.int64]:
    """The rank that each option has in rows that are drawn, 3 for more than two, and where all entries are zero.

    first: of the columns, 0 to 1 of where they may begin; apart: of how many steps that is a multiple.
    """
    stride, step = options[:, :1], options[:, 1:]
    left = weight.shape[1] - (SIDE - 1) * step
    # Halves of real and of imaginary parts lie behind one another: a sample stays in the first.
    half = np.where((SIDE - 1) * step < weight.shape[1] // 2, weight.shape[1] // 2 - (SIDE - 1) * step, left)
    begin = (first[:, None] * half).astype(np.int64)
    begin -= np.where(2 * apart * step <= half, begin % (apart * step), 0) if apart > 1 else 0
    rows = (rng.random(stride.shape) * stride).astype(np.int64) + stride * np.arange(SIDE)
    sample = weight[rows[:, :, None], (begin + step * np.arange(SIDE))[:, None, :]].astype(np.float64)
    least = SLACK * TOLERANCE * abs(sample).max(axis=(1, 2))
    once = _eliminated(sample)
    twice = _eliminated(once)
    over = [(abs(one).max(axis=(1, 2)) > least).astype(np.int64) for one in (once, twice)]
    return np.where(least > 0, 1 + over[0] + over[1], 3)


def _eliminated(sample: Array) -> Array:
    """Each matrix of a stack (count, rows, columns) without the cross of its largest entry."""
    count, _, columns = sample.shape
    every = np.arange(count)
    row, column = np.divmod(abs(sample).reshape(count, -1).argmax(axis=1), columns)
    pivot = sample[every, row, column]
    scaled = sample[every, row] / np.where(pivot == 0, 1, pivot)[:, None]
    return np.asarray(sample - sample[every, :, column][:, :, None] * scaled[:, None, :])
