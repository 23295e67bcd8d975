"""The front of latency against a metric as a picture: every candidate, by method, and those that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....ir.plural import counted
from ....ir.printable import printable
from .canvas import FRAME, GREY, INK, PAPER, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FrontPoint", "front_picture"]

# Colours of Okabe and Ito, which the colour-blind tell apart; markers tell them apart without colour.
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"))
SIZE = (9.0, 5.4)  # inches
LEFT, RIGHT, TOP, BOTTOM = 0.1, 0.965, 0.8, 0.12  # of the width and the height
LONGEST, NAME = 60, 40  # letters of the title, and of the name of a metric
AIR = 0.06  # of the span of an axis, that is left free on either side


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """A candidate of a method: speedup: how many times faster it is measured to be, between `low` and `high`; lost: how
    much worse the metric is; front: whether none is as fast and better; kept: whether it is the one that is."""

    method: str
    speedup: float
    low: float
    high: float
    lost: float
    front: bool = False
    kept: bool = False


def front_picture(
    points: Sequence[FrontPoint],
    metric: str,
    title: str,
    *,
    limit: float | None = None,
    target: float | None = None,
    format_: str = "png",
) -> bytes:
    """A PNG or SVG file; the same points give the same bytes with the same version of matplotlib.

    To the right is faster, up loses more; the original is at 1 and 0. A line joins the front,
    whose points are filled; a ring marks what is
    kept, whiskers the interval of a speed-up. limit, target: what may be lost, and how much faster it is to be, as
    lines. Needs matplotlib, which `picture.check_picture` asks for.
    """

    def draw(figure: Figure) -> None:
        methods = list(dict.fromkeys(one.method for one in points))
        axes = figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))
        told = [counted(len(points), "candidate"), f"{sum(one.front for one in points)} on the front"]
        told += [] if any(one.kept for one in points) else ["none is kept"]
        figure.text(LEFT, 0.95, _short(title, LONGEST), size=12, weight="bold", color=INK, va="center")
        figure.text(LEFT, 0.905, " · ".join(told), size=9, color=GREY, va="center")
        _quiet(axes)
        _goal(axes, limit, target)
        _candidates(axes, points, methods)
        _limits(axes, points, limit, target)
        axes.set_xlabel("times as fast as the original, measured", color=INK)
        axes.set_ylabel(f"{_short(metric, NAME)} lost", color=INK)
        style: Any = {"frameon": False, "labelcolor": INK, "columnspacing": 1.4, "handlelength": 2.0}
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(methods) + 4, **style)

    return drawn(draw, SIZE, format_, 150)


def _quiet(axes: Axes) -> None:
    """A light grid and two spines."""
    axes.set_facecolor(PAPER)
    axes.grid(color="#E6E6E6", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=GREY, linewidth=0.7)
    axes.tick_params(color=GREY, labelcolor=INK, width=0.7, labelsize=9)


def _goal(axes: Axes, limit: float | None, target: float | None) -> None:
    axes.plot([1], [0], marker="+", color=INK, markersize=10, linestyle="none", label="original", zorder=2)
    if limit is not None:
        axes.axhline(limit, color=INK, linewidth=1.0, dashes=(5, 3), label=f"budget {limit:g}", zorder=1)
    if target is not None:
        axes.axvline(target, color=INK, linewidth=1.0, dashes=(1.5, 2), label=f"target {target:g}x", zorder=1)


def _candidates(axes: Axes, points: Sequence[FrontPoint], methods: Sequence[str]) -> None:
    front = sorted((one for one in points if one.front), key=lambda one: one.speedup)
    axes.plot([one.speedup for one in front], [one.lost for one in front], color=FRAME, linewidth=2.2, zorder=2)
    for place, method in enumerate(methods):
        colour, marker = STYLES[place % len(STYLES)]
        every: Any = {"marker": marker, "color": colour, "linestyle": "none", "markersize": 6.5}
        axes.plot([], [], label=_short(method, NAME), **every)
        for one in (one for one in points if one.method == method):
            axes.plot([one.low, one.high], [one.lost] * 2, color=colour, linewidth=0.9, alpha=0.6, zorder=3)
            fill = colour if one.front else PAPER
            axes.plot([one.speedup], [one.lost], mfc=fill, zorder=4, **every)
    for one in (one for one in points if one.kept):
        ring: Any = {"marker": "o", "mfc": "none", "color": INK, "linestyle": "none", "label": "kept"}
        axes.plot([one.speedup], [one.lost], markersize=13, zorder=5, **ring)


def _limits(axes: Axes, points: Sequence[FrontPoint], limit: float | None, target: float | None) -> None:
    """All points, the original and both lines, with some air; where a line is far away it is left out."""
    for values, set_, line in (
        ([1.0, *(end for one in points for end in (one.low, one.high))], axes.set_xlim, target),
        ([0.0, *(one.lost for one in points)], axes.set_ylim, limit),
    ):
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        if line is not None and low - span <= line <= high + span:
            low, high = min(low, line), max(high, line)
        set_(low - AIR * (high - low or 1.0), high + AIR * (high - low or 1.0))


def _short(name: str, longest: int) -> str:
    line = printable(" ".join(name.split()))
    return line if len(line) <= longest else f"…{line[1 - longest :]}"
