"""A sweep over levels as a picture: the metric above, what is kept of the model below, jumps marked in both."""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ....ir.findings.level_sweep import LevelResult, Sweep
from ....ir.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["sweep_picture"]

# Colours of Okabe and Ito, which the colour-blind tell apart; markers and dashes tell them apart without colour.
BLUE, ORANGE, SKY, VERMILION = "#0072B2", "#E69F00", "#56B4E9", "#D55E00"
INK, GREY, PAPER, SHADE = "#222222", "#6A6A6A", "#FFFFFF", "#FBEFD5"
SERIES: tuple[tuple[str, str, dict[str, Any]], ...] = (  # of the lower panel; after block-fill the first two coincide
    ("kept", "weights kept", {"color": SKY, "marker": "o", "markersize": 5, "linewidth": 4}),
    (
        "mac_share",
        "MACs left",
        {"color": INK, "marker": "^", "markersize": 7, "mfc": "none", "linewidth": 1.2, "dashes": (4, 2.5)},
    ),
    (
        "giant",
        "largest component, share of features",
        {"color": VERMILION, "marker": "s", "markersize": 5, "linewidth": 1.4, "dashes": (1.5, 1.5)},
    ),
)
SIZE = (9.0, 6.6)  # inches
LEFT = 0.12  # of the width, for the numbers and names of the axes
UPRIGHT, SLANTED = 0.07, 0.045  # of the width, that the label of a level needs
LEAST, AIR = 0.02, 0.12  # smallest span of an axis, and what is left free on either side, as a share of the span
TINY = 1e-300  # a span that is as good as none
FEWEST = 3  # levels among which a jump can be told
LONGEST, TITLE, NAME = 90, 55, 36  # letters of a line, of the title, of the name of the metric


def sweep_picture(sweep: Sweep, format_: str = "png") -> bytes:
    """A PNG or SVG file; the same sweep gives the same bytes with the same version of matplotlib.

    From left to right the levels grow stronger, on a logarithmic scale where all are positive. Above the metric with
    that of the original, or the deviation where a level has no metric; below the shares of weights, multiply-adds and
    the largest component. A band marks a jump. Needs matplotlib, which `picture.check_picture` asks for.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {"svg.hashsalt": "scission", "text.parse_math": False, "font.size": 9}
    with matplotlib.style.context(["default", settings], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font lacks is shown as boxes
        figure = Figure(figsize=SIZE, facecolor=PAPER)
        grid = {"height_ratios": (1.15, 1), "hspace": 0.14, "left": LEFT, "right": 0.965, "top": 0.84, "bottom": 0.13}
        upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw=grid)
        _head(figure, sweep)
        places = _places(sweep.levels)
        for axes in (upper, lower):
            _jumps(axes, sweep, places)
            _quiet(axes)
        _measured(upper, sweep, places)
        _shares(lower, sweep, places)
        _levels(lower, sweep, places)
        stream = io.BytesIO()
        nothing = {"Date": None, "Creator": None} if format_ == "svg" else {"Software": None}
        figure.savefig(stream, format=format_, dpi=150, metadata=nothing)
    return stream.getvalue()


def _places(levels: Sequence[LevelResult]) -> list[float]:
    """Where each level lies: its logarithm, or its number in the row where one is not positive."""
    if not _logarithmic(levels):
        return [float(place) for place in range(len(levels))]
    return [math.log10(result.level) for result in levels]


def _logarithmic(levels: Sequence[LevelResult]) -> bool:
    return all(0 < result.level < math.inf for result in levels)


def _head(figure: Figure, sweep: Sweep) -> None:
    samples = f"{sweep.samples:,} sample{'' if sweep.samples == 1 else 's'}"
    levels = [f"{len(sweep.levels)} level{'s' * (len(sweep.levels) > 1)}"] if sweep.leveled else []
    parts = [f"test: {sweep.test}", *levels, samples]
    if sweep.jumps or len(sweep.levels) >= FEWEST:
        parts.append("no jumps" if not sweep.jumps else f"{len(sweep.jumps)} jump{'s' * (len(sweep.jumps) > 1)}")
    figure.text(LEFT, 0.955, _short(sweep.model, TITLE), size=12, weight="bold", color=INK, va="center")
    figure.text(LEFT, 0.915, _short(" · ".join(parts)), size=9, color=GREY, va="center")


def _short(name: str, longest: int = LONGEST) -> str:
    line = printable(" ".join(name.split()))
    return line if len(line) <= longest else f"…{line[1 - longest :]}"


def _jumps(axes: Axes, sweep: Sweep, places: Sequence[float]) -> None:
    """A band from one level to the next for each jump."""
    at = {result.level: place for result, place in zip(sweep.levels, places, strict=True)}
    for jump in sweep.jumps:
        axes.axvspan(at[jump.level_from], at[jump.level_to], color=SHADE, linewidth=0, zorder=0)
        for place in (at[jump.level_from], at[jump.level_to]):
            axes.axvline(place, color=ORANGE, linewidth=0.6, zorder=1)


def _quiet(axes: Axes) -> None:
    """A light grid and two spines."""
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=GREY, linewidth=0.7)
    axes.tick_params(color=GREY, labelcolor=INK, width=0.7)


def _measured(axes: Axes, sweep: Sweep, places: Sequence[float]) -> None:
    from matplotlib.patches import Patch

    known = all(result.metric is not None for result in sweep.levels)
    values = [_finite(result.metric if known else result.deviation) for result in sweep.levels]
    name = _short(sweep.metric_name, NAME) if known else "largest relative deviation"
    label = f"{name}, annealed" if known else name
    axes.plot(places, values, color=BLUE, marker="o", markersize=5, linewidth=1.6, label=label, zorder=3)
    if known and sweep.baseline is not None:
        axes.axhline(sweep.baseline, color=INK, linewidth=1.1, dashes=(5, 3), label=f"{name}, original", zorder=2)
    lost = [place for place, value in zip(places, values, strict=True) if math.isnan(value)]
    if lost:
        style: Any = {"linestyle": "none", "marker": "x", "color": INK, "clip_on": False, "zorder": 4}
        axes.plot(lost, [0.03] * len(lost), transform=axes.get_xaxis_transform(), label="not a finite number", **style)
    better = "higher" if known and sweep.higher_is_better else "lower"
    axes.set_ylabel(f"{name}\n({better} is better)", color=INK)
    handles = axes.get_legend_handles_labels()[0]
    if sweep.jumps:
        handles.append(Patch(facecolor=SHADE, edgecolor=ORANGE, linewidth=0.6, label="jump"))
    _legend(axes, handles)
    axes.set_ylim(*_limits([*values, _finite(sweep.baseline) if known else math.nan]))


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Of an axis that shows the data with some air, and not their last digits where they hardly differ.

    It spans at least LEAST of the size of the values, and of 1 where they are shares, which most metrics are; what is
    nowhere negative, or is a share, is not given an axis far below 0 or above 1.
    """
    shown = [value for value in values if not math.isnan(value)]
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    size = max(abs(low), abs(high))
    shares = low >= -1 and high <= 1
    span = max(high - low, LEAST * size, LEAST if shares and size > LEAST else 0.0)
    span = span if span > TINY else 1.0
    middle, widened = (low + high) / 2, span > high - low
    bottom, top = middle - (0.5 + AIR) * span, middle + (0.5 + AIR) * span
    edge = 0.5 * AIR * span  # so that a marker on the border is whole
    if shares and top > 1 + edge:
        bottom, top = bottom - (top - 1 - edge) * widened, 1 + edge
    if low >= 0 and bottom < -edge:
        top, bottom = top - (bottom + edge) * widened, -edge
        top = min(top, 1 + edge) if shares else top
    return bottom, top


