"""How a server is doing, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ...render.console import Text
from ...render.text.table import make_table
from .status import Status

__all__ = ["service_view"]


def service_view(status: Status) -> RenderableType:
    """A line of what it is at, one of what it answered, and a row for each part, the one called most first."""
    refused = sum(count for code, count in status.statuses.items() if code >= "400")
    lines: list[RenderableType] = []
    if status.parts:
        columns = (("part", "left"), ("calls", "right"), ("of requests", "right"), ("ms a call", "right"))
        table = make_table("parts", *columns, ("replicas", "right"))
        for part in sorted(status.parts, key=lambda part: -part.calls):
            share, took = f"{part.share:.0%}", f"{1e3 * part.seconds:.2f}"
            table.add_row(Text(part.name), f"{part.calls:,}", share, took, str(part.replicas))
        lines.append(table)
    told = f"{sum(status.statuses.values()):,} requests in {_span(status.up)}, {refused:,} of them refused or failed"
    lines.append(Text(told, style="dim"))
    lines.append(
        Text.assemble(
            (status.model, "bold"),
            f": {status.per_second:.1f} requests a second, p50 {_took(status.p50)}, p99 {_took(status.p99)}, "
            f"{status.running} of {status.workers} workers busy, {status.waiting} waiting",
        )
    )
    return Group(*lines)


def _took(seconds: float | None) -> str:
    return "none yet" if seconds is None else f"{1e3 * seconds:.2f} ms"


def _span(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
