"""What pictures of matrices have in common: two panels side by side, their colours, pixels, numbers and legend."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....ir.printable import printable
from . import raster

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

__all__ = [
    *(
        "BLUE",
        "BOTTOM",
        "COLOURS",
        "DRAWN",
        "FRAME",
        "GAP",
        "GREY",
        "INK",
        "LEFT",
        "ORANGE",
        "PALEST",
        "PANEL",
        "PAPER",
        "TOP",
        "WIDTH",
    ),
    *("drawn", "fill", "head", "legend", "resolution", "ticks"),
]

# Colours of Okabe and Ito, which the colour-blind tell apart; in grey, blue is dark and orange is light.
BLUE, SKY, ORANGE = "#0072B2", "#56B4E9", "#E69F00"
INK, GREY, FRAME, PAPER = "#222222", "#7A7A7A", "#BBBBBB", "#FFFFFF"
COLOURS = {  # of the kinds of raster pixels
    raster.EMPTY: PAPER,
    raster.COUPLING_BLOCK: "#FBEFD5",
    raster.GROUP_BLOCK: "#D3E6F3",
    raster.COUPLING: ORANGE,
    raster.INNER: BLUE,
    raster.SHARED: SKY,
}
LABELLED = 40  # features up to which each row has its label
DRAWN = 64  # features up to which entries are squares rather than pixels
PALEST = 0.3  # of the colour of an edge: a pixel with a single one is still seen
LONGEST = 90  # letters of a name

PANEL = 5.12  # inches, and so are the other lengths
LEFT, GAP, RIGHT, TOP, BOTTOM = 0.75, 0.95, 1.15, 1.45, 0.55
WIDTH = LEFT + PANEL + GAP + PANEL + RIGHT


def drawn(draw: Callable[[Figure], None], size: tuple[float, float], format_: str, dpi: float) -> bytes:
    """A PNG or SVG file of what `draw` puts on a figure; the same bytes for the same with one version of matplotlib."""
    import matplotlib.style
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {"svg.hashsalt": "scission", "text.parse_math": False, "font.size": 8}
    with matplotlib.style.context(["default", settings], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font lacks is shown as boxes
        figure = Figure(figsize=size, facecolor=PAPER)
        draw(figure)
        stream = io.BytesIO()
        nothing = {"Date": None, "Creator": None} if format_ == "svg" else {"Software": None}
        figure.savefig(stream, format=format_, dpi=dpi, metadata=nothing)
    return stream.getvalue()


def resolution(columns: int) -> float:
    """Dots per inch, so that every column of pixels gets the same whole number of dots."""
    pixels = -(-columns // raster.pool(columns)) or 1
    return 150 if columns <= DRAWN else max(1, -(-768 // pixels)) * pixels / PANEL


def head(figure: Figure, name: str, line: str, height: float) -> None:
    """The name of the weight, and one line below it; height: of the figure."""
    name = printable(name)
    short = name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"
    left = LEFT / WIDTH
    figure.text(left, 1 - 0.3 / height, short, size=12, weight="bold", color=INK, va="center")
    figure.text(left, 1 - 0.58 / height, line, size=9, color=GREY, va="center")


def fill(
    axes: Axes,
    edges: raster.Raster,
    blocks: raster.Raster,
    size: tuple[int, int],
    title: str,
    shares: npt.NDArray[np.float32] | None = None,
) -> None:
    """A matrix of some rows and columns, pooled to pixels where it is large, with its blocks behind its edges.

    shares: of the entries of a pixel that are edges, which makes those with few of them paler.
    """
    height, width = size
    if max(height, width) <= DRAWN:
        _squares(axes, edges, blocks)
    else:
        _pixels(axes, edges, blocks, shares, raster.pool(height), raster.pool(width))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_title(title, size=10, weight="bold", color=INK, pad=8)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.6)


def _pixels(
    axes: Axes,
    edges: raster.Raster,
    blocks: raster.Raster,
    shares: npt.NDArray[np.float32] | None,
    down: int,
    across: int,
) -> None:
    from matplotlib.colors import to_rgb

    palette = np.array([to_rgb(COLOURS[kind]) for kind in sorted(COLOURS)]) * 255
    colours = palette[np.maximum(edges, blocks)]
    if shares is not None:
        strength = np.where(edges == raster.COUPLING, 1, PALEST + (1 - PALEST) * shares)[..., None]
        colours = np.where((edges > blocks)[..., None], strength * colours + (1 - strength) * palette[blocks], colours)
    extent = (0, edges.shape[1] * across, edges.shape[0] * down, 0)  # the last pixels may reach beyond the last state
    axes.imshow(colours.round().astype(np.uint8), extent=extent, interpolation="none", aspect="auto")


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


def ticks(axis: XAxis | YAxis, size: int, labels: Callable[[], Sequence[str]], first: int = 0) -> None:
    """A label for each feature where there is room, else round numbers: positions in the order that is shown."""
    axis.set_tick_params(length=0 if size <= LABELLED else 2.5, color=GREY, labelcolor=INK, pad=2, width=0.6)
    if size > LABELLED:
        at = np.arange(0, size, _step(size))
        axis.set_ticks(at + 0.5, [f"{k + first:,}" for k in at.tolist()], size=7)
        return
    names = [printable(name) for name in labels()]
    upright = axis.axis_name == "x" and max(map(len, names), default=0) > 2
    axis.set_ticks(np.arange(size) + 0.5, names, size=min(8.0, 150 / max(size, 1)), rotation=90 if upright else 0)


def _step(size: int) -> int:
    """A round number, at most eight of which go into `size`."""
    step = 1
    while size > 8 * step:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return step


def legend(figure: Figure, kinds: Sequence[tuple[str, str]], y: float) -> None:
    """What the colours mean, (colour, name), below the panels; the last one is outlined."""
    from matplotlib.patches import Patch

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
