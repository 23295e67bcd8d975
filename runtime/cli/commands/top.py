"""`scission top`: how a server is doing, again and again."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from ..common.from_fields import group, takes
from ..common.terminal import Printing

__all__ = ["top"]

ABOVE = 6  # lines of a screen that are not rows: what it is at, which may take two, a title, names, and one left free

Address = Annotated[str, typer.Argument(metavar="[ADDRESS]", help="a URL, host:port, or a port of this machine")]
Every = Annotated[float, typer.Option("--every", metavar="SECONDS", help="how often it is asked", min=0.1, max=3600)]
Once = Annotated[bool, typer.Option("--once", help="ask it once, as it is where nothing is a terminal")]


@takes(printing=group(Printing, only=("everything", "as_json")))
def top(address: Address = "8000", every: Every = 1.0, once: Once = False, *, printing: Printing) -> None:
    """Show how a `scission serve` is doing: requests, how long they take, what runs, what waits; live in a terminal."""
    from rich.live import Live

    from ...http.watch.asking import asked
    from ...http.watch.shown import service_view
    from ...render.console import console
    from ...render.text.table import SHOWN

    status = asked(address)
    if once or printing.as_json or not sys.stdout.isatty():
        printing.show(status.to_dict, lambda _: service_view(status, None if printing.everything else SHOWN))
        return
    screen = console()
    with Live(service_view(status, screen.height - ABOVE), console=screen, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(service_view(asked(address), screen.height - ABOVE), refresh=True)