def _shares(axes: Axes, sweep: Sweep, places: Sequence[float]) -> None:
    from matplotlib.ticker import PercentFormatter

    for field, label, style in SERIES:
        axes.plot(places, [getattr(result, field) for result in sweep.levels], label=label, **style)
    axes.set_ylim(-0.03, 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("share of the original", color=INK)
    _legend(axes, axes.get_legend_handles_labels()[0])


def _legend(axes: Axes, handles: list[Any]) -> None:
    """In one row above the axes, where it covers no point."""
    style: Any = {"frameon": False, "labelcolor": INK, "columnspacing": 1.6, "handlelength": 2.4}
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 0.985), ncols=len(handles), **style)


def _levels(axes: Axes, sweep: Sweep, places: Sequence[float]) -> None:
    """A tick for each level where there is room, slanted if that helps; stronger levels lie to the right.

    A test without a level has its name there.
    """
    levels = sweep.levels
    left, right = places[0], places[-1]
    span = abs(right - left) or 1.0
    slanted = any(abs(one - other) < UPRIGHT * span for one, other in itertools.pairwise(places))
    ticks: list[tuple[float, str]] = []
    for place, result in zip(places, levels, strict=True):
        if not ticks or abs(place - ticks[-1][0]) >= SLANTED * span:
            ticks.append((place, f"{result.level:.3g}" if sweep.leveled else sweep.test.partition(",")[0]))
    turn: Any = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks], **turn)
    scale = "logarithmic" if _logarithmic(levels) else "evenly spaced"
    several = f"level, {scale}; stronger annealing to the right" if len(levels) > 1 else "level"
    axes.set_xlabel(several if sweep.leveled else "this test has no level", color=INK)
    air = 0.04 * span if right >= left else -0.04 * span
    axes.set_xlim(left - air, right + air)


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan
