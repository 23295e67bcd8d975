"""A simulation as tables: parts beside the model that is not cut, and a row for each part."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ....ir.findings.simulation import Served, Simulation
from ....ir.plural import counted
from ..console import Text
from ..text.table import SHOWN, Name, make_table
from ..words import left_out

__all__ = ["simulation_view"]

MIB = 1 << 20


def simulation_view(found: Simulation, everything: bool = False) -> RenderableType:
    """What is to be expected, the parts that are called most first."""
    machines = f"{counted(found.machines, 'machine')} of {counted(found.cores, 'core')}"
    title = f"{counted(found.requests, 'request')}, {machines}"
    columns = "", "a second", "p50 ms", "p99 ms", "busy", "busiest", "core ms", "MiB"
    beside = make_table(title, *((name, "right" if index else "left") for index, name in enumerate(columns)))
    beside.add_row("parts", *_numbers(found.parts))
    beside.add_row("uncut", *_numbers(found.whole))
    table = make_table(
        "parts", ("part", "left"), ("calls", "right"), ("of all", "right"), ("replicas", "right"), ("busy", "right")
    )
    total = sum(load.calls for load in found.loads) or 1
    loads = sorted(found.loads, key=lambda load: -load.busy)
    shown = loads if everything else loads[:SHOWN]
    for load in shown:
        calls, share = f"{load.calls:,}", f"{load.calls / total:.1%}"
        table.add_row(Name(load.name, least=8), calls, share, f"{load.replicas:,}", f"{load.busy:.2f}")
    left = len(loads) - len(shown)
    rest = [Text(left_out(left, "parts"), style="dim")] if left else []
    told = f"a request takes {found.cheaper:.1f} times fewer seconds of cores than with the model that is not cut"
    full = found.parts.most_busy > 0.95
    warning = [Text("machines have no time left: requests wait ever longer; take more", style="bold")] if full else []
    return Group(beside, Text(""), table, *rest, Text(""), Text(told), *warning)


def _numbers(served: Served) -> list[str]:
    return [
        f"{served.per_second:,.1f}",
        f"{1e3 * served.p50:,.2f}",
        f"{1e3 * served.p99:,.2f}",
        f"{served.mean_busy:.0%}",
        f"{served.most_busy:.0%}",
        f"{1e3 * served.core_seconds:.2f}",
        f"{served.bytes_ / MIB:,.1f}",
    ]
