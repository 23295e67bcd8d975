"""A table that fits the terminal, and lines of words about nodes below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from ....ir.plural import once
from ..naming import Naming
from ..words import left_out
from .table import SHOWN, Name, make_table

__all__ = ["Column", "FittedTable", "lines_of"]

NARROW = 25  # letters that a name keeps before numbers beside it are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a fitted table.

    meaning: for the legend, '' for none; optional: 0 if it is always shown, else columns with 1 are left out first,
    then those with 2, and so on; text: words on the left, which may take several lines, and not numbers.
    """

    name: str
    meaning: str = ""
    optional: int = 0
    text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTable:
    """A table that shows as many of its columns as fit the console, and explains these below; numbers are never cut.

    rows: a cell for each column. Where not even the columns that are always shown fit, each row is a line of words.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Text, ...], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]
        widths = [
            max(len(column.name), *(row[place].cell_len for row in cells), 0)
            for place, column in enumerate(self.columns)
        ]
        least = [
            min(width, NARROW) if column.text else width for column, width in zip(self.columns, widths, strict=True)
        ]
        shown = self._that_fit(least, options.max_width)
        yield Text(self.title, style="bold")
        spare = options.max_width - _width(least[place] for place in shown)
        if spare < 0:
            for row in cells:
                named = [
                    Text.assemble(f"{self.columns[place].name} ".lstrip(), row[place]) for place in shown if row[place]
                ]
                yield Text(", ").join(named)
        else:
            table = make_table("")
            for place in shown:
                column, width = self.columns[place], min(widths[place], least[place] + spare)
                spare -= width - least[place]
                justify: Any = "left" if column.text else "right"
                overflow: Any = {"no_wrap": not column.text, "overflow": "fold"}
                table.add_column(Text(column.name), justify=justify, width=width, **overflow)
            names = {place: Naming(str(row[place]) for row in self.rows) for place in shown}
            for one in self.rows:
                table.add_row(*(self._cell(one[place], place, names[place]) for place in shown))
            yield table
        told = [f"{self.columns[place].name}: {self.columns[place].meaning}" for place in shown]
        told = [line for line, place in zip(told, shown, strict=True) if self.columns[place].meaning]
        if told:
            yield Text("; ".join(told), style="dim")

    def _cell(self, cell: str | Text, place: int, names: Naming) -> RenderableType:
        """A name loses its middle where it is too long; what has blanks in it is wrapped."""
        if isinstance(cell, Text):
            return cell
        if not self.columns[place].text or " " in cell:
            return Text(cell)
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


def lines_of(told: Iterable[tuple[str, str]], everything: bool = False, before: str = "") -> list[RenderableType]:
    """What is said of nodes, as (node, text), in a line for each text, with its first node and how many more there are.

    Texts that are empty are left out; with `everything` a line for each node.

    >>> [str(line) for line in lines_of([("a", "dense"), ("b", "dense"), ("c", "")])]
    ['a and 1 more: dense']
    """
    pairs = [(node, text) for node, text in told if text]
    if everything:
        return [Text(f"{before}{node}: {text}", style="dim") for node, text in pairs]
    named = once(pairs)
    more = [Text(left_out(len(named) - SHOWN), style="dim")] if len(named) > SHOWN else []
    return [*(Text(f"{before}{node}: {text}", style="dim") for node, text in named[:SHOWN]), *more]
