"""Looks for the terminal: a line for each weight."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ....ir.findings.formation import EdgeStructure, Formation, Look, WeightLook
from ...render.console import Text
from ...render.text.table import Name, make_table

__all__ = ["formation_view", "look_view"]

COLUMNS = (("weight", "left"), ("shape", "right"), ("of", "left"), ("edges", "right"), ("components", "right"))
MORE = (("largest", "right"), ("dormant", "right"), ("SCCs", "right"), ("layers", "right"), ("blocks", "left"))


def look_view(look: Look) -> RenderableType:
    """One look: what each weight is, and what learning made of it."""
    table = make_table(f"step {look.step:,}", *COLUMNS, *MORE)
    for one in look.weights:
        table.add_row(Name(one.name), "x".join(map(str, one.shape)), "weight", *_cells(one, one.weight))
        if one.change is not None:
            table.add_row("", "", "change", *_cells(one, one.change))
    return Group(table, Text(f"{look.seconds:,.1f} s, of which this look took {1e3 * look.took:.1f} ms", style="dim"))


def formation_view(run: Formation, everything: bool = False) -> RenderableType:
    """A run: its last look, and the steps at which the structure of a weight became another; all of them when asked."""
    if not run.looks:
        return Text("no look yet")
    table = make_table("what changed", ("weight", "left"), ("step", "right"), ("components", "right"), MORE[0], MORE[1])
    for name in run.names:
        before: tuple[int, int] | None = None
        for look, one in run.of(name):
            seen = one.subject
            if everything or before != (seen.components, seen.dormant):
                first = before is None
                cells = f"{seen.components:,}", f"{seen.giant:.1%}", f"{seen.dormant:,}"
                table.add_row(Name(name) if first else "", f"{look.step:,}", *cells)
            before = (seen.components, seen.dormant)
    return Group(table, look_view(run.looks[-1]))


def _cells(one: WeightLook, seen: EdgeStructure) -> tuple[str, ...]:
    signs = seen.signs
    told = ""
    if signs is not None:
        told = f"{signs.blocks} {'certified' if signs.accepted else 'refused'} at step {signs.step:,}"
    return (
        f"{seen.edges / (one.shape[0] * one.shape[1]):.1%}",
        f"{seen.components:,}",
        f"{seen.giant:.1%}",
        f"{seen.dormant:,}",
        "" if seen.sccs is None else f"{seen.sccs:,}",
        "" if seen.layers is None else f"{seen.layers:,}",
        told,
    )
