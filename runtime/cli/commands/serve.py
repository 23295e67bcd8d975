"""`scission serve`: a model behind HTTP, by the Open Inference Protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ...fleet.options import FleetOptions
from ...http.options import ServeOptions
from ...ort.trials import Trials
from ...say import say, say_json
from ..common.from_fields import group, takes
from ..common.terminal import Printing

__all__ = ["serve"]

OnRay = Annotated[bool, typer.Option("--ray", help="each part as a service of its own, by Ray Serve")]
Served = Annotated[Path, typer.Argument(metavar="MODEL", help="the model, an .onnx file, or a folder of its parts")]


@takes(
    options=group(ServeOptions),
    fleet=group(FleetOptions),
    trials=group(Trials, only=("provider", "threads", "custom_ops")),
    printing=group(Printing, only=("quiet",)),
)
def serve(
    model: Served,
    on_ray: OnRay = False,
    *,
    options: ServeOptions,
    fleet: FleetOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Answer requests over HTTP with a model, by the Open Inference Protocol v2, as KServe and Triton do.

    Ends when it is told to (Ctrl-C, SIGTERM), with the requests that came until then answered. In one process, or with
    --ray the parts in a folder as services of their own: all options from --address on are of that form alone.
    """
    if on_ray:
        _serve_fleet(model, options, fleet, trials, printing)
        return
    if fleet != FleetOptions():
        raise typer.BadParameter("options of a fleet are given without --ray")
    from ...http import serve as serving

    if printing.quiet:
        serving.serve(model, options, trials=trials)
        return
    serving.serve(model, options, trials=trials, log=_log, ready=lambda at: _say(f"serving {model} at {at}"))


def _serve_fleet(model: Path, options: ServeOptions, fleet: FleetOptions, trials: Trials, printing: Printing) -> None:
    from ...fleet.serve_fleet import serve_fleet

    if printing.quiet:
        serve_fleet(model, fleet, serving=options, trials=trials)
        return
    told = f"serving {model} by Ray at"
    serve_fleet(model, fleet, serving=options, trials=trials, log=_log, ready=lambda at: _say(f"{told} {at}"))


def _log(told: Mapping[str, Any]) -> None:
    with _heard():
        say_json(told, err=True)


def _say(text: str) -> None:
    with _heard():
        say(text, err=True)


def _heard() -> contextlib.AbstractContextManager[None]:
    """Nobody may read it any more, and printing ends a command then."""
    return contextlib.suppress(OSError, SystemExit)
