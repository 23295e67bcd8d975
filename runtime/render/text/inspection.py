"""Rows of an inspection: sorted, filtered, cut; as a table for the terminal, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType

from ....ir.errors import ScissionError, option
from ....ir.findings.inspection import FIELDS, Inspected, Inspection
from ....ir.printable import printable
from ..console import Text
from ..words import left_out, plan_sentence
from .fitted_table import Column, FittedTable, lines_of
from .report import preparation_lines, recurrences
from .table import SHOWN

__all__ = ["COLUMNS", "InspectionError", "check_column", "inspection_view", "select_rows", "to_csv"]

COLUMNS: Mapping[str, Callable[[Inspection], Any]] = MappingProxyType(  # that rows can be sorted by
    {
        **{name: attrgetter(name) for name in FIELDS if name not in ("cause", "reason")},
        "cause": lambda row: row.reason.cause,
        "reason": lambda row: row.reason.text,
        "shape": lambda row: row.inputs * row.outputs,
        "dormant": lambda row: row.dormant_inputs + row.dormant_outputs,
    }
)


FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # with which spreadsheets begin one; the last four are as wide as Kana


class InspectionError(ScissionError):
    """A column that rows do not have."""


def select_rows(
    rows: Sequence[Inspection],
    *,
    sort: str | None = None,
    reverse: bool = False,
    wanted: str = "",
    top: int | None = None,
) -> tuple[Inspection, ...]:
    """The rows that hold a text in node, operator or verdict, in order, and only the first `top` of them.

    sort: a name of `COLUMNS`, smallest first, with '-' before it largest first, what is not known last; without it
    those with most components come first, then the largest. reverse: the other way round. Raises InspectionError for
    an unknown column.
    """
    text = wanted.casefold()
    found = [row for row in rows if any(text in one.casefold() for one in (row.node, row.operator, row.verdict))]
    if sort is None:
        found = sorted(found, key=lambda row: (-row.components, -row.parameters))
        found = found[::-1] if reverse else found
    else:
        of = COLUMNS[check_column(sort)]
        known = [row for row in found if of(row) is not None]
        unknown = [row for row in found if of(row) is None]
        found = [*sorted(known, key=of, reverse=sort.startswith("-") != reverse), *unknown]
    return tuple(found if top is None else found[:top])


def check_column(sort: str | None) -> str:
    """The name of a column to sort by, without its sign; raises InspectionError where there is no such column."""
    name = (sort or "node").removeprefix("-")
    if name not in COLUMNS:
        raise InspectionError(option("sort"), f": there is no column {name!r}; use one of {', '.join(COLUMNS)}")
    return name


def to_csv(rows: Sequence[Inspection]) -> str:
    """A line for each row below one of names; fields with commas or quotes are quoted (RFC 4180).

    What is not known is empty, and lines end with a line feed. Texts are printable, and one that a spreadsheet would
    take for a formula has a quote before it, as is the custom; names as they are stand in the JSON.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        told = row.to_dict() | {"rows": " ".join(map(str, row.rows))}
        writer.writerow({name: _field(value) if isinstance(value, str) else value for name, value in told.items()})
    return text.getvalue()


def _field(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def inspection_view(found: Inspected, rows: Sequence[Inspection], everything: bool = False) -> RenderableType:
    """A table of the rows, then in a line each reason with the operators that it holds for, then what is no linear."""
    shown = rows if everything else rows[:SHOWN]
    parts: list[RenderableType] = []
    if found.plan.analysed and rows:
        parts.append(Text(f"components found {found.plan.analysed}", style="dim"))
    parts += [_table(shown)] if shown else []
    if len(shown) < len(rows):
        parts.append(Text(left_out(len(rows) - len(shown)), style="dim"))
    if len(rows) < len(found.rows):
        parts.append(Text(f"{len(rows)} of {len(found.rows)} linears", style="dim"))
    parts += preparation_lines(found.plan, everything)
    parts += recurrences(found.plan, everything)
    if rows:
        parts += [Text("why", style="bold"), *lines_of([(row.node, row.reason.text) for row in shown], everything)]
    skipped = [(f"{one.node} ({one.op})", one.reason.text) for one in found.plan.skipped]
    if skipped:
        parts += [Text("no linears", style="bold"), *lines_of(skipped, everything)]
    return Group(*parts, Text(plan_sentence(found.plan), style="bold"))


def _table(rows: Sequence[Inspection]) -> FittedTable:
    columns = [
        Column(name="node", text=True),
        Column(name="scope", text=True, optional=1, meaning="graph or function that it stands in"),
        Column(name="operator", optional=3),
        Column(name="weight"),
        Column(name="type", optional=4),
        Column(name="density"),
        Column(name="degree", meaning="edges per feature", optional=4),
        Column(name="components"),
        Column(name="giant", meaning="share of the features in the largest component", optional=5),
        Column(name="dormant", meaning="inputs and outputs without an edge", optional=2),
        Column(name="blocks", meaning="share of the multiply-adds that the components need"),
        Column(name="covers", meaning="the same of groups of about sixteen outputs that share inputs"),
        Column(name="left", meaning="what the plan leaves", optional=2),
        Column(name="rows", meaning="activation rows that the verdict is for", optional=3),
        Column(name="verdict", meaning="what `scission plan` would do"),
    ]
    cells = [_cells(row) for row in rows]
    if not any(row.scope for row in rows):
        columns, cells = [columns[0], *columns[2:]], [(one[0], *one[2:]) for one in cells]
    return FittedTable(title="linears", columns=tuple(columns), rows=tuple(cells))


def _cells(row: Inspection) -> tuple[str, ...]:
    return (
        row.node,
        row.scope or "-",
        row.operator,
        f"{row.inputs}x{row.outputs}",
        row.type,
        f"{row.density:.2%}",
        f"{row.degree:,.1f}",
        f"{row.components:,}",
        f"{row.giant:.1%}",
        f"{row.dormant_inputs} in {row.dormant_outputs} out" if row.dormant_inputs or row.dormant_outputs else "-",
        f"{row.blocks:.1%}",
        "-" if row.covers is None else f"{row.covers:.1%}",
        f"{row.left:.1%}",
        "-".join(f"{count:,}" for count in dict.fromkeys(row.rows[:1] + row.rows[-1:])) or "-",
        row.verdict,
    )
