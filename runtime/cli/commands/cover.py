"""`scission cover`: groups of outputs that share inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....ir.io.files import write
from ..common.given import read_weight
from ..common.options import All, Json, Overwrite, Quiet, Threads, Verbose
from ..common.terminal import progress_bar, refuse_outputs, show

__all__ = ["cover"]


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
        list[int] | None, typer.Option("--rows", help="activation rows that costs are for (repeatable; 256)", min=1)
    ] = None,
    threads: Threads = None,
    picture: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="draw it, .png or .svg (repeatable)")
    ] = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show how the outputs of one weight come apart into groups that may share inputs, and what that would gain."""
    from ...render.picture.structure import check_picture
    from ...render.text import cover as cover_report
    from ...weights import cover_study as covering

    drawn = {path: check_picture(path) for path in picture or []}
    weight = read_weight(source, everything)
    refuse_outputs([*drawn], weight.files, overwrite)
    with progress_bar(quiet or as_json):
        found = covering.cover_of(weight, rows=rows or covering.ROWS, transposed=transposed, threads=threads)
    made: dict[Path, bytes] = {}  # all of it before any of it is written
    for path, suffix in drawn.items():
        from ...render.picture.cover import cover_picture

        made[path] = cover_picture(found, suffix)
    write(made, overwrite)
    show(
        quiet,
        as_json,
        lambda: cover_report.to_dict(found),
        lambda _: cover_report.cover_view(found, everything),
    )
