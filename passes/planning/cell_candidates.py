"""Every way in which the directions of one recurrent operator may be lowered: groups of the blocks of their states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...ir.graph.recurrent import Recurrent
from ...ir.plan.grain import Grain
from ...ir.plan.plan import Decomposition
from ..decompose.blocks import halves
from ..decompose.recurrent import group_units, unit_groups
from ..lowering.protocol import worst_gain
from ..lowering.recurrent.cost import Run
from ..lowering.recurrent.lowering import CELLS
from ..lowering.target import Target

__all__ = ["CellCandidate", "Direction", "cell_candidates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction of a recurrent operator: blocks: of its states, none merged; runs: sequences to predict for."""

    cell: Recurrent
    blocks: Decomposition
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCandidate:
    """Blocks of each direction, and what each is predicted to gain, at its worst over sequences and prices."""

    decompositions: tuple[Decomposition, ...]
    gains: tuple[float, ...]

    @property
    def gain(self) -> float:
        """That of the direction that gains least."""
        return min(self.gains)


def cell_candidates(directions: Sequence[Direction], target: Target, grain: Grain) -> Iterator[CellCandidate]:
    """The groups of blocks that save something in every direction, as a grain allows.

    Without one these are as many groups in each direction, halving numbers of them from all blocks down to one.
    """
    for found in _groups(directions, grain):
        if all(one.mac_share < 1 for one in found):
            gains = (
                worst_gain(CELLS, direction.cell, one, direction.runs, target)
                for direction, one in zip(directions, found, strict=True)
            )
            yield CellCandidate(decompositions=found, gains=tuple(gains))


def _groups(directions: Sequence[Direction], grain: Grain) -> Iterator[tuple[Decomposition, ...]]:
    if grain:
        each = (unit_groups(one.blocks, one.cell.features, grain) for one in directions)
        yield from zip(*each, strict=False)
        return
    for count in halves(max(len(one.blocks.blocks) for one in directions)):
        yield tuple(group_units(one.blocks, one.cell.features, count) for one in directions)
