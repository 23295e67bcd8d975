"""The groups of a weight as a picture: the matrix as it is stored, and reordered with a frame around every group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ....ir.plan.plan import Block, Decomposition
from ....ir.relation import Relation
from ....passes.connectivity.edges import relate
from ...weights.cover_study import Covering
from . import raster
from .canvas import (
    BLUE,
    BOTTOM,
    COLOURS,
    DRAWN,
    GAP,
    GREY,
    INK,
    LEFT,
    ORANGE,
    PANEL,
    PAPER,
    SKY,
    TOP,
    WIDTH,
    drawn,
    fill,
    head,
    legend,
    resolution,
    ticks,
)
from .cover_layout import Arrangement, arrange, joined, mark, places_of, shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cover_picture"]

THINNEST = 0.03  # inches: a narrower frame would hide what is in it
MOST_FRAMES = 4000
MOST_RINGS = 500  # residual entries that are marked besides by a ring
HEIGHT = TOP + PANEL + BOTTOM


def cover_picture(found: Covering, format_: str = "png") -> bytes:
    """A PNG or SVG file: outputs from top to bottom against inputs from left to right, as stored and group by group.

    Drawn is the form that a plan takes, or the one that comes nearest. Large matrices are pooled to pixels so that no
    edge is lost; the same weight gives the same bytes with the same version of matplotlib.
    """
    K, N = found.shape
    whole = Decomposition((K, N), (Block(np.arange(K), np.arange(N)),))
    form = found.best.decomposition if found.best is not None else whole
    by_output = relate(found.matrix.T)
    natural = Arrangement(np.arange(N), np.arange(K), ())
    arranged = arrange(form) if found.best is not None else natural

    def draw(figure: Figure) -> None:
        head(figure, found.weight, " · ".join(_counted(found)), HEIGHT)
        title = "outputs group by group" if not form.split_k else "inputs group by group"
        for left, arrangement, name in ((LEFT, natural, "as stored"), (LEFT + PANEL + GAP, arranged, title)):
            box = (left / WIDTH, BOTTOM / HEIGHT, PANEL / WIDTH, PANEL / HEIGHT)
            _matrix(figure.add_axes(box), by_output, arrangement, form, name)
        _legend(figure, form, bool(arranged.rectangles))

    return drawn(draw, (WIDTH, HEIGHT), format_, resolution(K))


def _counted(found: Covering) -> Iterator[str]:
    """What the picture says in a line above."""
    K, N = found.shape
    yield f"{K:,} inputs"
    yield f"{N:,} outputs"
    yield f"{found.density:.2%} edges"
    if found.best is None:
        yield "no groups"
        return
    best = found.best.decomposition
    groups = f"{len(best.blocks):,} {'group' if len(best.blocks) == 1 else 'groups'}"
    yield f"{groups} with {best.mac_share:.1%} of the multiply-adds"
    if best.shared.size:
        side = "output" if best.split_k else "input"
        yield f"{best.shared.size:,} shared {side}{'' if best.shared.size == 1 else 's'}"
    if best.residual:
        yield f"{len(best.residual):,} residual entry{'' if len(best.residual) == 1 else 's'}"


def _matrix(axes: Axes, by_output: Relation, arranged: Arrangement, form: Decomposition, title: str) -> None:
    N, K = by_output.shape
    shares = raster.shares(by_output, arranged.outputs, arranged.inputs)
    pixels = shade(arranged)
    places = places_of(arranged, form.residual)
    edges = mark(shares, pixels, places // np.array([raster.pool(N), raster.pool(K)]))
    fill(axes, edges, pixels, (N, K), title, shares)
    ticks(axes.xaxis, K, lambda: [str(k) for k in arranged.inputs.tolist()])
    ticks(axes.yaxis, N, lambda: [str(n) for n in arranged.outputs.tolist()])
    axes.set_xlabel("input", color=GREY, labelpad=3)
    axes.set_ylabel("output", color=GREY, labelpad=3)
    if max(N, K) > DRAWN and len(places) <= MOST_RINGS:
        rings = {"s": 22, "facecolors": "none", "edgecolors": ORANGE, "linewidths": 0.9, "zorder": 9, "clip_on": False}
        axes.scatter(places[:, 1] + 0.5, places[:, 0] + 0.5, **rings)
    _frames(axes, arranged)
    _names(axes, arranged, form.split_k)


def _frames(axes: Axes, arranged: Arrangement) -> None:
    """A frame around every run of inputs of every group."""
    from matplotlib.collections import PolyCollection

    down, across = PANEL / arranged.outputs.size, PANEL / arranged.inputs.size
    frames = [
        [(left, top), (right, top), (right, bottom), (left, bottom)]
        for top, bottom, left, right in joined(arranged)
        if (bottom - top) * down > THINNEST and (right - left) * across > THINNEST
    ]
    if len(frames) <= MOST_FRAMES:
        style = {"facecolors": "none", "edgecolors": INK, "linewidths": 0.7, "zorder": 8, "clip_on": False}
        axes.add_collection(PolyCollection(frames, **style), autolim=False)


def _names(axes: Axes, arranged: Arrangement, split_k: bool) -> None:
    """The names of groups on the side where they follow one another, where there is room for them."""
    spans = {one.group: (one.left, one.right) if split_k else (one.top, one.bottom) for one in arranged.rectangles}
    inch = PANEL / (arranged.inputs if split_k else arranged.outputs).size
    room, last = (0.5, -1.0) if split_k else (0.15, -1.0)  # inches that a name takes, where the last one is
    for group, (start, end) in spans.items():
        middle = (start + end) / 2
        if middle * inch - last < room or (end - start) * inch < 0.08:
            continue
        last = middle * inch
        place = (middle, arranged.outputs.size) if split_k else (arranged.inputs.size, middle)
        shift, ways = ((0, -9), {"ha": "center"}) if split_k else ((4, 0), {"va": "center"})
        axes.annotate(f"group {group}", place, shift, textcoords="offset points", size=7.5, color=INK, **ways)


def _legend(figure: Figure, form: Decomposition, grouped: bool) -> None:
    kinds = [(BLUE, "edge")]
    side = "output" if form.split_k else "input"
    if grouped and form.shared.size:
        kinds += [(SKY, f"edge of a shared {side}")]
    kinds += [(ORANGE, "residual entry, computed apart")] if form.residual else []
    if grouped:
        kinds += [(COLOURS[raster.GROUP_BLOCK], f"{side}s of one group")]
        kinds += [(COLOURS[raster.COUPLING_BLOCK], f"shared {side}s")] if form.shared.size else []
        kinds += [(PAPER, "group")]
    legend(figure, kinds, 0.2 / HEIGHT)
