"""The difference of two models as tables for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rich.console import Group, RenderableType

from ....ir.findings.difference import Became, Difference, Drift, Field, NodeChange, TensorChange
from ....ir.plural import and_more
from ..console import Text
from ..words import left_out, megabytes
from .diff_lines import drifts, named, operators, provenance_sentence, relations, renamed_sentence, sources, totals
from .fitted_table import Column, FittedTable
from .table import SHOWN

__all__ = ["diff_view", "drift_cells"]

TOTALS = Column(name="", text=True), Column(name="A"), Column(name="B"), Column(name="change")
FIELDS = tuple(Column(name=name, text=True, whole=True) for name in ("what", "A", "B"))
NODES = tuple(Column(name=name, text=True) for name in ("", "node", "operator"))
GROUPS = (
    *(Column(name=name, text=True) for name in ("", "nodes of A", "operators")),
    Column(name="nodes of B", apart=True),
    Column(name="operators", text=True),
    Column(name="by", text=True, apart=True),
)
DRIFTS = (
    *(Column(name=name, text=True) for name in ("read by", "constant", "type")),
    *(Column(name=name) for name in ("relative", "largest", "entries")),
)
CONSTANTS = (
    *(Column(name=name, text=True) for name in ("constant", "", "of", "which part, or for what")),
    Column(name="size"),
)
T = TypeVar("T")


def diff_view(found: Difference, everything: bool = False) -> RenderableType:
    """What two models differ in, the sum of it last; long tables are cut unless `everything` is asked for."""
    parts: list[RenderableType] = []
    for title, columns, rows, heads in _tables(found):
        if rows:
            parts += _table(title, columns, rows, heads, everything)
    if found.renamed:
        parts.append(Text(renamed_sentence(found), style="dim"))
    if found.provenance:
        parts.append(Text(provenance_sentence(found), style="dim"))
    if not found.same:
        parts.append(FittedTable(title="totals", columns=TOTALS, rows=tuple(totals(found)), heads=1))
    return Group(*parts, Text(found.sentence, style="bold"))


Table = tuple[str, tuple[Column, ...], list[tuple[str, ...]], int]


def _tables(found: Difference) -> Iterable[Table]:
    """Title, columns, rows, and how many cells head a row where there is no room for columns."""
    fields = _rows((*found.header, *found.interface), _field)
    yield "header and interface", FIELDS, fields, 1
    yield "doc strings, metadata and annotations", FIELDS, _rows(found.texts, _field), 1
    yield "nodes of one model only", GROUPS, _folded(_rows(found.groups, _group)), 2
    yield "nodes of both models that differ", (*NODES, *FIELDS), [row for one in found.nodes for row in _node(one)], 3
    yield "weights that changed", DRIFTS, _rows(drifts(found), _drift), 2
    yield "constants that differ", CONSTANTS, _rows(relations(found), _relation), 1


def _rows(things: Iterable[T], row: Callable[[T], tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [row(thing) for thing in things]


def _folded(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows that say the same once, with their number behind the first word."""
    counts = Counter(rows).items()
    return [(f"{row[0]} {number:,} times" if number > 1 else row[0], *row[1:]) for row, number in counts]


def _table(
    title: str, columns: tuple[Column, ...], rows: Sequence[tuple[str, ...]], heads: int, everything: bool
) -> list[RenderableType]:
    shown = rows if everything else rows[:SHOWN]
    table = FittedTable(title=title, columns=columns, rows=tuple(shown), heads=heads)
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
    detail = one.detail or (and_more(one.origin[0], len(one.origin) - 1) if one.origin else "")
    if not detail and one.readers:
        detail = f"read by {one.readers[0]}"
    return at.name, one.kind, of, detail, megabytes(at.nbytes)
