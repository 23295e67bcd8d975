"""`scission structure`: the states of one weight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ....ir.io.files import write
from ..common.given import read_weight
from ..common.options import All, Json, Overwrite, Quiet, Verbose
from ..common.terminal import progress_bar, refuse_outputs, show

__all__ = ["structure"]


def structure(
    source: Annotated[str, typer.Argument(metavar="WEIGHT|MODEL[:NODE]", help="a matrix file, or a weight of a model")],
    scope: Annotated[str, typer.Option(help="state: rows and columns are the same states; operator; auto")] = "auto",
    paper: Annotated[bool, typer.Option("--paper", help="row i lists the in-edges of i, as in the paper")] = False,
    threshold: Annotated[float, typer.Option(help="an edge is |w| above it", min=0)] = 0.0,
    engine: Annotated[str, typer.Option(help="auto, matrix, search, graph or bitset: all find the same")] = "auto",
    device: Annotated[str, typer.Option(help="where matrix and search run: cpu, cuda, cuda:1 …")] = "auto",
    order: Annotated[str, typer.Option(help="isolated-last, or paper: its literal sort key")] = "isolated-last",
    from_one: Annotated[bool, typer.Option("--from-one", help="count from 1, as in the paper")] = False,
    dot: Annotated[Path | None, typer.Option(metavar="FILE|-", help="write the graph for graphviz")] = None,
    picture: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="draw it, .png or .svg (repeatable)")
    ] = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the states of one weight: components, layers, SCCs, and the permutation that brings out its blocks."""
    from ...render.picture.structure import check_picture
    from ...render.text import structure as structure_report
    from ...weights import states as states_

    options: dict[str, Any] = {"engine": engine, "device": device, "order": order}
    drawn = {path: check_picture(path) for path in picture or []}
    to_terminal = dot is not None and str(dot) == "-"
    if to_terminal and as_json:
        raise typer.BadParameter("--dot - and --json both print to the terminal; choose one", param_hint="--dot")
    weight = read_weight(source, everything)
    refuse_outputs([*drawn, *([dot] if dot and not to_terminal else [])], weight.files, overwrite)
    if states_.is_oversized(weight, cast("Any", scope)) and dot is None and not drawn:
        summary = structure_report.summarize_operator(weight, threshold)
        show(
            quiet,
            as_json,
            lambda: structure_report.oversized_dict(summary, weight.name),
            lambda _: structure_report.oversized_view(summary, weight.name),
        )
        return
    states = states_.states_of(weight, scope=cast("Any", scope), paper=paper, threshold=threshold)
    with progress_bar(quiet or as_json or to_terminal):
        found = states_.find(states, **options)
    first = int(from_one)
    made: dict[Path, bytes] = {}  # all of it before any of it is written
    if dot is not None:
        from ...render.picture.dot import dot as to_dot

        made[dot] = to_dot(found, states, first).encode()
    for path, suffix in drawn.items():
        from ...render.picture.structure import picture as draw

        made[path] = draw(found, states, suffix, first)
    if to_terminal and dot is not None:
        typer.echo(made.pop(dot).decode(), nl=False)
    write(made, overwrite)
    show(
        quiet or to_terminal,
        as_json,
        lambda: structure_report.to_dict(found, states, first),
        lambda _: structure_report.structure_view(found, states, first, everything),
    )
