"""Results as tables of a notebook, in the place of the lines that the interpreter prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from operator import attrgetter
from typing import Any

from .printable import printable

__all__ = ["as_html", "as_table"]

MOST = 20  # rows of a table
FEW = 3  # members of a cell
NAMED = ("value", "address", "name")  # what stands for a result in a cell
SECONDS = ", s"  # how names of columns end that hold them
UNITS = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))
LONG = 24  # characters of a cell from which on it is to have room, and a table to be scrolled rather than narrower
# Notebooks put tables in the middle and all text in them to the right, which is for numbers.
ASIDE = '<div style="overflow-x:auto">'
TABLE = '<table style="margin:0 0 1em;text-align:left">'
SIDES = {True: "text-align:right;white-space:nowrap", False: "text-align:left"}
ROOM = ";min-width:16em;overflow-wrap:anywhere"


def as_html(head: Sequence[str] = (), **tables: Sequence[str]) -> Callable[[Any], str]:
    """The `_repr_html_` of a class: a line of its fields, a table for each of those that hold several results.

    head: fields that are told by name, what the class says in a `sentence` before them; tables: by field, what of each
    of its members is a column, dotted where it is a field of a field, `name|field` where it has another name there, and
    `name, s|field` where it holds seconds. Columns in which nothing stands are left out. What strangers wrote is
    printed, never markup.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Part:
    ...     name: str
    >>> @dataclass(frozen=True)
    ... class Found:
    ...     parts: tuple[Part, ...]
    ...     _repr_html_ = as_html(parts=("name",))
    >>> Found((Part("<b>"),))._repr_html_()  # doctest: +NORMALIZE_WHITESPACE
    '<p><b>Found</b></p><div style="overflow-x:auto"><table style="margin:0 0 1em;text-align:left"><thead><tr><th
    style="text-align:left">name</th></tr></thead><tbody><tr><td
    style="text-align:left">&lt;b&gt;</td></tr></tbody></table></div>'
    """

    def shown(self: Any) -> str:
        said = [self.sentence] if isinstance(getattr(type(self), "sentence", None), property) else []
        told = [f"{_label(name)} {_cell(self, name)}" for name in head if _cell(self, name)]
        line = "".join(f" · {_text(one)}" for one in (*said, *told))
        return f"<p><b>{type(self).__name__}</b>{line}</p>" + "".join(
            as_table(getattr(self, name), columns) for name, columns in tables.items()
        )

    return shown


def as_table(rows: Sequence[Any], columns: Sequence[str]) -> str:
    """Results as rows, of which columns are what `as_html` says; nothing where nothing stands in any of them."""
    told = {name: [_cell(row, name) for row in rows[:MOST]] for name in columns}
    told = {name: cells for name, cells in told.items() if any(cells)}
    if not told:
        return ""
    styles = {name: _style(cells) for name, cells in told.items()}
    head = "".join(f'<th style="{styles[name]}">{_text(_label(name))}</th>' for name in told)
    lines = [
        "".join(f'<td style="{styles[name]}">{_text(cell)}</td>' for name, cell in zip(told, line, strict=True))
        for line in zip(*told.values(), strict=True)
    ]
    if len(rows) > MOST:
        lines.append(f'<td style="{SIDES[False]}" colspan="{len(told)}">… and {len(rows) - MOST} more</td>')
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"{ASIDE}{TABLE}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _style(cells: Sequence[str]) -> str:
    """How the cells of a column stand: numbers to the right, long text in room of its own."""
    numbers = all(not cell or cell.replace("-", "").replace("+", "")[:1].isdigit() for cell in cells)
    long = max(map(len, cells)) > LONG
    return SIDES[numbers and not long] + (ROOM if long else "")


def _label(name: str) -> str:
    return name.partition("|")[0].removesuffix(SECONDS)


def _cell(row: Any, name: str) -> str:
    """What a row says by this name, as text; a shape as `KxN`, seconds with their unit."""
    content = attrgetter(name.rpartition("|")[2])(row)
    if name.partition("|")[0].endswith(SECONDS) and content is not None:
        return _duration(content)
    return "x".join(map(str, content)) if name == "shape" else _told(content)


def _duration(seconds: float) -> str:
    """Seconds in the unit in which they are no fraction.

    >>> _duration(9.4e-06), _duration(0.0123), _duration(2.0), _duration(0.0)
    ('9.4 µs', '12.3 ms', '2 s', '0 s')
    """
    scale, unit = next((one for one in UNITS if seconds >= one[0]), UNITS[-1] if seconds else UNITS[0])
    return f"{seconds / scale:.3g} {unit}"


def _told(content: Any) -> str:
    """Numbers in few digits, what has a name by it, of several the first; nothing for what there is not."""
    if content is None:
        return ""
    if isinstance(content, float):
        return f"{content:.4g}"
    if isinstance(content, tuple):
        more = f" and {len(content) - FEW} more" if len(content) > FEW else ""
        return ", ".join(map(_told, content[:FEW])) + more
    known = next((getattr(content, name) for name in NAMED if hasattr(content, name)), content)
    return str(known)


def _text(content: str) -> str:
    return escape(printable(content))
