"""Annealing on the terminal: which weights go, on what evidence, and what that was measured to cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from ....ir.plan.annealing import Annealing
from ....ir.plural import once
from ..console import Text
from ..words import left_out
from .table import SHOWN, make_table

if TYPE_CHECKING:
    from ...calibrate.selection import Selection

__all__ = ["annealing_view", "selection_view"]


def annealing_view(annealing: Sequence[Annealing], everything: bool = False) -> RenderableType:
    """The weights that are removed, a row per linear: how many, by which test, from which sha256 they come back."""
    found = make_table(
        "annealed (lossy)", ("node", "left"), ("weight", "left"), ("shape", "right"), ("removed", "right")
    )
    for name, justify in (
        ("blocks", "right"),
        ("residual", "right"),
        ("test", "left"),
        ("sigma", "left"),
        ("why", "left"),
    ):
        found.add_column(name, justify=justify)  # type: ignore[arg-type]
    for one in annealing if everything else annealing[:SHOWN]:
        evidence = one.evidence
        null = evidence.null
        sigma = "" if null is None else f"{null.sigma:.4g}{' (estimated)' if null.estimated else ''}"
        why = evidence.certificate.reason if evidence.certificate else evidence.power
        found.add_row(
            Text(one.node),
            Text(one.weight),
            f"{one.shape[0]}x{one.shape[1]}",
            f"{one.removed:,} ({one.removed / (one.shape[0] * one.shape[1]):.1%})",
            f"{len(one.blocks.blocks)}" if one.blocks else "edges",
            f"{len(one.residual)}" if one.residual else "-",
            f"{evidence.test} at {evidence.level:g}{', refitted' if one.refitted else ''}",
            sigma,
            Text("; ".join([why, *evidence.notes])),
        )
    parts: list[RenderableType] = [found]
    if len(annealing) > SHOWN and not everything:
        parts.append(Text(left_out(len(annealing) - SHOWN), style="dim"))
    parts.append(Text("removed weights come back from the original model, whose sha256 the plan holds", style="dim"))
    return Group(*parts)


def selection_view(selection: Selection, everything: bool = False, *, told: bool = False) -> RenderableType:
    """What was annealed within the budget, its measured effect, and why the other operators were not.

    told: whether somebody else says why nothing was.
    """
    parts: list[RenderableType] = []
    if selection.chosen:
        parts.append(annealing_view(selection.annealing, everything))
        parts.append(Text(f"measured: {selection.effect}", style="bold"))
    elif not told:
        parts.append(Text(f"nothing was annealed: {selection.reason}", style="bold"))
    if everything:
        parts += [Text(f"{one.node}: {one.reason}", style="dim") for one in selection.refused]
    else:
        for node, why in once((one.node, one.reason.text) for one in selection.refused)[:SHOWN]:
            parts.append(Text(f"not annealed: {node}: {why}", style="dim"))
    return Group(*parts)
