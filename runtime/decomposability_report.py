"""Why a model does not decompose, as tables for the terminal, as JSON, and in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..ir.decomposability import STEPS, MatrixReport, ModelReport
from .report import make_table

__all__ = ["decomposability_view", "to_dict"]

SHOWN = 12  # rows of a table before the rest is summed up


def decomposability_view(report: ModelReport, everything: bool = False) -> RenderableType:
    """A row per weight for what holds it together and one for what its tests could see, what to try, the sentence.

    Largest weights first; with `everything` all of them, and for each its reason, its suggestion and the power of each
    test in words.
    """
    ordered = sorted(report.matrices, key=lambda one: (-math.prod(one.shape), one.node))
    shown = ordered if everything else ordered[:SHOWN]
    more = [Text(f"… and {len(ordered) - SHOWN} more (--all shows them)", style="dim")]
    more = more if len(shown) < len(ordered) else []
    parts: list[RenderableType] = []
    if shown:
        parts += [_structure(shown), *more, _tests(shown, report.level), *more, _steps(report)]
    if everything:
        parts += [_words(one) for one in shown]
    skipped = report.skipped if everything else report.skipped[:SHOWN]
    parts += [Text(f"not examined: {one.node} ({one.op}): {one.reason}", style="dim") for one in skipped]
    if len(skipped) < len(report.skipped):
        parts.append(Text(f"… and {len(report.skipped) - SHOWN} more not examined (--all shows them)", style="dim"))
    parts += [Text(note, style="dim") for note in report.notes]
    return Group(*parts, Text(f"examined in {report.seconds:.1f} s", style="dim"), Text(f"\n{report.sentence}", "bold"))


def to_dict(report: ModelReport) -> dict[str, Any]:
    """The report for JSON: what `ModelReport.to_dict` gives."""
    return report.to_dict()


def _structure(matrices: Sequence[MatrixReport]) -> Table:
    names = "density", "components", "giant", "dormant", "distance", "half at |w|", "kept", "2 blocks", "shuffled"
    table = _table("what holds each weight together", "node", "weight", *names)
    for one in matrices:
        table.add_row(
            Text(one.node),
            _shape(one),
            f"{one.density:.2%}",
            f"{one.components:,}",
            f"{one.giant:.1%}",
            f"{one.dormant:,}" if one.dormant else "-",
            f"{one.distance:,.3g}x",
            f"{one.half:.3g}",
            f"{one.half_kept:.2%}",
            *("-" if mass is None else f"{mass:.3f}" for mass in (one.mass, one.mass_shuffled)),
        )
    table.caption = (
        "distance: density over that at which a random weight falls apart; half: keeping only what is larger leaves no "
        "component with half of the features; 2 blocks: share of the squared weight in the best two equal ones"
    )
    return table


def _tests(matrices: Sequence[MatrixReport], level: float) -> Table:
    factors = next((one.sensitivity for one in matrices if one.sensitivity), ())
    around = "/".join(f"{one.factor:g}" for one in factors)
    names = "sigma", "smallest by edges", "by blocks", f"confirmed at {around} sigma", "giant"
    table = _table(f"what the tests could see, at level {level:g}", "node", *names)
    table.add_column("sigma from")
    for one in matrices:
        table.add_row(
            Text(one.node),
            "-" if one.null is None else f"{one.null.sigma:.3g}",
            _signal(one.smallest_edge),
            _signal(one.smallest_block),
            "/".join(f"{row.confirmed:.2%}" for row in one.sensitivity) or "-",
            "/".join(f"{row.giant:.0%}" for row in one.sensitivity) or "-",
            Text("nothing known" if one.null is None else one.null.source),
        )
    table.caption = "smallest: the signal, in sigma, that learning must have added inside two equal blocks to be seen"
    return table


def _steps(report: ModelReport) -> Table:
    """What to try next, with the weights that it is for."""
    table = _table("what to try next", "step", "weights")
    table.add_column("what")
    for step, count in report.steps:
        table.add_row(step, f"{count:,}", Text(STEPS[step]))
    return table


def _words(one: MatrixReport) -> RenderableType:
    lines = [("why", one.reason), ("next", one.suggestion), *one.power]
    return Text.assemble((f"\n{one.node}\n", "bold"), "\n".join(f"  {name}: {text}" for name, text in lines))


def _table(title: str, left: str, *columns: str) -> Table:
    table = make_table(title, (left, "left"), *((name, "right") for name in columns))
    table.caption_justify, table.caption_style = "left", "dim"
    return table


def _shape(one: MatrixReport) -> str:
    return f"{one.shape[0]}x{one.shape[1]}"


def _signal(signal: float | None) -> str:
    if signal is None:
        return "-"
    return f"{signal:.2f}" if math.isfinite(signal) else "none"
