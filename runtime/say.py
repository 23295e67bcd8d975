"""The one way to the terminal for sentences and documents; tables take `render.console`."""

from __future__ import annotations

import typer

from ..ir.printable import printable, printable_lines

__all__ = ["say", "say_lines"]


def say(text: str, err: bool = False) -> None:
    """Print a sentence on one line, whatever names there are in it; err: on stderr."""
    typer.echo(printable(text), err=err)


def say_lines(text: str, err: bool = False) -> None:
    """Print a document, JSON or CSV or the like, which has lines and ends with one."""
    typer.echo(printable_lines(text.removesuffix("\n")), err=err)
