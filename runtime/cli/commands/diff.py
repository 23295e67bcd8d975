"""`scission diff`: what the graphs of two models differ in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....ir.io.files import write
from ..common.arguments import First, Overwrite, Second
from ..common.from_fields import group, takes
from ..common.given import say_refused
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar, refuse_outputs

__all__ = ["diff"]


@takes(group(Patience), printing=group(Printing))
def diff(
    one: First,
    other: Second,
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="write it as a page of its own")] = None,
    overwrite: Overwrite = False,
    *,
    printing: Printing,
) -> None:
    """Show what the graphs of two models differ in, by what nodes compute; exit status 1 when they differ."""
    from ...pipeline.diff import diff as difference_of
    from ...render.text.diff import diff_view

    if page is not None:
        from ....ir.io.load import load
        from ....ir.io.save import files_read

        refuse_outputs([page], files_read(load(one), load(other)), overwrite)
    with progress_bar(printing.bare):
        found = difference_of(one, other)
    say_refused(one, other)
    if page is not None:
        from ...render.html.diff_page import diff_page

        write({page: diff_page(found).encode()}, overwrite)
    printing.show(found.to_dict, lambda _: diff_view(found, printing.everything))
    if not found.same:
        raise typer.Exit(1)
