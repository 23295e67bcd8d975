"""Feeds of any sizes as what is trained on, with what a teacher says of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ...retrain.samples import MOST, Piece
from ...retrain.teacher import Teacher
from ...upgrade.interpreter.tensors import tensor_of

__all__ = ["Feeds", "parted"]

Array = npt.NDArray[Any]

SIZED = 64  # feeds that tell how large something is


@dataclass(eq=False)
class Feeds:
    """Each feed is a step of its own. told: what the teacher says of feeds, kept for the first that fit into `most`
    bytes, and asked for again each time beyond."""

    feeds: Sequence[Mapping[str, Array]]
    teacher: Teacher
    most: int = MOST
    _kept: dict[int, tuple[Tensor, ...]] = field(default_factory=dict, init=False)
    _size: int = field(default=0, init=False)

    @property
    def rounds(self) -> int:
        """Feeds, which are the pieces of an epoch."""
        return len(self.feeds)

    def batches(self, epoch: int | None, seed: int) -> Iterator[Piece]:
        """Every feed once, in an order that depends on the epoch and the seed alone; None: as they are."""
        count = len(self.feeds)
        order = np.arange(count) if epoch is None else np.random.default_rng((seed, epoch)).permutation(count)
        for place in order.tolist():
            feed = self.feeds[place]
            told = self._told(place)
            yield Piece({name: tensor_of(np.asarray(array)) for name, array in feed.items()}, None, told, rows_of(feed))

    def sizes(self) -> tuple[float, ...]:
        """The mean square of each thing that the teacher says, over some feeds."""
        sums = np.zeros(len(self.teacher.names))
        count = np.zeros(len(self.teacher.names))
        for piece in islice(self.batches(0, 0), SIZED):
            sums += [float(one.double().square().sum()) for one in piece.told]
            count += [one.numel() for one in piece.told]
        return tuple((sums / np.maximum(count, 1)).tolist())

    def _told(self, place: int) -> tuple[Tensor, ...]:
        if place in self._kept:
            return self._kept[place]
        found = tuple(tensor_of(array) for array in self.teacher(self.feeds[place]).values())
        size = sum(one.nbytes for one in found)
        if self._size + size <= self.most:
            self._kept[place] = found
            self._size += size
        return found


def rows_of(feed: Mapping[str, Array]) -> int:
    """Samples of a feed: rows of its largest input."""
    largest = max(feed.values(), key=np.size)
    return int(largest.shape[0]) if largest.ndim else 1


def parted(
    feeds: Sequence[Mapping[str, Array]], held_back: float, seed: int
) -> tuple[list[Mapping[str, Array]], list[Mapping[str, Array]]]:
    """(To train on, held back): so large a share of the feeds drawn at random, one at the least in each part.

    >>> x = [{"x": np.zeros((1, 2))}] * 10
    >>> [len(part) for part in parted(x, 0.2, 0)]
    [8, 2]
    """
    order = np.random.default_rng(seed).permutation(len(feeds))
    behind = min(max(round(held_back * len(feeds)), 1), len(feeds) - 1)
    return [feeds[place] for place in sorted(order[behind:])], [feeds[place] for place in sorted(order[:behind])]
