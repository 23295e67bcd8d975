"""The formation of structure in a training run as a picture: which features belong together, look by look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....ir.findings.formation import Formation, Look, WeightLook
from ....ir.findings.structure import Labels
from ....ir.printable import printable
from .canvas import BLUE, FRAME, GREY, INK, ORANGE, PAPER, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MOST", "formation_picture"]

MOST = 6  # weights that are drawn
WIDEST, CELLS = 1 << 11, 1 << 21  # looks of a weight, and looks times features, that are drawn
WIDTH, ROW, HEAD = 11.0, 2.9, 0.75  # inches
PALEST = 0.25  # of a colour: a component that is only beginning
# Of blocks, in the order of their size; Okabe and Ito, then the same darker. What has no edge is white.
BLOCKS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#004C77", "#9A6A00", "#006B4E", "#8A4D6F")
LONGEST = 60  # letters of a name

Pixels = npt.NDArray[np.float64]


def formation_picture(run: Formation, name: str, format_: str = "svg") -> bytes:
    """A PNG or SVG file; the same run gives the same bytes with the same version of matplotlib.

    A row for each of the first six weights. Left every feature is a line, in the order of the blocks that it ends in:
    white as long as it is dormant, then in the colour of its last block, the paler the smaller the component is that
    it belongs to by then. Right the number of components, and the shares of the features in the largest and without any
    edge. name: of the run. Needs matplotlib, which `check_picture` asks for.
    """
    names = run.names[:MOST]
    height = HEAD + ROW * max(len(names), 1)

    def draw(figure: Figure) -> None:
        _head(figure, run, name, height)
        for row, weight in enumerate(names):
            top = 1 - (HEAD + row * ROW + 0.45) / height
            size = (ROW - 1.0) / height
            _features(figure.add_axes((0.065, top - size, 0.52, size)), run, weight)
            _curves(figure.add_axes((0.665, top - size, 0.265, size)), run.of(weight))

    return drawn(draw, (WIDTH, height), format_, 150)


def _head(figure: Figure, run: Formation, name: str, height: float) -> None:
    looks = run.looks
    span = f"{len(looks):,} looks, steps {looks[0].step:,} to {looks[-1].step:,}" if looks else "no look yet"
    more = len(run.names) - MOST
    told = f"{span} · the first {MOST} of {len(run.names)} weights" if more > 0 else span
    figure.text(0.065, 1 - 0.25 / height, _short(name), size=12, weight="bold", color=INK, va="center")
    figure.text(0.065, 1 - 0.5 / height, told, size=9, color=GREY, va="center")


def _features(axes: Axes, run: Formation, weight: str) -> None:
    """Features over looks, inputs and outputs of a block beside each other."""
    seen = run.of(weight)
    K, N = seen[-1][1].shape
    at = _chosen(len(seen), K + N)
    known = [(i, labels) for i, labels in zip(at, run.labels(weight, at), strict=True) if labels is not None]
    axes.set_title(f"{_short(weight)}, {K}x{N}", size=9, weight="bold", color=INK, loc="left", pad=5)
    _quiet(axes)
    if not known:
        axes.text(0.5, 0.5, "too many features to keep which belong together", ha="center", color=GREY)
        axes.set_axis_off()
        return
    table = np.array([np.concatenate(labels) for _, labels in known])
    edges = _edges([seen[i][0].step for i, _ in known])
    axes.pcolormesh(edges, np.arange(K + N + 1), _colours(table), rasterized=True)
    axes.set_ylim(K + N, 0)
    axes.set_xlabel("step", size=8, color=INK)
    axes.set_ylabel("inputs and outputs,\nby block", size=8, color=INK)


def _chosen(looks: int, features: int) -> list[int]:
    """Looks that are drawn, the first and last among them: no more than a picture shows and memory holds."""
    most = max(2, min(WIDEST, CELLS // features))
    return sorted({round(at) for at in np.linspace(0, looks - 1, min(looks, most)).tolist()})


def _edges(steps: Sequence[int]) -> npt.NDArray[np.float64]:
    """Where the column of each look begins, and the last one ends: a look tells of its step and those before it."""
    first = steps[0] - (steps[1] - steps[0] if len(steps) > 1 else 1)
    return np.array([first, *steps], np.float64)


def _colours(table: Labels) -> Pixels:
    """(features, looks, 3) of labels (looks, features), features in the order of their last blocks."""
    from matplotlib.colors import to_rgb

    last = table[-1]
    sizes = np.bincount(last[last >= 0], minlength=int(last.max(initial=-1)) + 1)
    rank = np.empty(sizes.size + 1, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(sizes.size)
    rank[-1] = sizes.size  # what is dormant comes last
    awake = (table >= 0).argmax(axis=0)
    order = np.lexsort((awake, rank[last]))
    palette = np.array([to_rgb(colour) for colour in BLOCKS])[rank[last] % len(BLOCKS)]
    out = np.ones((last.size, len(table), 3))
    for look, labels in enumerate(table):
        lit = labels >= 0
        counts = np.bincount(labels[lit], minlength=1)
        ends = np.where(last >= 0, sizes[np.maximum(last, 0)] if sizes.size else 1, 1)
        share = np.where(lit, counts[np.maximum(labels, 0)] / np.maximum(ends, 1), 0)
        depth = np.where(lit, PALEST + (1 - PALEST) * np.minimum(share, 1), 0)[:, None]
        out[:, look] = 1 - depth * (1 - palette)
    ordered: Pixels = out[order]
    return ordered


def _curves(axes: Axes, seen: Sequence[tuple[Look, WeightLook]]) -> None:
    steps = [look.step for look, _ in seen]
    features = sum(seen[-1][1].shape)
    of = [one.subject for _, one in seen]
    _quiet(axes)
    style: Any = {"linewidth": 1.4, "drawstyle": "steps-pre"}
    axes.plot(steps, [one.giant for one in of], color=BLUE, label="in the largest", **style)
    axes.plot(steps, [one.dormant / features for one in of], color=GREY, linestyle="--", label="dormant", **style)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share of the features", size=8, color=INK)
    axes.set_xlabel("step", size=8, color=INK)
    other = axes.twinx()
    other.plot(steps, [one.components for one in of], color=ORANGE, label="components", **style)
    other.set_ylim(bottom=0)
    other.yaxis.get_major_locator().set_params(integer=True)
    other.set_ylabel("components", size=8, color=INK)
    other.tick_params(color=GREY, labelcolor=INK, labelsize=7)
    for spine in other.spines.values():
        spine.set(color=FRAME, linewidth=0.6)
    handles = [*axes.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=3, frameon=False, fontsize=7,
        labelcolor=INK, columnspacing=1.2,
    )  # fmt: skip


def _quiet(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.tick_params(color=GREY, labelcolor=INK, labelsize=7, width=0.6)
    for spine in axes.spines.values():
        spine.set(color=FRAME, linewidth=0.6)


def _short(name: str) -> str:
    line = printable(name)
    return line if len(line) <= LONGEST else f"…{line[1 - LONGEST :]}"
