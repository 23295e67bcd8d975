"""How a server is doing, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from ...render.console import Text
from ...render.text.table import Name, make_table
from .status import PartStatus, Status

__all__ = ["service_view"]


def service_view(status: Status, rows: int | None = None) -> RenderableType:
    """A line of what it is at, one of what it answered, and a row for each part, the one called most of late first.

    rows: of the table at most, with the rest summed up; None for all.
    """
    refused = sum(count for code, count in status.statuses.items() if code >= "400")
    lines: list[RenderableType] = [
        Text.assemble(
            (status.model, "bold"),
            f": {status.per_second:.1f} requests a second, p50 {_took(status.p50)}, p99 {_took(status.p99)}, "
            f"{status.running} of {status.workers} workers busy, {status.waiting} waiting",
        )
    ]
    told = f"{sum(status.statuses.values()):,} requests in {_span(status.up)}, {refused:,} of them refused or failed"
    lines.append(Text(told, style="dim"))
    if status.parts:
        lines.append(_parts(sorted(status.parts, key=lambda part: (-part.per_second, -part.calls)), rows))
    return Group(*lines)


def _parts(parts: Sequence[PartStatus], rows: int | None) -> Table:
    columns = ("part", "calls", "a request", "a second", "ms a call", "busy", "replicas")
    table = make_table("parts", *((name, "right" if index else "left") for index, name in enumerate(columns)))
    shown = len(parts) if rows is None or len(parts) <= rows else max(rows - 1, 1)
    for part in parts[:shown]:
        table.add_row(Name(part.name, least=8), *_numbers(part))
    if rest := parts[shown:]:
        calls, spent = sum(part.calls for part in rest), sum(part.calls * part.seconds for part in rest)
        total = PartStatus(
            name="",
            calls=calls,
            share=sum(part.share for part in rest),
            seconds=spent / max(calls, 1),
            per_second=sum(part.per_second for part in rest),
            busy=sum(part.busy for part in rest),
            replicas=sum(part.replicas for part in rest),
        )
        table.add_row(Text(f"{len(rest):,} more", style="dim"), *_numbers(total))
    return table


def _numbers(part: PartStatus) -> list[str]:
    took = f"{1e3 * part.seconds:.2f}" if part.calls else ""
    return [
        f"{part.calls:,}",
        f"{part.share:.2f}",
        f"{part.per_second:,.1f}",
        took,
        f"{part.busy:.2f}",
        f"{part.replicas}",
    ]


def _took(seconds: float | None) -> str:
    return "none yet" if seconds is None else f"{1e3 * seconds:.2f} ms"


def _span(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
