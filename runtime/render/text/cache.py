"""What the tuning cache holds, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType

from ...tune.cached_units import CachedUnit
from ..console import Text
from .table import SHOWN, make_table

__all__ = ["cache_view"]

KEY = 8  # characters of a key that are shown


def cache_view(
    units: Sequence[CachedUnit], path: str, warnings: Sequence[str] = (), everything: bool = False
) -> RenderableType:
    """A row for each entry: key, shapes, which way won, how fast it was at its slowest, and where that was."""
    shown = units if everything else units[:SHOWN]
    columns = ("key", "left"), ("operators", "left"), ("weights", "left"), ("rows", "left"), ("won", "left")
    table = make_table("tuned before", *columns, ("speed", "right"), ("where", "left"))
    for unit in shown:
        table.add_row(
            unit.key[:KEY],
            Text(_few(unit.operators)),
            _few([f"{rows}x{columns}" for rows, columns in unit.shapes]),
            ", ".join(map(str, unit.rows)),
            Text(unit.winner),
            f"{unit.speed:.2f}x" if unit.speed is not None else "",
            Text(unit.place if not unit.stale else f"stale: {unit.stale}", style="yellow" if unit.stale else ""),
        )
    parts: list[RenderableType] = [table] if units else []
    if len(units) > len(shown):
        parts.append(Text(f"… and {len(units) - len(shown)} more (--all shows them)", style="dim"))
    count = f"{len(units)} {'entry' if len(units) == 1 else 'entries'}"
    parts.append(Text(f"{count} in {path}", style="dim"))
    return Group(*parts, *(Text(f"warning: {text}", style="yellow") for text in warnings))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{', '.join(names[:2])} and {len(names) - 2} more"
