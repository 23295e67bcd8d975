"""A weight that is a product: its block-diagonal factors side by side, and the permutations between them.

from inputs │ ▪      │   │ ▪▪     │   │  ·  · │   │ ▪      │   │ · ·    │
            │   ▪    │ · │   ▪▪   │ · │ ·  ·  │ · │   ▪    │ · │    · · │   = the weight, into outputs
            permutation  diagonal     permutation  diagonal     picked
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ....ir.plural import counted
from ....passes.factor.diagonals import BlockDiagonal, Butterfly
from .canvas import BLUE, COLOURS, FRAME, GREY, INK, LEFT, ORANGE, WIDTH
from .raster import GROUP_BLOCK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_factors", "factors_height"]

LARGEST, GAP, RIGHT = 2.6, 0.35, 0.35  # inches: of a panel, between two of them, behind the last one
ABOVE, BELOW = 0.75, 0.45  # of the panels: for what they are called, and for their extents
OUTLINED = 64  # blocks that have an outline each
DOTS = 40.0  # points that all dots of a permutation take along its side


def factors_height(found: Butterfly) -> float:
    """Inches that the panels take, with what is written around them."""
    return ABOVE + _side(found) + BELOW


def draw_factors(figure: Figure, found: Butterfly, bottom: float, height: float) -> None:
    """All factors in a row; bottom: inches below what is written below them; height: of the figure, in inches."""
    side, left = _side(found), LEFT
    top = (bottom + BELOW + side + ABOVE - 0.2) / height
    said = f"as a product of {counted(len(found.diagonals), 'block-diagonal factor')}: {found.macs:,} multiply-adds"
    figure.text(LEFT / WIDTH, top, said, size=10, weight="bold", color=INK, va="center")
    for place, panel in enumerate(_panels(found)):
        axes = figure.add_axes((left / WIDTH, (bottom + BELOW) / height, side / WIDTH, side / height))
        if isinstance(panel, BlockDiagonal):
            _diagonal(axes, panel)
        else:
            _permutation(axes, *panel, side)
        _framed(axes)
        if place:
            figure.text(
                (left - GAP / 2) / WIDTH, (bottom + BELOW + side / 2) / height, "·", color=GREY, size=10, ha="center"
            )
        left += side + GAP


def _panels(found: Butterfly) -> list[BlockDiagonal | tuple[npt.NDArray[np.int64], int]]:
    """The factors, each permutation that moves something as (what is taken, of how many)."""
    panels: list[BlockDiagonal | tuple[npt.NDArray[np.int64], int]] = []
    come = found.diagonals[0].taken.size
    for one in found.diagonals:
        if one.moves or one.taken.size != come:
            panels.append((one.taken, come))
        panels.append(one)
        come = one.count * one.shape[1]
    return [*panels, (found.picked, come)] if found.moves else panels


def _side(found: Butterfly) -> float:
    count = len(_panels(found))
    return min(LARGEST, (WIDTH - LEFT - RIGHT - GAP * (count - 1)) / count)


def _diagonal(axes: Axes, one: BlockDiagonal) -> None:
    """Blocks along the diagonal, from what comes in, downwards, into what goes out."""
    from matplotlib.collections import PolyCollection

    rows, columns = one.shape
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]])
    boxes = np.arange(one.count)[:, None, None] * np.array([columns, rows]) + corners
    few = one.count <= OUTLINED
    face, edge = (COLOURS[GROUP_BLOCK], BLUE) if few else (BLUE, "none")
    axes.add_collection(PolyCollection(boxes, facecolor=face, edgecolor=edge, linewidth=0.7, zorder=2))
    axes.set_xlim(0, one.count * columns)
    axes.set_ylim(one.count * rows, 0)
    axes.set_title(f"{counted(one.count, 'block')}\nof {rows} by {columns}", size=8, color=INK, pad=4)


def _permutation(axes: Axes, taken: npt.NDArray[np.int64], come: int, side: float) -> None:
    """A dot for each number that is taken: downwards where it was, to the right where it is."""
    size = max(1.3, min(DOTS, side * 72) / max(taken.size, come))
    axes.scatter(np.arange(taken.size) + 0.5, taken + 0.5, s=size**2, color=ORANGE, linewidths=0, zorder=2)
    axes.set_xlim(0, taken.size)
    axes.set_ylim(come, 0)
    axes.set_title("order" if taken.size == come else f"{taken.size:,}\nof {come:,}", size=8, color=GREY, pad=4)


def _framed(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    rows, columns = (round(abs(end - begin)) for begin, end in (axes.get_ylim(), axes.get_xlim()))
    axes.set_xlabel(f"{rows:,} by {columns:,}", size=7, color=GREY, labelpad=3)
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.6)
