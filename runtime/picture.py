"""The structure of a weight as a picture: the matrix before and after the permutation, and the condensation."""

from __future__ import annotations

import importlib.util
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import ScissionError
from ..ir.structure import Labels, Structure
from . import raster
from .layered import CELL, HEADER, Arrow, Box, Drawing, lay_out
from .states import StateGraph
from .structure_report import summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

__all__ = ["PictureError", "check_picture", "picture"]

# Colours of Okabe and Ito, which the colour-blind tell apart; in grey, blue is dark and orange is light.
BLUE, ORANGE = "#0072B2", "#E69F00"
INK, GREY, FRAME, PAPER = "#222222", "#7A7A7A", "#BBBBBB", "#FFFFFF"
COLOURS = {  # of the kinds of raster pixels
    raster.EMPTY: PAPER,
    raster.COUPLING_BLOCK: "#FBEFD5",
    raster.GROUP_BLOCK: "#D3E6F3",
    raster.COUPLING: ORANGE,
    raster.INNER: BLUE,
}
LABELLED = 40  # states up to which each row has its label
DRAWN = 64  # states up to which entries are squares rather than pixels
CONDENSED = 60  # states up to which the condensation is drawn as well

PANEL = 5.12  # inches, and so are the other lengths
LEFT, GAP, RIGHT, TOP, BOTTOM = 0.75, 0.95, 1.15, 1.45, 0.55
WIDTH = LEFT + PANEL + GAP + PANEL + RIGHT
MARGIN = 0.35
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
        raise PictureError(f"{path}: pictures need matplotlib; pip install 'scission[pictures]'")
    return suffix


