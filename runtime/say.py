"""The one way to the terminal for sentences and documents; tables take `render.console`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer

from ..ir.printable import printable, printable_lines

__all__ = ["say", "say_json", "say_lines"]


def say(text: str, err: bool = False) -> None:
    """Print a sentence on one line, whatever names there are in it; err: on stderr."""
    typer.echo(printable(text), err=err)


def say_json(told: Mapping[str, Any], err: bool = False) -> None:
    """Print JSON on one line; to look at each of its letters, which are all ASCII, takes as long as a small model."""
    typer.echo(json.dumps(told), err=err)


def say_lines(text: str, err: bool = False) -> None:
    """Print a document, JSON or CSV or the like, which has lines and ends with one."""
    typer.echo(printable_lines(text.removesuffix("\n")), err=err)
