"""What tuning measured, and what fell back to dense, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType

from ....ir.plural import and_more
from ...tune.fallback import Fallback
from ...tune.tuned import TunedUnit, Way
from ..console import Text
from ..words import left_out
from .table import SHOWN, make_table

__all__ = ["fallback_view", "tuning_view"]


def tuning_view(units: Sequence[TunedUnit], warnings: Sequence[str] = (), everything: bool = False) -> RenderableType:
    """A row for each unit: how it was planned, what won, predicted and measured speed-up; or a row for each way."""
    parts: list[RenderableType] = []
    table = make_table("tuned", ("nodes", "left"), ("planned", "left"), ("won", "left"), ("predicted", "right"))
    for name, side in (("measured", "right"), ("by", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for unit in units if everything else units[:SHOWN]:
        best = _best(unit)
        table.add_row(
            Text(_nodes(unit.nodes, everything)),
            unit.planned,
            Text(unit.winner, style="bold"),
            f"{best.predicted:.1f}x" if best else "",
            _speeds(best) if best else "",
            Text(unit.note or _by(unit)),
        )
        for way in unit.table if everything else ():
            table.add_row("", "", f"  {way.way}", f"{way.predicted:.1f}x", _speeds(way), Text(str(way.problem or "")))
    if units:
        parts.append(table)
        sizes = next((unit.batch for unit in units if unit.batch), ())
        known = ", ".join(str(count) for count in sizes if count is not None)
        parts.append(Text(f"times the speed of dense{f' at batch {known}' if known else ''}", style="dim"))
    if len(units) > SHOWN and not everything:
        parts.append(Text(left_out(len(units) - SHOWN), style="dim"))
    if not everything:
        wrong = [f"{unit.nodes[0]}: {w.way}: {w.problem}" for unit in units for w in unit.table if w.problem]
        parts += [Text(f"thrown out: {text}", style="bold red") for text in wrong[:SHOWN]]
    parts += [Text(f"warning: {text}", style="yellow") for text in warnings]
    return Group(*parts)


def fallback_view(fallbacks: Sequence[Fallback], everything: bool = False) -> RenderableType:
    """The units that went back to dense, with what they were measured at."""
    columns = ("nodes", "left"), ("was", "left"), ("measured", "right"), ("why", "left")
    table = make_table("back to dense", *columns)
    for one in fallbacks if everything else fallbacks[:SHOWN]:
        speed = f"{one.speed:.2f}x" if one.speed is not None else ""
        table.add_row(Text(_nodes(one.nodes, everything)), one.way, speed, Text(one.reason.text))
    more = [Text(left_out(len(fallbacks) - SHOWN), style="dim")]
    return Group(table, *(more if len(fallbacks) > SHOWN and not everything else []))


def _best(unit: TunedUnit) -> Way | None:
    """The winner's figures, of a unit that stays dense those of the best way."""
    won = next((way for way in unit.table if way.way == unit.winner), None)
    return won or max(unit.table, key=lambda way: (way.worst, *(s or 0 for s in way.speeds)), default=None)


def _by(unit: TunedUnit) -> str:
    return unit.source if unit.source in ("measured", "cache") else f"as {unit.source}"


def _speeds(way: Way) -> str:
    return " ".join("-" if speed is None else f"{speed:.2f}x" for speed in way.speeds)


def _nodes(nodes: Sequence[str], everything: bool) -> str:
    return ", ".join(nodes) if everything or len(nodes) < 3 else and_more(nodes[0], len(nodes) - 1)
