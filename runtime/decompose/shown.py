"""Results for the terminal: the candidates, which of them are on the front, and what is kept or why nothing is."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ...ir.plural import counted
from ...passes.projection.forms import FormName
from ..render.console import Text
from ..render.text.table import make_table
from .result import DecomposeResult
from .task.method import ModelCandidate

__all__ = ["decompose_view"]

WORDS: dict[FormName, str] = {
    "low_rank": "low rank",
    "block_low_rank": "blocks and low rank",
    "monarch": "Monarch products",
}


def decompose_view(found: DecomposeResult, everything: bool = False) -> RenderableType:
    """The Pareto front of latency against the metric as a table, or every candidate when asked, and the verdict."""
    name = found.goal.metric.name
    shown = found.tried if everything else found.front
    parts: list[RenderableType] = []
    if shown:
        what = "candidates" if everything else "front of latency against the metric"
        columns = (("", "left"), ("method", "left"), ("faster", "right"), (name, "right"), ("lost", "right"))
        table = make_table(what, *columns, ("changed", "left"))
        for one in shown:
            mark = "kept" if one is found.chosen else ""
            made = one.candidate
            method = f"{made.method}, trained" if made.learning else made.method
            table.add_row(
                mark, method, one.latency.figure, f"{one.measured.metric:.4g}", f"{one.drop:.4g}", _changed(made)
            )
        parts.append(table)
    proposed = {one.candidate.method for one in found.tried}
    for no in found.declined if found.tried else ():
        more = " more" if no.method in proposed else ""
        parts.append(Text(f"{no.method} proposes nothing{more}: {no.reason}"))
    return Group(*parts, Text(_verdict(found)))


def _changed(made: ModelCandidate) -> str:
    """How many units of each kind are left out, of how many, what weights became, and in how many blocks they are."""
    parts = []
    for kind in dict.fromkeys(one.kind for one in made.removed):
        own = [one for one in made.removed if one.kind == kind]
        parts.append(f"without {sum(one.count for one in own):,} of {sum(one.whole for one in own):,} {kind}")
    if made.method == "blocks":
        parts.append(f"{counted(len(made.settings['kept']), 'weight')} in {made.settings['blocks']} blocks")
    forms = [one.form for one in made.projected]
    parts += [f"{counted(forms.count(form), 'weight')} as {WORDS[form]}" for form in dict.fromkeys(forms)]
    return ", ".join(parts)


def _verdict(found: DecomposeResult) -> str:
    if found.chosen is None or found.judged is None:
        return f"nothing is kept: {found.reason}"
    judged, goal = found.judged, found.goal
    samples = counted(judged.samples, "sample")
    lost = f"{judged.measured.drop:.4g} of {goal.metric.name} lost on {samples} that took no part"
    if judged.limit is None and not judged.holds:
        return f"{found.chosen.latency.figure} faster, but {lost}, which is no number"
    if judged.limit is None:
        return f"kept: {found.chosen.latency.figure} faster, {lost}"
    if judged.holds:
        return f"kept: {found.chosen.latency.figure} faster, {lost}, within {judged.limit:g}"
    return f"{found.chosen.latency.figure} faster, but {lost}, {judged.exceeded:.4g} more than {judged.limit:g}"
