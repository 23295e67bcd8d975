"""`scission export triton | compose | kserve`: parts in the form in which another server takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....export.options import ComposeOptions, KServeOptions, TritonOptions
from ....say import say
from ...common.from_fields import group, takes
from ...common.listing import Listing
from ...common.terminal import Printing

__all__ = ["export_app"]

export_app = typer.Typer(
    name="export",
    cls=Listing,
    help="Write the parts of a model in the form in which another server takes them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


Parts = Annotated[Path, typer.Argument(metavar="FOLDER", help="the parts, as `scission partition` wrote them")]


@export_app.callback()
def _root() -> None:
    pass


@export_app.command()
@takes(options=group(TritonOptions), printing=group(Printing, only=("quiet",)))
def triton(
    folder: Parts,
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


@export_app.command()
@takes(options=group(ComposeOptions), printing=group(Printing, only=("quiet",)))
def compose(
    folder: Parts,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="where the project goes")],
    *,
    options: ComposeOptions,
    printing: Printing,
) -> None:
    """Write a project of Docker Compose: a server of the parts, and Prometheus, which asks it how it is doing."""
    from ....export.compose import export_compose

    written = export_compose(folder, output, options)
    if not printing.quiet:
        say(f"wrote {written}: docker compose --project-directory {written} up")


@export_app.command()
@takes(options=group(KServeOptions), printing=group(Printing, only=("quiet",)))
def kserve(
    folder: Parts,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="where the YAML goes")],
    *,
    options: KServeOptions,
    printing: Printing,
) -> None:
    """Write an InferenceService of KServe: replicas of a server of the parts on Kubernetes, by how many ask."""
    from ....export.kserve import export_kserve

    written = export_kserve(folder, output, options)
    if not printing.quiet:
        say(f"wrote {written}: kubectl apply -f {written}")
