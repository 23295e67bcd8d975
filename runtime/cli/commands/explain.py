"""`scission explain`: everything known of one operator."""

from __future__ import annotations

from typing import Annotated

import typer

from ..common.given import say_refused
from ..common.options import All, Batch, Device, Input, Json, Provider, Quiet, Size, Verbose, sizes_of
from ..common.terminal import progress_bar, show

__all__ = ["explain"]


def explain(
    model: Input,
    node: Annotated[str, typer.Argument(metavar="NODE", help="an operator as `inspect` names it, or its weight")],
    provider: Provider = "auto",
    batch: Batch = None,
    size: Size = None,
    device: Device = "auto",
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Tell everything known about one operator: what was tried, why not taken, and what holds its weight together."""
    from ...pipeline import explain as explanation
    from ...render.text import explanation as explanation_report

    with progress_bar(quiet or as_json) as progress:
        found = explanation.explain(
            model, node, provider=provider, batch=batch, sizes=sizes_of(size), device=device, progress=progress
        )
    say_refused(model)
    show(quiet, as_json, found.to_dict, lambda _: explanation_report.explanation_view(found, everything))
