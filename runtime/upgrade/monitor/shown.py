"""Looks for the terminal: a line for each weight."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ....ir.findings.formation import EdgeStructure, Formation, Look, WeightLook
from ....ir.printable import printable
from ...render.console import Text
from ...render.naming import Naming
from ...render.text.table import Name, make_table

__all__ = ["formation_view", "look_view"]

COLUMNS = (("weight", "left"), ("of", "left"), ("edges", "right"), ("components", "right"))
MORE = (("largest", "right"), ("dormant", "right"), ("SCCs", "right"), ("layers", "right"))
LEAST = 12  # letters of a name, so that all columns have room in a terminal of 80


def look_view(look: Look) -> RenderableType:
    """One look: what each weight is, and what learning made of it."""
    table, told = make_table(f"step {look.step:,}", *COLUMNS, *MORE), []
    for column in table.columns[1:]:
        column.no_wrap = True
    among = Naming(one.name for one in look.weights)
    for one in look.weights:
        shape = "x".join(map(str, one.shape))
        name = Name(one.name, "" if one.change else f" {shape}", among, LEAST)
        table.add_row(name, "weight", *_cells(one, one.weight))
        if one.change is not None:
            table.add_row(Name(shape, least=LEAST), "change", *_cells(one, one.change))
        told += [_signs(one.name, of, seen) for of, seen in (("weight", one.weight), ("change", one.change)) if seen]
    return Group(
        table,
        *filter(None, told),
        Text(f"{look.seconds:,.1f} s, of which this look took {1e3 * look.took:.1f} ms", style="dim"),
    )


def formation_view(run: Formation, everything: bool = False) -> RenderableType:
    """A run: its last look, and the steps at which the structure of a weight became another; all of them when asked."""
    if not run.looks:
        return Text("no look yet")
    table = make_table("what changed", ("weight", "left"), ("step", "right"), ("components", "right"), MORE[0], MORE[1])
    among = Naming(run.names)
    for name in run.names:
        before: tuple[int, int] | None = None
        for look, one in run.of(name):
            seen = one.subject
            if everything or before != (seen.components, seen.dormant):
                first = before is None
                cells = f"{seen.components:,}", f"{seen.giant:.1%}", f"{seen.dormant:,}"
                table.add_row(Name(name, among=among) if first else "", f"{look.step:,}", *cells)
            before = (seen.components, seen.dormant)
    return Group(table, look_view(run.looks[-1]))


def _cells(one: WeightLook, seen: EdgeStructure) -> tuple[str, ...]:
    return (
        f"{seen.edges / (one.shape[0] * one.shape[1]):.1%}",
        f"{seen.components:,}",
        f"{seen.giant:.1%}",
        f"{seen.dormant:,}",
        "" if seen.sccs is None else f"{seen.sccs:,}",
        "" if seen.layers is None else f"{seen.layers:,}",
    )


def _signs(name: str, of: str, seen: EdgeStructure) -> Text | None:
    """What the test of whole blocks said, None where nobody asked it yet."""
    if (signs := seen.signs) is None:
        return None
    said = f"block{'' if signs.blocks == 1 else 's'} {'certified' if signs.accepted else 'refused'}"
    return Text(f"{printable(name)}, {of}: {signs.blocks:,} {said} at step {signs.step:,}")
