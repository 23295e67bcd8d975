"""Results as a few lines for the interpreter: what they hold, long things by their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from .notebook import as_table

__all__ = ["Several", "brief", "brief_line"]

T = TypeVar("T")

WIDE = 100  # letters of a line
MOST = 17  # fields that are told
FEW = 4  # plain values that are listed rather than counted
DEPTH = 1  # results inside a result that are told with their fields, if that fits a line


class Several(tuple[T, ...]):
    """Results of one kind, the first of which are told in a line each, in a notebook in a row of the `columns` of their
    class.

    >>> Several(range(100))[:2], str(Several("ab"))
    ((0, 1), "2 results:\\n    'a'\\n    'b'")
    """

    __slots__ = ()

    def __repr__(self) -> str:
        lines = (brief_line(one) if is_dataclass(one) else repr(one) for one in self[:MOST])
        told = [line if len(line) <= WIDE else line[: WIDE - 1] + "…" for line in lines]
        more = [f"… and {len(self) - MOST} more"] if len(self) > MOST else []
        return "\n    ".join([f"{len(self)} result{'' if len(self) == 1 else 's'}{':' if self else ''}", *told, *more])

    def _repr_html_(self) -> str | None:
        columns = getattr(type(self[0]), "columns", None) if self else None
        return None if columns is None else as_table(self, columns)  # None: notebooks print the lines then


def brief_line(self: Any) -> str:
    """The same on one line, for results that come in lists."""
    return f"{type(self).__name__}({', '.join(_told(self))})"


def brief(self: Any) -> str:
    """The `repr` of a dataclass in at most 20 lines, one where that is enough; what is as by default is left out.

    What a result says of itself in a `sentence` comes first.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Found:
    ...     name: str
    ...     weights: tuple[int, ...] = ()
    ...     __repr__ = brief
    >>> Found("a", tuple(range(100))), Found("b")
    (Found(name='a', weights=<100 int>), Found(name='b'))
    """
    line = brief_line(self)
    if len(line) <= WIDE:
        return line
    told = _told(self)
    more = [f"… and {len(told) - MOST} fields more"] if len(told) > MOST else []
    return "\n".join(
        [f"{type(self).__name__}(", *(f"    {one}," for one in told[:MOST]), *(f"    {one}" for one in more), ")"]
    )


def _told(self: Any) -> list[str]:
    said = [repr(self.sentence)] if isinstance(getattr(type(self), "sentence", None), property) else []
    own = [f"{one.name}={_short(getattr(self, one.name))}" for one in fields(self) if one.repr and _is_news(self, one)]
    return said + own


def _is_news(self: Any, field: Any) -> bool:
    """Whether a field differs from its default, as far as that is quickly told."""
    content = getattr(self, field.name)
    if content is None or isinstance(content, str | bool | int | float | tuple):
        return content is not field.default and not (isinstance(content, str | tuple) and not content)
    return True


def _short(content: Any, depth: int = 0) -> str:
    """A value in a piece of one line."""
    if isinstance(content, np.ndarray):
        return f"<{content.dtype} {list(content.shape)}>"
    if isinstance(content, bytes | bytearray | memoryview):
        return f"<{len(content):,} bytes>"
    if isinstance(content, Mapping):
        return f"<{len(content)} by name>" if len(content) > FEW else _cut(_listed(content.items(), "{}", depth))
    if isinstance(content, tuple | list | set | frozenset):
        kinds = {type(one).__name__ for one in content}
        if len(content) > FEW or any(is_dataclass(one) for one in content):
            return f"<{len(content):,} {kinds.pop() if len(kinds) == 1 else 'values'}>"
        return _cut(_listed(content, "[]" if isinstance(content, list) else "()", depth))
    if is_dataclass(content) and not isinstance(content, type):
        name = type(content).__name__
        inner = ", ".join(f"{one.name}={_short(getattr(content, one.name), depth + 1)}" for one in fields(content))
        return f"{name}({inner})" if depth < DEPTH and len(inner) < WIDE // 2 else f"<{name}>"
    text = f"{content:.6g}" if isinstance(content, float) else repr(content)
    return f"<{type(content).__name__}>" if "\n" in text or text.startswith("<") else _cut(text)


def _listed(content: Any, marks: str, depth: int) -> str:
    parts = [f"{_short(one[0])}: {_short(one[1], depth)}" if marks == "{}" else _short(one, depth) for one in content]
    tail = "," if marks == "()" and len(parts) == 1 else ""
    return f"{marks[0]}{', '.join(parts)}{tail}{marks[1]}"


def _cut(text: str) -> str:
    return _ends(text, WIDE * 3 // 4)


def _ends(text: str, most: int) -> str:
    """A text with both of its ends, which tell it from others."""
    return text if len(text) <= most else f"{text[: most - most // 4 - 1]}…{text[-(most // 4) :]}"
