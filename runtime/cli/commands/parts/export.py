"""`scission export triton`: parts in the form in which another server takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....export.options import TritonOptions
from ....say import say
from ...common.from_fields import group, takes
from ...common.terminal import Printing

__all__ = ["export_app"]

export_app = typer.Typer(
    name="export",
    help="Write the parts of a model in the form in which another server takes them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@export_app.callback()
def _root() -> None:
    pass


@export_app.command()
@takes(options=group(TritonOptions), printing=group(Printing, only=("quiet",)))
def triton(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="the parts, as `scission partition` wrote them")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="where the repository of models goes")],
    *,
    options: TritonOptions,
    printing: Printing,
) -> None:
    """Write a repository of models for NVIDIA's Triton: an ensemble of the parts and of index work between them."""
    from ....export.triton import export_triton

    written = export_triton(folder, output, options)
    if not printing.quiet:
        say(f"wrote {written}: tritonserver --model-repository={written}")
