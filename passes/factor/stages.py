"""A matrix as a product of stages: block-diagonal factors, with permutations between them that cost next to nothing.

A stage takes the leading digit of the index of every feature, and makes of it the number of a group:

    features            (groups, ranks, a · places)
        │  one matrix (ranks · a, m) for each group and place, or one for all of them
        ▼
    (groups · m / ranks', ranks', places)             until no place is left

as the Fourier transform of Cooley and Tukey does, where `m / ranks'` groups are residues of frequencies, and the two
ranks are real and imaginary parts; of a Kronecker product every stage has one matrix alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.brief import brief

__all__ = ["Array", "Factors", "Stage", "StagePlace"]

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """One factor: weight (groups, places, ranks · radix, made), its first two extents 1 where one matrix is for all;
    ranks: how many numbers there are of each group and place behind it."""

    weight: Array
    radix: int
    ranks: int

    __repr__ = brief

    def apply(self, state: Array) -> Array:
        """(groups, ranks, places, rows) of what comes in to the same of what goes out."""
        groups, ranks, places, rows = state.shape
        left = places // self.radix
        read = state.reshape(groups, ranks, self.radix, left, rows).transpose(0, 3, 1, 2, 4)
        made = self.weight.swapaxes(2, 3) @ read.reshape(groups, left, ranks * self.radix, rows)
        parts = made.reshape(groups, left, -1, self.ranks, rows).transpose(0, 2, 3, 1, 4)
        return parts.reshape(-1, self.ranks, left, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlace:
    """What enters a stage: so many groups, ranks and places of one."""

    groups: int
    ranks: int
    places: int

    def behind(self, stage: Stage) -> StagePlace:
        """What leaves it."""
        made = stage.weight.shape[3] // stage.ranks
        return StagePlace(groups=self.groups * made, ranks=stage.ranks, places=self.places // stage.radix)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factors:
    """Stages whose product is a weight (K, N): taken: which input, (K,), each of the first stage's places is, None for
    their own order; scale: what each of them is multiplied with, None for nothing; order: which of the last stage's
    results, (N,), each output is."""

    stages: tuple[Stage, ...]
    order: npt.NDArray[np.int64]
    scale: Array | None = None
    taken: npt.NDArray[np.int64] | None = None

    __repr__ = brief

    @property
    def inputs(self) -> int:
        """K."""
        return int(np.prod([stage.radix for stage in self.stages]))

    @property
    def made(self) -> int:
        """How many results the last stage has, of which outputs are some or all."""
        return int(np.prod([stage.weight.shape[3] // stage.ranks for stage in self.stages]))

    def places(self) -> Iterator[tuple[Stage, StagePlace]]:
        """Each stage and what enters it."""
        place = StagePlace(groups=1, ranks=1, places=self.inputs)
        for stage in self.stages:
            yield stage, place
            place = place.behind(stage)

    @property
    def macs(self) -> int:
        """Multiply-adds of one row."""
        return sum(
            at.groups * (at.places // stage.radix) * stage.weight.shape[2] * stage.weight.shape[3]
            for stage, at in self.places()
        )

    @property
    def depth(self) -> int:
        """Roundings that one term goes through at most: terms of the sums of all stages, and products."""
        terms: int = sum(stage.weight.shape[2] for stage in self.stages)
        return terms + (self.scale is not None)

    @property
    def roundings(self) -> int:
        """The same with those of the factors themselves."""
        return self.depth + len(self.stages)

    def apply(self, features: Array) -> Array:
        """(K, rows) -> (N, rows)."""
        features = features if self.taken is None else features[self.taken]
        state = features if self.scale is None else features * self.scale[:, None]
        state = state.reshape(1, 1, *features.shape)
        for stage in self.stages:
            state = stage.apply(state)
        return state.reshape(-1, features.shape[1])[self.order]

    def product(self) -> Array:
        """The weight (K, N) that they make together."""
        return self.apply(np.eye(self.inputs)).T

    def magnitude(self) -> Array:
        """(N,): for each output the sum over all paths of the absolute products along them."""
        stages = [Stage(weight=abs(one.weight), radix=one.radix, ranks=one.ranks) for one in self.stages]
        scale = None if self.scale is None else abs(self.scale)
        return Factors(stages=tuple(stages), order=self.order, scale=scale).apply(np.ones((self.inputs, 1)))[:, 0]
