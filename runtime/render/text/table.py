"""What all tables for the terminal have in common: their style, how many rows are shown, and names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

from ....ir.printable import printable
from ..console import Text
from ..naming import Naming, shortened

__all__ = ["SHOWN", "Name", "ReasonRow", "Reasons", "make_table"]

SHOWN = 12  # rows of a table before the rest is summed up
ROOM = 120  # letters of a line from which on a reason stands in a column, else below what it is given for


@dataclass(frozen=True, slots=True)
class Name:
    """A cell with a name that takes one line, what tells little left out where the column is too narrow for it.

    rest: what follows it; among: the names that stand in the same column; least: letters that it should have.
    """

    text: str
    rest: str = ""
    among: Naming | None = None
    least: int = 25

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))  # before its width is asked for

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        longest = len(self.text) + len(self.rest)
        return Measurement(min(longest, self.least + len(self.rest)), longest)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        room = options.max_width - len(self.rest)
        told = self.among.short(self.text, room) if self.among is not None else shortened(self.text, room)
        yield Text(told + self.rest, no_wrap=True)


def make_table(title: str, *columns: tuple[str, str]) -> Table:
    """An empty table in the style of all others; columns: (name, justification)."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in columns:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    return table


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Why one node, or several of one operator, stay as they are, and what they hold of the parameters."""

    name: Name
    operator: str
    parameters: str
    why: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """A table of reasons; on a narrow terminal each in lines of its own, since words in a narrow column read badly."""

    title: str
    rows: tuple[ReasonRow, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if options.max_width >= ROOM:
            columns = ("nodes", "left"), ("operator", "left"), ("parameters", "right"), ("why", "left")
            table = make_table(self.title, *columns)
            for row in self.rows:
                table.add_row(row.name, row.operator, row.parameters, Text(row.why))
            yield table
            return
        yield Text(self.title, style="bold")
        for row in self.rows:
            after = ", ".join(filter(None, [row.operator, row.parameters and f"parameters {row.parameters}"]))
            yield replace(row.name, rest=f"{row.name.rest}{': ' if after else ''}{after}")
            yield Padding(Text(row.why, style="dim"), (0, 0, 0, 2), expand=False)