def picture(structure: Structure, states: StateGraph, format_: str = "png", first: int = 0) -> bytes:
    """A PNG or SVG file; the same structure gives the same bytes with the same version of matplotlib.

    Left the matrix as it is, right permuted, with outlines around the components and shaded blocks of SCCs and
    couplings; below, for a small graph, its condensation. Indices are counted from `first`.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {"svg.hashsalt": "scission", "text.parse_math": False, "font.size": 8}
    drawing = lay_out(structure, named=states.inputs is None) if structure.size <= CONDENSED else None
    scale = _scale(drawing)
    below = drawing.height * scale + 1.25 if drawing is not None and scale else 0.0
    height = TOP + PANEL + BOTTOM + below
    with matplotlib.style.context(["default", settings], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font lacks is shown as boxes
        figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
        _head(figure, structure, states, height)
        for left, permuted in ((LEFT, False), (LEFT + PANEL + GAP, True)):
            box = (left / WIDTH, (below + BOTTOM) / height, PANEL / WIDTH, PANEL / height)
            _matrix(figure.add_axes(box), structure, states, first, permuted)
        _legend(figure, states, (below + 0.2) / height)
        if drawing is not None and scale:
            _condensation(figure, drawing, structure, states, first, scale, height)
        stream = io.BytesIO()
        nothing = {"Date": None, "Creator": None} if format_ == "svg" else {"Software": None}
        figure.savefig(
            stream,
            format=format_,
            dpi=_resolution(structure.size if states.inputs is None else states.inputs),
            metadata=nothing,
        )
    return stream.getvalue()


def _resolution(size: int) -> float:
    """Dots per inch, so that every column of pixels gets the same whole number of dots."""
    pixels = -(-size // raster.pool(size)) or 1
    return 150 if size <= DRAWN else max(1, -(-768 // pixels)) * pixels / PANEL


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
    left = LEFT / WIDTH
    figure.text(left, 1 - 0.3 / height, _short(states.name), size=12, weight="bold", color=INK, va="center")
    text = " · ".join([*counted, f"{numbers.isolated:,} isolated"])
    figure.text(left, 1 - 0.58 / height, text, size=9, color=GREY, va="center")


def _short(name: str) -> str:
    return name if len(name) <= 90 else f"…{name[-89:]}"


def _matrix(axes: Axes, structure: Structure, states: StateGraph, first: int, permuted: bool) -> None:
    """The adjacency in one of its orders, row i the in-edges of i; of a bipartite graph outputs against inputs."""
    frame = raster.frame(structure, states.inputs, permuted)
    edges = raster.edges(states.adjacency, frame)
    blocks = raster.blocks(structure, frame) if permuted else np.zeros_like(edges)
    height, width = frame.rows.size, frame.columns.size
    if max(height, width) <= DRAWN:
        _squares(axes, edges, blocks)
    else:
        _pixels(axes, np.maximum(edges, blocks), raster.pool(height), raster.pool(width))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_title("new order" if permuted else "original order", size=10, weight="bold", color=INK, pad=8)
    _ticks(axes.xaxis, frame.columns, states, first, permuted)
    _ticks(axes.yaxis, frame.rows, states, first, permuted)
    axes.set_xlabel("from" if states.inputs is None else "from input", color=GREY, labelpad=3)
    axes.set_ylabel("into" if states.inputs is None else "into output", color=GREY, labelpad=3)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.6)
    if permuted:
        _outlines(axes, structure, frame, first)


def _pixels(axes: Axes, kinds: raster.Raster, down: int, across: int) -> None:
    from matplotlib.colors import to_rgb

    palette = (np.array([to_rgb(COLOURS[kind]) for kind in sorted(COLOURS)]) * 255).round().astype(np.uint8)
    extent = (0, kinds.shape[1] * across, kinds.shape[0] * down, 0)  # the last pixels may reach beyond the last state
    axes.imshow(palette[kinds], extent=extent, interpolation="none", aspect="auto")


def _squares(axes: Axes, edges: raster.Raster, blocks: raster.Raster) -> None:
    """Edges as squares with a little air around them, the blocks behind them, and a grid between."""
    from matplotlib.collections import LineCollection, PolyCollection

    height, width = edges.shape
    for kinds, air, zorder in ((blocks, 0.0, 1), (edges, 0.14, 3)):
        for kind in np.unique(kinds[kinds != raster.EMPTY]).tolist():
            corners = np.array([[air, air], [1 - air, air], [1 - air, 1 - air], [air, 1 - air]])
            squares = np.argwhere(kinds == kind)[:, None, ::-1] + corners
            axes.add_collection(PolyCollection(squares, facecolor=COLOURS[kind], edgecolor="none", zorder=zorder))
    lines = [((0, k), (width, k)) for k in range(1, height)] + [((k, 0), (k, height)) for k in range(1, width)]
    axes.add_collection(LineCollection(lines, colors="#E6E6E6", linewidths=0.5, zorder=2))


def _ticks(axis: XAxis | YAxis, shown: Labels, states: StateGraph, first: int, permuted: bool) -> None:
    """A label for each state where there is room, else round numbers: positions in the order that is shown."""
    n = shown.size
    axis.set_tick_params(length=0 if n <= LABELLED else 2.5, color=GREY, labelcolor=INK, pad=2, width=0.6)
    if n > LABELLED:
        at = np.arange(0, n, _step(n))
        axis.set_ticks(at + 0.5, [f"{k + first:,}" for k in at.tolist()], size=7)
        return
    labels = [states.label(state, first) for state in shown.tolist()]
    upright = axis.axis_name == "x" and max(map(len, labels), default=0) > 2
    axis.set_ticks(np.arange(n) + 0.5, labels, size=min(8.0, 150 / max(n, 1)), rotation=90 if upright else 0)


def _step(size: int) -> int:
    """A round number, at most eight of which go into `size`."""
    step = 1
    while size > 8 * step:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return step


def _outlines(axes: Axes, structure: Structure, frame: raster.Frame, first: int) -> None:
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
    from matplotlib.patches import Patch

    kinds = [(BLUE, "edge inside an SCC"), (ORANGE, "coupling edge"), (COLOURS[raster.GROUP_BLOCK], "block of an SCC")]
    kinds += [(COLOURS[raster.COUPLING_BLOCK], "coupling block"), (PAPER, "component")]
    if states.inputs is not None:
        kinds = [(BLUE, "edge"), (COLOURS[raster.GROUP_BLOCK], "block of a component")]
    handles = [Patch(facecolor=colour, label=label) for colour, label in kinds]
    handles[-1].set_edgecolor(INK)
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=((LEFT + PANEL + GAP / 2) / WIDTH, y),
        ncols=len(handles),
        frameon=False,
        handlelength=1.1,
        handleheight=1.1,
        columnspacing=1.8,
        labelcolor=INK,
    )


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
