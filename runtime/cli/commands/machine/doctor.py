"""`scission doctor`: what is installed here, and what is amiss with it."""

from __future__ import annotations

import typer

from ...common.from_fields import group, takes
from ...common.terminal import Printing

__all__ = ["doctor"]


@takes(printing=group(Printing, only=("as_json", "quiet")))
def doctor(*, printing: Printing) -> None:
    """Show what is installed here: versions, providers, GPU, whose prices are used, places; exit status 1 if amiss."""
    from ....doctor.examination import examined
    from ....doctor.shown import doctor_view

    found = examined()
    printing.show(found.to_dict, lambda _: doctor_view(found))
    if not found.ok:
        raise typer.Exit(1)
