"""The difference of two models as tables for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.text import Text

from ....ir.findings.difference import Became, Difference, Drift, Field, NodeChange, TensorChange
from ....ir.plural import and_more
from ..naming import Naming
from ..words import left_out, megabytes
from .diff_lines import drifts, named, operators, provenance_sentence, relations, renamed_sentence, sources, totals
from .table import SHOWN, Name, make_table

__all__ = ["diff_view", "drift_cells"]

NAMED = frozenset({"nodes of A", "node", "constant", "of", "read by"})  # columns of names, which are shortened
T = TypeVar("T")


def diff_view(found: Difference, everything: bool = False) -> RenderableType:
    """What two models differ in, the sum of it first; long tables are cut unless `everything` is asked for."""
    parts: list[RenderableType] = [Text(found.sentence, style="bold")]
    for title, columns, rows in _tables(found):
        if rows:
            parts += _table(title, columns, rows, everything)
    if found.renamed:
        parts.append(Text(renamed_sentence(found), style="dim"))
    if found.provenance:
        parts.append(Text(provenance_sentence(found), style="dim"))
    if not found.same:
        table = make_table("totals", ("", "left"), ("A", "right"), ("B", "right"), ("change", "right"))
        for row in totals(found):
            table.add_row(*map(Text, row))
        parts.append(table)
    return Group(*parts)


Table = tuple[str, tuple[tuple[str, str], ...], list[tuple[str, ...]]]


def _tables(found: Difference) -> Iterable[Table]:
    fields = _rows((*found.header, *found.interface), _field)
    both = ("what", "left"), ("A", "left"), ("B", "left")
    yield "header and interface", both, fields
    yield "doc strings, metadata and annotations", both, _rows(found.texts, _field)
    columns = (
        ("", "left"),
        ("nodes of A", "left"),
        ("operators", "left"),
        ("nodes of B", "right"),
        ("operators", "left"),
    )
    yield "nodes of one model only", (*columns, ("by", "left")), _folded(_rows(found.groups, _group))
    columns = ("", "left"), ("node", "left"), ("operator", "left"), ("what", "left"), ("A", "left")
    nodes = [row for node in found.nodes for row in _node(node)]
    yield "nodes of both models that differ", (*columns, ("B", "left")), nodes
    columns = ("read by", "left"), ("constant", "left"), ("type", "left"), ("relative", "right"), ("largest", "right")
    yield "weights that changed", (*columns, ("entries", "right")), _rows(drifts(found), _drift)
    columns = ("constant", "left"), ("", "left"), ("of", "left"), ("which part, or for what", "left"), ("size", "right")
    yield "constants that differ", columns, _rows(relations(found), _relation)


def _rows(things: Iterable[T], row: Callable[[T], tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [row(thing) for thing in things]


def _folded(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows that say the same once, with their number behind the first word."""
    counts = Counter(rows).items()
    return [(f"{row[0]} {number:,} times" if number > 1 else row[0], *row[1:]) for row, number in counts]


def _is_name(cell: str, column: str) -> bool:
    return column in NAMED and bool(cell) and " " not in cell


def _table(
    title: str, columns: tuple[tuple[str, str], ...], rows: Sequence[tuple[str, ...]], everything: bool
) -> list[RenderableType]:
    table = make_table(title, *columns)
    shown = rows if everything else rows[:SHOWN]
    names = [Naming(cells) for cells in zip(*shown, strict=True)]
    for row in shown:
        cells: list[RenderableType] = []
        for cell, (column, _), among in zip(row, columns, names, strict=True):
            cells.append(Name(cell, among=among) if _is_name(cell, column) else Text(cell))
        table.add_row(*cells)
    more = left_out(len(rows) - SHOWN)
    return [table, *([Text(more, style="dim")] if len(rows) > SHOWN and not everything else [])]


def _field(field: Field) -> tuple[str, ...]:
    return field.what, field.before or "", field.after or ""


def _group(group: Became) -> tuple[str, ...]:
    before = operators(group.before) if group.before else ""
    after = operators(group.after) if group.after else ""
    return group.kind, sources(group), before, str(len(group.after) or ""), after, group.by


def _node(node: NodeChange) -> Iterable[tuple[str, ...]]:
    for index, field in enumerate(node.fields):
        head = (node.kind, node.after.address, node.after.op) if not index else ("", "", "")
        yield *head, field.what, field.before or "", field.after or ""


def drift_cells(drift: Drift) -> tuple[str, str, str]:
    """Relative norm, largest entry and share of a drift as text."""
    relative, largest = (("not finite" if x is None else f"{x:.2e}") for x in (drift.relative, drift.max_abs))
    return relative, largest, f"{drift.share:.2%}"


def _drift(one: TensorChange) -> tuple[str, ...]:
    assert one.after is not None and one.drift is not None
    reader = and_more(one.readers[0], len(one.readers) - 1) if one.readers else ""
    form = one.detail or f"{one.after.dtype} {list(one.after.shape)}"
    return reader, one.after.name, form, *drift_cells(one.drift)


def _relation(one: TensorChange) -> tuple[str, ...]:
    at = one.after or one.before[0]
    of = "" if one.after is None else named(one.before)
    detail = one.detail or (", ".join(one.origin[:2]) + (", …" if len(one.origin) > 2 else ""))
    if not detail and one.readers:
        detail = f"read by {one.readers[0]}"
    return at.name, one.kind, of, detail, megabytes(at.nbytes)
