"""The structure of a weight as a picture: the matrix before and after the permutation, and the condensation."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....ir.errors import ScissionError
from ....ir.findings.structure import Labels, Structure
from ....passes.factor.diagonals import Butterfly
from ...weights.states import StateGraph
from ..text.structure import summarize
from . import raster
from .canvas import (
    BLUE,
    BOTTOM,
    COLOURS,
    GAP,
    GREY,
    INK,
    LEFT,
    ORANGE,
    PANEL,
    PAPER,
    TOP,
    WIDTH,
    drawn,
    fill,
    head,
    legend,
    resolution,
    ticks,
)
from .condensation_layout import CELL, HEADER, Arrow, Box, Drawing, lay_out
from .factors import draw_factors, factors_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

__all__ = ["PictureError", "check_picture", "picture"]

CONDENSED = 60  # states up to which the condensation is drawn as well

MARGIN = 0.35  # inches, and so are the other lengths
UNIT, SMALLEST, TALLEST = 0.42, 0.2, 14.0  # inches per unit of the condensation: the most, the least; its height
LARGE, SMALL = 0.36, 0.26  # letters of the condensation, in its units


class PictureError(ScissionError):
    """A picture that cannot be drawn."""


def check_picture(path: Path) -> str:
    """The format that a file name asks for, 'png' or 'svg'. Raises PictureError for others and without matplotlib.

    >>> check_picture(Path("structure.SVG"))
    'svg'
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in ("png", "svg"):
        raise PictureError(f"{path}: a picture is a .png or an .svg file; choose one of these names")
    if importlib.util.find_spec("matplotlib") is None:
        raise PictureError(f"{path}: pictures need matplotlib; pip install matplotlib")
    return suffix


def picture(
    structure: Structure,
    states: StateGraph,
    format_: str = "png",
    first: int = 0,
    factors: Butterfly | None = None,
) -> bytes:
    """A PNG or SVG file; the same structure gives the same bytes with the same version of matplotlib.

    Left the matrix as it is, right permuted, with outlines around the components and shaded blocks of SCCs and
    couplings; below, for a small graph, its condensation, or the factors of a weight that is a product of some.
    Indices are counted from `first`.
    """
    small = structure.size <= CONDENSED and factors is None
    drawing = lay_out(structure, named=states.inputs is None) if small else None
    scale = _scale(drawing)
    below = drawing.height * scale + 1.25 if drawing is not None and scale else 0.0
    below += factors_height(factors) if factors is not None else 0.0
    height = TOP + PANEL + BOTTOM + below

    def draw(figure: Figure) -> None:
        _head(figure, structure, states, height)
        for left, permuted in ((LEFT, False), (LEFT + PANEL + GAP, True)):
            box = (left / WIDTH, (below + BOTTOM) / height, PANEL / WIDTH, PANEL / height)
            _matrix(figure.add_axes(box), structure, states, first, permuted)
        _legend(figure, states, (below + 0.2) / height)
        if drawing is not None and scale:
            _condensation(figure, drawing, structure, states, first, scale, height)
        if factors is not None:
            draw_factors(figure, factors, 0.0, height)

    return drawn(draw, (WIDTH, height), format_, resolution(structure.size if states.inputs is None else states.inputs))


def _scale(drawing: Drawing | None) -> float:
    """Inches per unit of the condensation; 0 when it would be too small to read, or has nothing in it."""
    if drawing is None or not drawing.boxes:
        return 0.0
    scale = min(UNIT, (WIDTH - LEFT - MARGIN) / drawing.width, TALLEST / drawing.height)
    return scale if scale >= SMALLEST else 0.0


def _head(figure: Figure, structure: Structure, states: StateGraph, height: float) -> None:
    numbers = summarize(structure, states)
    parts = [(numbers.states, "state"), (numbers.edges, "edge"), (numbers.sccs, "SCC")]
    parts += [(numbers.components, "component"), (numbers.layers, "layer")]
    counted = [f"{number:,} {noun}{'' if number == 1 else 's'}" for number, noun in parts]
    head(figure, states.name, " · ".join([*counted, f"{numbers.isolated:,} isolated"]), height)


def _matrix(axes: Axes, structure: Structure, states: StateGraph, first: int, permuted: bool) -> None:
    """The adjacency in one of its orders, row i the in-edges of i; of a bipartite graph outputs against inputs."""
    frame = raster.frame(structure, states.inputs, permuted)
    edges = raster.edges(states.adjacency, frame)
    blocks = raster.blocks(structure, frame) if permuted else np.zeros_like(edges)
    height, width = frame.rows.size, frame.columns.size
    fill(axes, edges, blocks, (height, width), "new order" if permuted else "original order")
    _ticks(axes.xaxis, frame.columns, states, first)
    _ticks(axes.yaxis, frame.rows, states, first)
    axes.set_xlabel("from" if states.inputs is None else "from input", color=GREY, labelpad=3)
    axes.set_ylabel("into" if states.inputs is None else "into output", color=GREY, labelpad=3)
    if permuted:
        _outlines(axes, structure, frame, first)


def _ticks(axis: XAxis | YAxis, shown: Labels, states: StateGraph, first: int) -> None:
    ticks(axis, shown.size, lambda: [states.label(state, first) for state in shown.tolist()], first)


