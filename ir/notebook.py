"""Results as tables of a notebook, in the place of the lines that the interpreter prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from operator import attrgetter
from typing import Any

from .printable import printable

__all__ = ["as_html"]

MOST = 20  # rows of a table
FEW = 3  # members of a cell
NAMED = ("value", "address", "name")  # what stands for a result in a cell


def as_html(head: Sequence[str] = (), **tables: Sequence[str]) -> Callable[[Any], str]:
    """The `_repr_html_` of a class: a line of its fields, a table for each of those that hold several results.

    head: fields that are told by name, what the class says in a `sentence` before them; tables: by field, what of each
    of its members is a column, dotted where it is a field of a field, `name|field` where it has another name there.
    What strangers wrote is printed, never markup.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Part:
    ...     name: str
    >>> @dataclass(frozen=True)
    ... class Found:
    ...     parts: tuple[Part, ...]
    ...     _repr_html_ = as_html(parts=("name",))
    >>> Found((Part("<b>"),))._repr_html_()
    '<p><b>Found</b></p><table><thead><tr><th>name</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """

    def shown(self: Any) -> str:
        said = [self.sentence] if isinstance(getattr(type(self), "sentence", None), property) else []
        told = [f"{_label(name)} {_cell(self, name)}" for name in head if _cell(self, name)]
        line = "".join(f" · {_text(one)}" for one in (*said, *told))
        return f"<p><b>{type(self).__name__}</b>{line}</p>" + "".join(
            _table(getattr(self, name), columns) for name, columns in tables.items()
        )

    return shown


def _table(rows: Sequence[Any], columns: Sequence[str]) -> str:
    if not rows:
        return ""
    names = "".join(f"<th>{_text(_label(name))}</th>" for name in columns)
    lines = [
        "<tr>" + "".join(f"<td>{_text(_cell(row, name))}</td>" for name in columns) + "</tr>" for row in rows[:MOST]
    ]
    if len(rows) > MOST:
        lines.append(f'<tr><td colspan="{len(columns)}">… and {len(rows) - MOST} more</td></tr>')
    return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _label(name: str) -> str:
    return name.partition("|")[0]


def _cell(row: Any, name: str) -> str:
    """What a row says by this name, as text; a shape as `KxN`."""
    content = attrgetter(name.rpartition("|")[2])(row)
    return "x".join(map(str, content)) if name == "shape" else _told(content)


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
