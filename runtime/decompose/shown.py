"""Results for the terminal: the candidates, which of them are on the front, and what is kept or why nothing is."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ...ir.plural import counted
from ..render.console import Text
from ..render.text.table import make_table
from .result import DecomposeResult
from .trying import TriedCandidate

__all__ = ["decompose_view"]


def decompose_view(found: DecomposeResult, everything: bool = False) -> RenderableType:
    """The Pareto front of latency against the metric as a table, or every candidate when asked, and the verdict."""
    name = found.goal.metric.name
    shown = found.tried if everything else found.front
    parts: list[RenderableType] = []
    if shown:
        what = "candidates" if everything else "front of latency against the metric"
        columns = (("", "left"), ("method", "left"), ("faster", "right"), (name, "right"), ("lost", "right"))
        table = make_table(what, *columns, ("left out", "left"))
        for one in shown:
            mark = "kept" if one is found.chosen else ""
            made = one.candidate
            table.add_row(
                mark, made.method, one.latency.figure, f"{one.measured.metric:.4g}", f"{one.drop:.4g}", _left_out(one)
            )
        parts.append(table)
    parts += [Text(f"{one.method} proposes nothing: {one.reason}") for one in found.declined if found.tried]
    return Group(*parts, Text(_verdict(found)))


def _left_out(tried: TriedCandidate) -> str:
    """How many units of each kind, of how many."""
    kinds = dict.fromkeys(one.kind for one in tried.candidate.removed)
    parts = []
    for kind in kinds:
        own = [one for one in tried.candidate.removed if one.kind == kind]
        parts.append(f"{sum(one.count for one in own):,} of {sum(one.whole for one in own):,} {kind}")
    return ", ".join(parts)


def _verdict(found: DecomposeResult) -> str:
    if found.chosen is None or found.judged is None:
        return f"nothing is kept: {found.reason}"
    judged, goal = found.judged, found.goal
    samples = counted(judged.samples, "sample")
    lost = f"{judged.measured.drop:.4g} of {goal.metric.name} lost on {samples} that took no part"
    if judged.limit is None:
        return f"kept: {found.chosen.latency.figure} faster, {lost}"
    if judged.holds:
        return f"kept: {found.chosen.latency.figure} faster, {lost}, within {judged.limit:g}"
    return f"{found.chosen.latency.figure} faster, but {lost}, {judged.exceeded:.4g} more than {judged.limit:g}"
