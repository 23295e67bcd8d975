"""Arguments and options that are of the command line alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ...fields import setting

__all__ = ["Csv", "First", "Input", "Output", "Overwrite", "Picture", "PlanOutput", "RowChoice", "Second"]

Input = Annotated[Path, typer.Argument(metavar="IN", help="the model, an .onnx file")]
Output = Annotated[Path, typer.Argument(metavar="OUT", help="where the result goes")]
PlanOutput = Annotated[Path | None, typer.Option("--output", "-o", metavar="PLAN", help="write the plan as JSON")]
First = Annotated[Path, typer.Argument(metavar="A", help="the original model")]
Second = Annotated[Path, typer.Argument(metavar="B", help="the changed model")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV instead of tables")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the output if it exists")]
Picture = Annotated[
    list[Path] | None, typer.Option("--picture", metavar="FILE", help="draw it, .png or .svg (repeatable)")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChoice:
    """Which rows of a table are shown, and in which order."""

    sort: str | None = setting(None, "smallest first, with - largest first: density, -covers …", metavar="[-]COLUMN")
    reverse: bool = setting(False, "the other way round")
    wanted: str = setting("", "only where node, operator or verdict has it", flags=("--filter",), metavar="TEXT")
    top: int | None = setting(None, "only the first N", metavar="N", least=1)
