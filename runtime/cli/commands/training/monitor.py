"""`scission monitor`: how structure formed, or forms, in a training run."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from .....ir.io.files import write
from ...common.arguments import Overwrite, Picture
from ...common.from_fields import group, takes
from ...common.terminal import Printing, refuse_outputs

__all__ = ["monitor"]

Log = Annotated[Path, typer.Argument(metavar="RUN", help="the log that a StructureMonitor wrote, a .jsonl file")]
Follow = Annotated[bool, typer.Option("--follow", help="show new looks as they come, in a terminal")]
Every = Annotated[float, typer.Option("--every", metavar="SECONDS", help="how often it is read", min=0.1, max=3600)]


@takes(printing=group(Printing, only=("everything", "as_json", "quiet")))
def monitor(
    run: Log,
    picture: Picture = None,
    follow: Follow = False,
    every: Every = 1.0,
    overwrite: Overwrite = False,
    *,
    printing: Printing,
) -> None:
    """Show how the structure of weights forms in training: components, giant share, dormant features, by step."""
    from ....render.picture.formation import formation_picture
    from ....render.picture.structure import check_picture
    from ....upgrade.monitor.run_file import read_run

    if every != every:  # no bound of an option stops that
        raise typer.BadParameter("nan is no number of seconds", param_hint="--every")
    drawn = {path: check_picture(path) for path in picture or []}
    refuse_outputs(list(drawn), [run], overwrite)
    found = read_run(run)
    write({path: formation_picture(found, run.stem, suffix) for path, suffix in drawn.items()}, overwrite)
    if follow and not printing.bare and sys.stdout.isatty():
        _follow(run, every)
        return
    from ....upgrade.monitor.shown import formation_view

    looks = found.looks
    printing.show(lambda: [look.to_dict() for look in looks], lambda _: formation_view(found, printing.everything))


def _follow(run: Path, every: float) -> None:
    from rich.live import Live

    from ....render.console import console
    from ....upgrade.monitor.run_file import read_run
    from ....upgrade.monitor.shown import formation_view

    with Live(formation_view(read_run(run)), console=console(), auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(formation_view(read_run(run)), refresh=True)
