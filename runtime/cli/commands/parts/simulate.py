"""`scission simulate`: parts on many machines before there are any."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....ort.trials import Trials
from ....simulate.options import SimulateOptions
from ...common.from_fields import group, takes
from ...common.terminal import Printing

__all__ = ["simulate"]


@takes(
    options=group(SimulateOptions),
    trials=group(Trials, only=("provider", "threads", "custom_ops"), provider="cpu", threads=1),
    printing=group(Printing, only=("everything", "as_json")),
)
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="the parts, as `scission partition` wrote them")],
    trace: Annotated[
        Path, typer.Option("--trace", metavar="FILE", help="the log of `scission serve`, or lines of JSON: at, parts")
    ],
    times: Annotated[
        Path | None,
        typer.Option("--times", metavar="FILE", help="what an earlier one printed with --json, measured then"),
    ] = None,
    original: Annotated[
        Path | None, typer.Option("--original", metavar="MODEL", help="the model that is not cut, measured as well")
    ] = None,
    *,
    options: SimulateOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Predict replicas, latencies and cost of parts on many machines, from times measured here and a trace of requests.

    What is measured is a server of the parts on this machine, which answers the requests of the trace.
    """
    from ....render.parts.simulation import simulation_view
    from ....simulate import simulate as simulating

    found = simulating.simulate(folder, trace, options, times=times, original=original, trials=trials)
    printing.show(found.to_dict, lambda _: simulation_view(found, printing.everything))
