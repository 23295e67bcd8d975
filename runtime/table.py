"""What all tables for the terminal have in common: the console, their style, how many rows are shown."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

__all__ = ["SHOWN", "console", "make_table"]

SHOWN = 12  # rows of a table before the rest is summed up


def console(stderr: bool = False, quiet: bool = False) -> Console:
    """A console that wraps nothing when its output is not a terminal."""
    made = Console(stderr=stderr, quiet=quiet, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, quiet=quiet, highlight=False, width=160)


def make_table(title: str, *columns: tuple[str, str]) -> Table:
    """An empty table in the style of all others; columns: (name, justification)."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in columns:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    return table
