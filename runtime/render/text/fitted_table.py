"""A table that fits the terminal, and lines of words about nodes below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding

from ....ir.plural import once
from ..console import Text
from ..naming import Naming, shortened
from ..words import left_out
from .table import SHOWN, Name, make_table

__all__ = ["Column", "FittedTable", "lines_of"]

NARROW = 25  # letters that a name keeps before numbers beside it are left out
TIGHT = 16  # those that it keeps where its row would be lines of words


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a fitted table.

    meaning: for the legend, '' for none; optional: 0 if it is always shown, else columns with 1 are left out first,
    then those with 2, and so on; text: words on the left, which may take several lines, and not numbers; whole: no
    word of it is cut, of what is text; apart: it begins a line of its own where a row is lines of words.
    """

    name: str
    meaning: str = ""
    optional: int = 0
    text: bool = False
    whole: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTable:
    """A table that shows as many of its columns as fit the console, and explains these below; numbers are never cut.

    rows: a cell for each column. Where not even the columns that are always shown fit, each row is a line of words;
    with `heads` a line of so many cells, below it one of the others, and one for each that is whole.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Text, ...], ...]
    heads: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]
        widths = [
            max(len(column.name), *(row[place].cell_len for row in cells), 0)
            for place, column in enumerate(self.columns)
        ]
        narrow = TIGHT if self.heads else NARROW
        least = [
            max(min(width, narrow), _longest_word(row[place].plain for row in cells) if column.whole else 0)
            if column.text
            else width
            for place, (column, width) in enumerate(zip(self.columns, widths, strict=True))
        ]
        shown = self._that_fit(least, options.max_width)
        yield Text(self.title, style="bold")
        spare = options.max_width - _width(least[place] for place in shown)
        names = {place: Naming(str(row[place]) for row in self.rows) for place in shown}
        if spare < 0:
            for row in cells:
                yield from self._words(row, shown, names, options.max_width)
        else:
            table = make_table("")
            wider = _shared([widths[place] - least[place] for place in shown], spare)
            for place, more in zip(shown, wider, strict=True):
                column = self.columns[place]
                justify: Any = "left" if column.text else "right"
                overflow: Any = {"no_wrap": not column.text, "overflow": "fold"}
                table.add_column(Text(column.name), justify=justify, width=least[place] + more, **overflow)
            for one in self.rows:
                table.add_row(
                    *(
                        self._cell(one[place], place, names[place], least[place] + more)
                        for place, more in zip(shown, wider, strict=True)
                    )
                )
            yield table
        told = [f"{self.columns[place].name}: {self.columns[place].meaning}" for place in shown]
        told = [line for line, place in zip(told, shown, strict=True) if self.columns[place].meaning]
        if told:
            yield Text("; ".join(told), style="dim")

    def _words(
        self, row: Sequence[Text], shown: Sequence[int], names: Mapping[int, Naming], width: int
    ) -> Iterable[RenderableType]:
        """A row where there is no room for columns."""
        named = {place: Text.assemble(f"{self.columns[place].name} ".lstrip(), row[place]) for place in shown}
        filled = [place for place in shown if row[place]]
        if not self.heads:
            yield Text(", ").join(named[place] for place in filled)
            return
        if any(place < self.heads for place in filled):
            head = [_in_a_line(row[place], names[place], width) for place in filled if place < self.heads]
            if len(head) > 1 and not self.columns[filled[0]].name:  # a verb: who does it follows
                head[0] = Text.assemble(head[0], ":")
            yield Text(" ").join(head)
        below = [place for place in filled if place >= self.heads]
        beside = [place for place in below if not self.columns[place].whole]
        starts = [at for at, place in enumerate(beside) if at and self.columns[place].apart]
        runs = [beside[a:b] for a, b in zip([0, *starts], [*starts, len(beside)], strict=True)]
        lines = [Text(", ").join(named[place] for place in run) for run in runs]
        lines += [named[place] for place in below if self.columns[place].whole]
        yield from (Padding(line, (0, 0, 0, 2), expand=False) for line in lines if line)

    def _cell(self, cell: str | Text, place: int, names: Naming, width: int) -> RenderableType:
        """A name loses its middle where it is too long, also in a sentence, which is wrapped."""
        if isinstance(cell, Text):
            return cell
        if not self.columns[place].text or self.columns[place].whole:
            return Text(cell)
        if " " in cell:
            return Text(" ".join(shortened(word, width) for word in cell.split(" ")))
        return Name(cell, among=names)

    def _that_fit(self, widths: Sequence[int], width: int) -> list[int]:
        """The places of the columns to show, all those of the same importance or none."""
        shown = list(range(len(self.columns)))
        for rank in sorted({column.optional for column in self.columns} - {0}):
            if _width(widths[place] for place in shown) <= width:
                break
            shown = [place for place in shown if self.columns[place].optional != rank]
        return shown


def _width(widths: Iterable[int]) -> int:
    """Of columns with two blanks between them."""
    return sum(width + 2 for width in widths) - 2


def _in_a_line(cell: Text, names: Naming, width: int) -> Text:
    """A name in one line, what has blanks as it is."""
    return cell if " " in cell.plain else Text(names.short(cell.plain, width))


def _longest_word(cells: Iterable[str]) -> int:
    return max((len(word) for cell in cells for word in cell.split()), default=0)


def _shared(wanted: Sequence[int], spare: int) -> list[int]:
    """How much wider columns become that want to: each gets as much as any other, or all that it wants."""
    given = [0] * len(wanted)
    for left, place in zip(
        range(len(wanted), 0, -1), sorted(range(len(wanted)), key=lambda at: wanted[at]), strict=True
    ):
        given[place] = min(wanted[place], spare // left)
        spare -= given[place]
    return given


def lines_of(told: Iterable[tuple[str, str]], everything: bool = False, before: str = "") -> list[RenderableType]:
    """What is said of nodes, as (node, text), in a line for each text, with its first node and how many more there are.

    Texts that are empty are left out, and so are nodes without a name; with `everything` a line for each node.

    >>> [str(line) for line in lines_of([("a", "dense"), ("b", "dense"), ("c", "")])]
    ['a and 1 more: dense']
    """
    pairs = [(node, text) for node, text in told if text]
    named = pairs if everything else once(pairs)
    shown = named if everything else named[:SHOWN]
    more = [Text(left_out(len(named) - len(shown)), style="dim")] if len(named) > len(shown) else []
    return [*(Text(f"{before}{node}{': ' if node else ''}{text}", style="dim") for node, text in shown), *more]