def _outlines(axes: Axes, structure: Structure, frame: raster.RasterAxes, first: int) -> None:
    """A frame around every component, and its name where there is room beside the matrix."""
    from matplotlib.patches import Rectangle

    rows, columns = (_components(structure, shown) for shown in (frame.rows, frame.columns))
    inch = PANEL / max(frame.rows.size, 1)
    below = -1.0  # the last name, in inches from the top
    for component in [key for key in rows if key in columns or key < 0]:
        (top, bottom), (left, right) = rows[component], columns.get(component, (frame.columns.size,) * 2)
        if (bottom - top) * inch > 0.02 and right > left:
            box = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=INK, linewidth=1.1)
            box.set(zorder=8, clip_on=False)
            axes.add_patch(box)
        middle = (top + bottom) / 2
        if middle * inch - below > 0.15 and (bottom - top) * inch > 0.08:
            below = middle * inch
            name = f"component {component + first}" if component >= 0 else f"{bottom - top:,} isolated"
            place = (frame.columns.size, middle)
            axes.annotate(name, place, (4, 0), textcoords="offset points", size=7.5, color=INK, va="center")


def _components(structure: Structure, shown: Labels) -> dict[int, tuple[int, int]]:
    """From where to where each component reaches in the order shown; isolated states, if there are several, are -1."""
    several = structure.isolated.sum() > 1
    labels = np.where(structure.isolated[shown] & several, -1, structure.component[shown])
    return {label: (start, end) for label, start, end in raster.spans(labels)}


def _legend(figure: Figure, states: StateGraph, y: float) -> None:
    kinds = [(BLUE, "edge inside an SCC"), (ORANGE, "coupling edge"), (COLOURS[raster.GROUP_BLOCK], "block of an SCC")]
    kinds += [(COLOURS[raster.COUPLING_BLOCK], "coupling block"), (PAPER, "component")]
    if states.inputs is not None:
        kinds = [(BLUE, "edge"), (COLOURS[raster.GROUP_BLOCK], "block of a component")]
    legend(figure, kinds, y)


def _condensation(
    figure: Figure, drawing: Drawing, structure: Structure, states: StateGraph, first: int, scale: float, height: float
) -> None:
    """The condensation below the matrices; lengths are in units of the drawing."""
    width = drawing.width * scale
    left = LEFT + max(0.0, (WIDTH - LEFT - MARGIN - width) / 2)
    axes = figure.add_axes((left / WIDTH, 0.35 / height, width / WIDTH, drawing.height * scale / height))
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    axes.set_axis_off()
    unit = scale * 72  # points
    for layer in drawing.layers:
        axes.axhspan(layer.start - 0.35, layer.end + 0.35, color="#F4F4F4", zorder=0, clip_on=False)
        place = (0, (layer.start + layer.end) / 2)
        name = f"layer {layer.index + first}"
        shift: Any = {"xytext": (-0.4 * unit, 0), "textcoords": "offset points"}
        axes.annotate(name, place, **shift, size=LARGE * unit, color=GREY, ha="right", va="center")
    for column in drawing.components:
        name = "isolated" if column.index < 0 else f"component {column.index + first}"
        _text(axes, ((column.start + column.end) / 2, -0.85), name, LARGE * unit, INK)
    for arrow in drawing.arrows:
        _arrow(axes, arrow, unit)
    for box in drawing.boxes:
        _box(axes, box, structure, states, first, unit)


def _arrow(axes: Axes, arrow: Arrow, unit: float) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    curve = Curve(np.array(arrow.points), [Curve.MOVETO, Curve.CURVE3, Curve.CURVE3])
    head = f"-|>,head_length={0.13 * unit:.2f},head_width={0.08 * unit:.2f}"
    patch = FancyArrowPatch(path=curve, arrowstyle=head, shrinkA=0, shrinkB=0, joinstyle="miter")
    patch.set(color=ORANGE, linewidth=0.05 * unit, zorder=3, clip_on=False)
    axes.add_patch(patch)


def _box(axes: Axes, box: Box, structure: Structure, states: StateGraph, first: int, unit: float) -> None:
    """An SCC with its name and its states, each with its new index beside it."""
    from matplotlib.patches import Circle, FancyBboxPatch

    alone = box.scc < 0
    frame = FancyBboxPatch((box.x, box.y), box.width, box.height, boxstyle="round,pad=0,rounding_size=0.25", zorder=4)
    frame.set(facecolor=PAPER if alone else COLOURS[raster.GROUP_BLOCK], edgecolor=GREY if alone else BLUE)
    frame.set(linewidth=0.03 * unit, clip_on=False)
    axes.add_patch(frame)
    if box.header == HEADER:
        _text(axes, (box.middle, box.y + HEADER * 0.55), f"SCC {box.scc + first}", LARGE * unit, INK)
    for state, (x, y) in box.places():
        circle = Circle((x, y), 0.42, facecolor=PAPER, edgecolor=INK, linewidth=0.03 * unit, zorder=5)
        circle.set_clip_on(False)
        axes.add_patch(circle)
        label = states.label(state, first)
        _text(axes, (x, y), label, (LARGE if len(label) < 4 else SMALL * min(1, 5 / len(label))) * unit, INK)
        new = str(int(structure.new[state]) + first)
        _text(axes, (x + CELL[0] * 0.36, y - CELL[1] * 0.4), new, SMALL * unit, GREY)


def _text(axes: Axes, place: tuple[float, float], text: str, size: float, colour: str) -> None:
    axes.text(*place, text, size=size, color=colour, ha="center", va="center", zorder=6)
