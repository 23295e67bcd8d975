"""What was found of an installation, as lines of a terminal: what is amiss last, where it is read first."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ..render.console import Text
from ..render.text.table import make_table
from .finding import Examination, State

__all__ = ["doctor_view"]

STYLE = {State.FINE: "", State.ABSENT: "dim", State.WRONG: "red"}


def doctor_view(examination: Examination) -> RenderableType:
    """A row for each finding, then what to do about those that are wrong, and a sentence."""
    table = make_table("this machine", ("what", "left"), ("found", "left"))
    for one in examination.findings:
        advice = f"; {one.advice}" if one.advice and one.state is State.ABSENT else ""
        table.add_row(one.what, Text(f"{one.found}{advice}", style=STYLE[one.state]))
    wrong = [one for one in examination.findings if one.state is State.WRONG]
    lines = [Text(f"{one.what}: {one.found}; {one.advice}", style="red") for one in wrong]
    told = "everything that is needed is there" if examination.ok else "mend what is in red above"
    return Group(table, *lines, Text(told))
