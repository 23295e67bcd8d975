"""`scission serve`: a model behind HTTP, by the Open Inference Protocol."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ...http.options import ServeOptions
from ...ort.trials import Trials
from ...say import say
from ..common.from_fields import group, takes
from ..common.terminal import Printing

__all__ = ["serve"]

Served = Annotated[Path, typer.Argument(metavar="MODEL", help="the model, an .onnx file, or a folder of its parts")]


@takes(
    options=group(ServeOptions),
    trials=group(Trials, only=("provider", "threads", "custom_ops")),
    printing=group(Printing, only=("quiet",)),
)
def serve(model: Served, *, options: ServeOptions, trials: Trials, printing: Printing) -> None:
    """Answer requests over HTTP with a model, by the Open Inference Protocol v2, as KServe and Triton do.

    Ends when it is told to (Ctrl-C, SIGTERM), with the requests that came until then answered.
    """
    from ...http import serve as serving

    if printing.quiet:
        serving.serve(model, options, trials=trials)
        return
    serving.serve(model, options, trials=trials, log=_log, ready=lambda at: _say(f"serving {model} at {at}"))


def _log(told: Mapping[str, Any]) -> None:
    _say(json.dumps(told))


def _say(text: str) -> None:
    with contextlib.suppress(OSError, SystemExit):  # nobody reads it any more, and printing ends a command then
        say(text, err=True)
