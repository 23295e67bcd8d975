"""Samples for training: what is trained on and what is held back, as tensors, with labels and what a teacher says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..calibrate.dataset import Labelled
from ..upgrade.interpreter.tensors import tensor_of
from .options import RetrainError

__all__ = ["MOST", "Piece", "Pieces", "Samples", "outputs_of"]

Array = npt.NDArray[Any]
MOST = 4 << 30  # bytes of what a teacher says that are kept


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some samples: inputs by name, labels where there are any, and outputs of the teacher."""

    inputs: dict[str, Tensor]
    labels: Tensor | None
    told: tuple[Tensor, ...]
    size: int


class Pieces(Protocol):
    """Samples that come in batches, alike each time."""

    @property
    def rounds(self) -> int:
        """Batches of an epoch."""

    def batches(self, epoch: int | None, seed: int) -> Iterator[Piece]:
        """Every sample once, in an order that depends on the epoch and the seed alone; None: as they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """All samples of one part of the data. told: the teacher's outputs, each with a row a sample."""

    data: Labelled
    told: tuple[Array, ...]

    def batches(self, epoch: int | None, seed: int) -> Iterator[Piece]:
        """Every sample once, in an order that depends on the epoch and the seed alone; None: as they are. A batch that
        would not be whole is left out, where there is a whole one, or the model fixes how many samples it takes."""
        count, batch = self.data.samples, self.data.batch
        order = np.arange(count) if epoch is None else np.random.default_rng((seed, epoch)).permutation(count)
        for start in range(0, count, batch):
            own = order[start : start + batch]
            ragged = own.size < batch and (self.data.exact or (epoch is not None and count >= batch))
            if not ragged:
                yield self.piece(own)

    @property
    def rounds(self) -> int:
        """Batches of an epoch."""
        return max(self.data.samples // self.data.batch, 1)

    def piece(self, own: npt.NDArray[np.int64]) -> Piece:
        """The samples at these places."""
        inputs = {name: tensor_of(array[own]) for name, array in self.data.arrays.items()}
        shared = {name: tensor_of(array) for name, array in self.data.shared.items()}
        labels = None if self.data.targets is None else torch.from_numpy(np.array(self.data.targets[own]))
        return Piece(inputs | shared, labels, tuple(tensor_of(array[own]) for array in self.told), own.size)


def outputs_of(run: Callable[[Mapping[str, Array]], Mapping[str, Array]], data: Labelled) -> dict[str, Array]:
    """What a model says of all samples, by name.

    run: takes a feed and gives what is wanted of it. Raises RetrainError where something has not a row for each sample,
    or all of it is too much to keep.
    """
    parts: dict[str, list[Array]] = {}
    size = 0
    for start, feed in zip(range(0, data.samples, data.batch), data.feeds, strict=True):
        rows = min(data.batch, data.samples - start)
        for name, value in run(feed).items():
            if not value.ndim or value.shape[0] != rows:
                raise RetrainError(
                    f"output {name!r} has shape {value.shape} for {rows} samples, so that nothing tells which part "
                    "of it belongs to which; train on a model whose outputs have a row for each sample"
                )
            parts.setdefault(name, []).append(value)
            size += value.nbytes
        if size > MOST:
            raise RetrainError(f"the teacher says more than {MOST >> 30} GiB of these samples; give fewer of them")
    return {name: np.concatenate(own) for name, own in parts.items()}
