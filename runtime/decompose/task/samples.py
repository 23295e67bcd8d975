"""Samples of a model's inputs as feeds, and three sets of them: to fit on, to choose by, and to judge once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.plural import counted
from ...calibrate.dataset import Labelled, split
from ...calibrate.sources.columns import LabelledError

__all__ = ["SampleSets", "Samples", "divided", "samples_of"]

Array = npt.NDArray[Any]

LEAST = 3  # one for each set
FIT, CHOOSE = 0.6, 0.5  # shares: of all samples to fit on, of the rest to choose by


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Feeds of a model, each with the labels of its samples where there are any; feeds may be of different sizes.

    Raises LabelledError where there is none, or labels of some of them alone.
    """

    feeds: Sequence[Mapping[str, Array]]
    labels: Sequence[Array] | None = None

    def __post_init__(self) -> None:
        if not self.feeds:
            raise LabelledError("there are no samples; give at least one feed")
        if self.labels is not None and len(self.labels) != len(self.feeds):
            raise LabelledError(f"{len(self.labels)} arrays of labels for {len(self.feeds)} feeds; give one for each")

    @property
    def count(self) -> int:
        """How many samples there are: rows of the largest input of each feed."""
        sizes = (max(feed.values(), key=np.size) for feed in self.feeds)
        return sum(array.shape[0] if array.ndim else 1 for array in sizes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleSets:
    """Sets that share no sample: what methods fit to, what candidates are chosen by, and what judges the one that was
    chosen, once, which no method ever sees. training: what candidates are trained on, calibration where it is None."""

    calibration: Samples
    selection: Samples
    judgement: Samples
    training: Samples | None = None


def samples_of(labelled: Labelled) -> Samples:
    """Labelled samples, batch by batch."""
    return Samples(feeds=labelled.feeds, labels=labelled.labels)


def divided(labelled: Labelled, seed: int = 0) -> SampleSets:
    """A random partition into three: 60 % to fit on, 20 % to choose by, 20 % to judge by; one seed makes one partition.

    Each set has one sample at the least. Raises LabelledError where there are fewer than three samples, or batches
    where the model fixes their size.
    """
    unit = labelled.batch if labelled.exact else 1
    units = labelled.samples // unit
    if units < LEAST:
        each = f" in batches of {unit}, which the model fixes" if unit > 1 else ""
        held = counted(labelled.samples, "sample")
        raise LabelledError(f"{held}{each}: give {LEAST * unit} or more, to fit to, to choose by and to judge by")
    fit, rest = split(labelled, min(FIT, (units - 2) / units), seed)
    choose, judge = split(rest, CHOOSE, seed)
    return SampleSets(calibration=samples_of(fit), selection=samples_of(choose), judgement=samples_of(judge))
