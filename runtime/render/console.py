"""The console and the text of all views: what models say is shown, never obeyed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import rich.text
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ...ir.printable import printable, printable_lines

__all__ = ["Text", "console"]

WIDE = 160  # letters of a line where there is no terminal, and nothing says how wide


class Text(rich.text.Text):
    """Text of one line with styles; characters that are not printed are escaped before anybody measures its width."""

    def __init__(self, text: str = "", style: Any = "", **options: Any) -> None:
        super().__init__(printable(text), style, **options)

    def append(self, text: Any, style: Any = None) -> Text:
        """More of it."""
        super().append(printable(text) if isinstance(text, str) else text, style)
        return self

    @classmethod
    def assemble(cls, *parts: Any, **options: Any) -> Text:
        """A text of parts: texts, or texts with their styles."""
        made = cls(**options)
        for part in parts:
            made.append(*part) if isinstance(part, tuple) else made.append(part)
        return made


class _Printing(Console):
    """A console on which no text is a command, neither of the terminal nor of the markup that consoles know.

    Plain texts are escaped before they are laid out, and every piece again before it is written: what was made by
    somebody else, and so was not escaped, may stand crooked but does nothing.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        """Of a text in the place of a renderable."""
        return super().render_str(printable_lines(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Of anything."""
        for piece in super().render(renderable, options):
            raw = not piece.control and not piece.text.isprintable()
            yield piece._replace(text=printable_lines(piece.text)) if raw else piece


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal; without one as COLUMNS says, else so wide that hardly anything is wrapped."""
    made = _Printing(stderr=stderr)
    stated = os.environ.get("COLUMNS", "")
    if made.is_terminal or (stated.isdecimal() and int(stated)):
        return made
    return _Printing(stderr=stderr, width=WIDE)
