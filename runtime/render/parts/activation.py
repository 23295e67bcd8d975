"""Which parts data activate, as a table."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ....ir.parts.activation import Activation
from ..console import Text
from ..text.table import SHOWN, make_table
from ..words import left_out

__all__ = ["activation_view"]


def activation_view(found: Activation, everything: bool = False) -> RenderableType:
    """How often each part is activated, its share of the multiply-adds, and which part most often beside it."""
    table = make_table(
        f"parts that {found.rows:,} rows activate",
        ("part", "left"),
        ("rows", "right"),
        ("share", "right"),
        ("load", "right"),
        ("most often with", "left"),
    )
    total = sum(found.load) or 1
    beside: dict[int, tuple[int, int]] = {}
    for pair, rows in found.together.items():
        for one, other in (pair, pair[::-1]):
            beside[one] = max(beside.get(one, (0, 0)), (rows, -other))
    order = sorted(range(len(found.parts)), key=lambda at: (-found.load[at], at))
    shown = order if everything else order[:SHOWN]
    for at in shown:
        part, (rows, other) = found.parts[at], beside.get(at, (0, 0))
        often = f"{found.parts[-other].name} ({rows / part.rows:.0%})" if rows else ""
        load = f"{found.load[at] / total:.1%}"
        table.add_row(Text(part.name), f"{part.rows:,}", f"{found.frequency[at]:.1%}", load, Text(often))
    left = len(order) - len(shown)
    return Group(table, *([Text(left_out(left, "parts"), style="dim")] if left else []))
