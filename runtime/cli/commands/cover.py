"""`scission cover`: groups of outputs that share inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....ir.io.files import write
from ...pipeline.options import PlanOptions
from ..common.arguments import Overwrite, Picture
from ..common.from_fields import group, takes
from ..common.given import read_weight, say_refused
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar, refuse_outputs

__all__ = ["cover"]


@takes(group(Patience), planning=group(PlanOptions, only=("threads",)), printing=group(Printing))
def cover(
    source: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHT|MODEL[:NODE]", help="a weight of a model, or a matrix file, rows being inputs (K, N)"
        ),
    ],
    transposed: Annotated[
        bool, typer.Option("--transposed", help="rows of the matrix file are outputs, as torch stores them")
    ] = False,
    rows: Annotated[
        list[int] | None,
        typer.Option(
            "--batch", "--rows", metavar="N", help="activation rows that costs are for (repeatable; 256)", min=1
        ),
    ] = None,
    picture: Picture = None,
    overwrite: Overwrite = False,
    *,
    planning: PlanOptions,
    printing: Printing,
) -> None:
    """Show how the outputs of one weight come apart into groups that may share inputs, and what that would gain."""
    from ...render.picture.structure import check_picture
    from ...render.text import cover as cover_report
    from ...weights import cover_study as covering

    drawn = {path: check_picture(path) for path in picture or []}
    weight = read_weight(source, printing.everything)
    say_refused(*(file for file in weight.files[:1] if file.suffix.lower() == ".onnx"))
    refuse_outputs([*drawn], weight.files, overwrite)
    with progress_bar(printing.bare):
        found = covering.cover_of(weight, rows=rows or covering.ROWS, transposed=transposed, threads=planning.threads)
    made: dict[Path, bytes] = {}  # all of it before any of it is written
    for path, suffix in drawn.items():
        from ...render.picture.cover import cover_picture

        made[path] = cover_picture(found, suffix)
    write(made, overwrite)
    printing.show(lambda: cover_report.to_dict(found), lambda _: cover_report.cover_view(found, printing.everything))
