"""Why a model does not decompose, as tables for the terminal, as JSON, and in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType

from ....ir.findings.decomposability import STEPS, MatrixReport, ModelReport
from ..console import Text
from ..words import left_out
from .fitted_table import Column, FittedTable, lines_of
from .table import SHOWN

__all__ = ["decomposability_view"]


def decomposability_view(report: ModelReport, everything: bool = False) -> RenderableType:
    """A row per weight for what holds it together and one for what its tests could see, what to try, the sentence.

    Largest weights first; with `everything` all of them, and for each its reason, its suggestion and the power of each
    test in words.
    """
    ordered = sorted(report.matrices, key=lambda one: (-math.prod(one.shape), one.node))
    shown = ordered if everything else ordered[:SHOWN]
    more = [Text(left_out(len(ordered) - SHOWN), style="dim")]
    more = more if len(shown) < len(ordered) else []
    parts: list[RenderableType] = []
    if shown:
        parts += [_structure(shown), *more, _tests(shown, report.level), *more, *_sources(shown), *_steps(report)]
    if everything:
        parts += [_words(one) for one in shown]
    skipped = report.skipped if everything else report.skipped[:SHOWN]
    parts += [Text(f"not examined: {one.node} ({one.op}): {one.reason}", style="dim") for one in skipped]
    if len(skipped) < len(report.skipped):
        parts.append(Text(f"… and {len(report.skipped) - SHOWN} more not examined (--all shows them)", style="dim"))
    parts += [Text(note, style="dim") for note in report.notes]
    return Group(
        *parts, Text(f"examined in {report.seconds:.1f} s", style="dim"), Text(), Text(report.sentence, "bold")
    )


def _structure(matrices: Sequence[MatrixReport]) -> FittedTable:
    """What holds each weight together, and what it takes to break it."""
    mass = "share of the squared weight in the best two blocks of equal size"
    columns = (
        Column(name="node", text=True),
        Column(name="weight"),
        Column(name="density", meaning="entries that are not 0", optional=2),
        Column(name="components", optional=4),
        Column(name="giant", meaning="share of the features in the largest component"),
        Column(name="dormant", meaning="features without an edge"),
        Column(name="distance", meaning="density over that at which a random weight falls apart"),
        Column(name="to break", meaning="entries that must go, smallest first, before no component holds half"),
        Column(name="at |w|", meaning="the largest of these", optional=1),
        Column(name="2 blocks", meaning=mass, optional=3),
        Column(name="shuffled", meaning="the same of its entries in random places", optional=3),
    )
    rows = [
        (
            one.node,
            f"{one.shape[0]}x{one.shape[1]}",
            f"{one.density:.2%}",
            f"{one.components:,}",
            f"{one.giant:.1%}",
            f"{one.dormant:,}",
            f"{one.distance:,.3g}x" if one.distance < 1000 else f"{one.distance:,.0f}x",
            f"{min(1 - one.half_kept, 0.9999 if one.half_kept else 1):.2%}",
            f"{one.half:.3g}",
            *("-" if mass is None else f"{mass:.1%}" for mass in (one.mass, one.mass_shuffled)),
        )
        for one in matrices
    ]
    return FittedTable(title="what holds each weight together", columns=columns, rows=tuple(rows))


def _tests(matrices: Sequence[MatrixReport], level: float) -> FittedTable:
    """What the edge test sees at the sigma it is given, and were that another."""
    others = sorted({one.factor for matrix in matrices for one in matrix.sensitivity} - {1})
    smallest = "smallest signal, in sigma, inside two equal blocks that shows them edge by edge"
    columns = [
        Column(name="node", text=True),
        Column(name="sigma", meaning="deviation of an untouched weight"),
        Column(name="by edges", meaning=smallest),
        Column(name="by blocks", meaning="the same by co-clustering"),
        Column(name="confirmed", meaning="entries that the edge test confirms"),
        Column(name="giant", meaning="share of the features in their largest component"),
    ]
    for place, factor in enumerate(others):
        meaning = "" if place else "the same, were sigma that many times as large"
        columns.append(Column(name=f"at {factor:g}", meaning=meaning, optional=1))
        columns.append(Column(name="giant", optional=1))
    rows = []
    for one in matrices:
        by_factor = {row.factor: row for row in one.sensitivity}
        cells = [one.node, "-" if one.null is None else f"{one.null.sigma:.3g}"]
        cells += [_signal(one.smallest_edge), _signal(one.smallest_block)]
        for factor in (1, *others):
            row = by_factor.get(factor)
            cells += ["-", "-"] if row is None else [f"{row.confirmed:.2%}", f"{row.giant:.1%}"]
        rows.append(tuple(cells))
    title = f"what the tests could see, at level {level:g}"
    return FittedTable(title=title, columns=tuple(columns), rows=tuple(rows))


def _sources(matrices: Sequence[MatrixReport]) -> list[RenderableType]:
    """Where each sigma is from."""
    told = [(one.node, "nothing known" if one.null is None else one.null.source) for one in matrices]
    return lines_of(told, before="sigma of ")


def _steps(report: ModelReport) -> list[RenderableType]:
    """What to try next, with the number of weights that it is for."""
    title = Text("what to try next", style="bold")
    return [
        title,
        *(Text(f"{step}, {count:,} of {len(report.matrices):,}: {STEPS[step]}") for step, count in report.steps),
    ]


def _words(one: MatrixReport) -> RenderableType:
    lines = [("why", one.reason), ("next", one.suggestion), *one.power]
    return Group(Text(), Text(one.node, "bold"), *(Text(f"  {name}: {text}") for name, text in lines))


def _signal(signal: float | None) -> str:
    """In sigma; 'never' where no signal is large enough."""
    if signal is None:
        return "-"
    if not math.isfinite(signal):
        return "never"
    return f"{signal:.2f}" if signal >= 0.1 else "<0.1"
