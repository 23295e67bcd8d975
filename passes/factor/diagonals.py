"""Stages as block-diagonal matrices with permutations between them, which is what a product of stages is.

x (K)  ──►  permuted  ──►  diag(blocks)  ──►  permuted  ──►  diag(blocks)  ──►  …  ──►  picked  ──►  y (N)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.brief import brief
from .stages import Array, Factors, Stage, StagePlace

__all__ = ["BlockDiagonal", "Butterfly", "butterfly"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockDiagonal:
    """taken: which result of what stands before it, or which input, each of its rows is; count: of its blocks; weight:
    (groups or 1, places or 1, rows, columns), one for all groups or places where an extent is 1."""

    taken: npt.NDArray[np.int64]
    count: int
    weight: Array

    __repr__ = brief

    @property
    def shape(self) -> tuple[int, int]:
        """Of one block."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def moves(self) -> bool:
        """Whether what it reads is in another order than it comes in."""
        return not np.array_equal(self.taken, np.arange(self.taken.size))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Butterfly:
    """The factors of a weight in the order in which they are applied; picked: which result of the last one each output
    is."""

    diagonals: tuple[BlockDiagonal, ...]
    picked: npt.NDArray[np.int64]
    macs: int

    __repr__ = brief

    @property
    def moves(self) -> bool:
        """Whether outputs are in another order than they are made in, or not all of these."""
        last = self.diagonals[-1]
        return not np.array_equal(self.picked, np.arange(last.count * last.shape[1]))


def butterfly(factors: Factors) -> Butterfly:
    """The block-diagonal matrices and the permutations of factors, whose inputs are scaled before where they are."""
    made = (
        np.arange(factors.inputs) if factors.taken is None else factors.taken
    )  # the place of each number that is there
    found = []
    for stage, at in factors.places():
        reads, makes = _reads(stage, at), _makes(stage, at)
        count = at.groups * (at.places // stage.radix)
        found.append(BlockDiagonal(taken=made[reads], count=count, weight=stage.weight))
        made = np.argsort(makes)
    return Butterfly(diagonals=tuple(found), picked=made[factors.order], macs=factors.macs)


def _reads(stage: Stage, at: StagePlace) -> npt.NDArray[np.int64]:
    """Which number before a stage each row of its blocks is, block by block."""
    numbers = np.arange(at.groups * at.ranks * at.places).reshape(at.groups, at.ranks, stage.radix, -1)
    return numbers.transpose(0, 3, 1, 2).ravel()


def _makes(stage: Stage, at: StagePlace) -> npt.NDArray[np.int64]:
    """Which number behind a stage each column of its blocks is, block by block."""
    left, made = at.places // stage.radix, stage.weight.shape[3]
    numbers = np.arange(at.groups * left * made).reshape(at.groups, made, left)
    return numbers.transpose(0, 2, 1).ravel()
