"""Arguments and options that are of the command line alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    *("Csv", "Filter", "First", "Input", "Output", "Overwrite", "Picture", "PlanOutput", "Reverse", "Second", "Sort"),
    "Top",
]

Input = Annotated[Path, typer.Argument(metavar="IN", help="the model, an .onnx file")]
Output = Annotated[Path, typer.Argument(metavar="OUT", help="where the result goes")]
PlanOutput = Annotated[Path | None, typer.Option("--output", "-o", metavar="PLAN", help="write the plan as JSON")]
First = Annotated[Path, typer.Argument(metavar="A", help="the original model")]
Second = Annotated[Path, typer.Argument(metavar="B", help="the changed model")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV instead of tables")]
Sort = Annotated[
    str | None,
    typer.Option("--sort", metavar="[-]COLUMN", help="smallest first, with - largest first: density, -covers …"),
]
Reverse = Annotated[bool, typer.Option("--reverse", help="the other way round")]
Filter = Annotated[str, typer.Option("--filter", metavar="TEXT", help="only where node, operator or verdict has it")]
Top = Annotated[int | None, typer.Option("--top", metavar="N", help="only the first N", min=1)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the output if it exists")]
Picture = Annotated[
    list[Path] | None, typer.Option("--picture", metavar="FILE", help="draw it, .png or .svg (repeatable)")
]
