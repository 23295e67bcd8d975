"""`scission structure`: the states of one weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ....ir.io.files import write
from ...fields import setting
from ...say import say_lines
from ..common.arguments import Overwrite, Picture
from ..common.from_fields import group, takes
from ..common.given import read_weight, say_refused
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar, refuse_outputs, show

__all__ = ["structure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Structuring:
    """What edges and states are, and how their structure is found and told."""

    scope: str = setting("auto", "state: rows and columns are the same states; operator; auto")
    paper: bool = setting(False, "row i lists the in-edges of i, as in the paper")
    threshold: float = setting(0.0, "an edge is |w| above it", least=0)
    engine: str = setting("auto", "auto, matrix, search, graph or bitset: all find the same")
    device: str = setting("auto", "where matrix and search run: cpu, cuda, cuda:1 …")
    order: str = setting("isolated-last", "isolated-last, or paper: its literal sort key")
    from_one: bool = setting(False, "count from 1, as in the paper")


@takes(group(Patience), asked=group(_Structuring), printing=group(Printing))
def structure(
    source: Annotated[str, typer.Argument(metavar="WEIGHT|MODEL[:NODE]", help="a matrix file, or a weight of a model")],
    dot: Annotated[Path | None, typer.Option(metavar="FILE|-", help="write the graph for graphviz")] = None,
    picture: Picture = None,
    overwrite: Overwrite = False,
    *,
    asked: _Structuring,
    printing: Printing,
) -> None:
    """Show the states of one weight: components, layers, SCCs, and the permutation that brings out its blocks."""
    from ...render.picture.structure import check_picture
    from ...render.text import structure as structure_report
    from ...weights import states as states_
    from ...weights.stages import as_product

    scope = cast("Any", asked.scope)
    options: dict[str, Any] = {"engine": asked.engine, "device": asked.device, "order": asked.order}
    drawn = {path: check_picture(path) for path in picture or []}
    to_terminal = dot is not None and str(dot) == "-"
    if to_terminal and printing.as_json:
        raise typer.BadParameter("--dot - and --json both print to the terminal; choose one")
    weight = read_weight(source, printing.everything)
    say_refused(*(file for file in weight.files[:1] if file.suffix.lower() == ".onnx"))
    refuse_outputs([*drawn, *([dot] if dot and not to_terminal else [])], weight.files, overwrite)
    if states_.is_oversized(weight, scope) and dot is None and not drawn:
        summary = structure_report.summarize_operator(weight, asked.threshold)
        printing.show(
            lambda: structure_report.oversized_dict(summary, weight.name),
            lambda _: structure_report.oversized_view(summary, weight.name),
        )
        return
    states = states_.states_of(weight, scope=scope, paper=asked.paper, threshold=asked.threshold)
    with progress_bar(printing.bare or to_terminal):
        found = states_.find(states, **options)
    factors = as_product(weight.matrix) if asked.threshold == 0 else None
    first = int(asked.from_one)
    made: dict[Path, bytes] = {}  # all of it before any of it is written
    if dot is not None:
        from ...render.picture.dot import dot as to_dot

        made[dot] = to_dot(found, states, first).encode()
    for path, suffix in drawn.items():
        from ...render.picture.structure import picture as draw

        made[path] = draw(found, states, suffix, first, factors)
    if to_terminal and dot is not None:
        say_lines(made.pop(dot).decode())
    write(made, overwrite)
    show(
        printing.quiet or to_terminal,
        printing.as_json,
        lambda: structure_report.to_dict(found, states, first, factors),
        lambda _: structure_report.structure_view(found, states, first, printing.everything, factors),
    )
