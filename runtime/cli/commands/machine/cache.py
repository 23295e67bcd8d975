"""`scission cache list | drop`: what --tune measured and kept, and how to forget it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from ....say import say, say_lines
from ...common.from_fields import group, takes
from ...common.listing import Listing
from ...common.terminal import Printing

if TYPE_CHECKING:
    from ....tune.cache import TuningCache
    from ....tune.cached_units import CachedUnit

__all__ = ["cache_app"]

cache_app = typer.Typer(
    name="cache",
    cls=Listing,
    help="What --tune measured and kept: list it, drop some of it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Shape = Annotated[str | None, typer.Option("--shape", metavar="KxN", help="only where a weight has this shape")]
Machine = Annotated[str, typer.Option("--machine", metavar="TEXT", help="only from machines whose line has it")]
Stale = Annotated[bool, typer.Option("--stale", help="only what this machine or version does not use any more")]


@cache_app.command("list")
@takes(printing=group(Printing, without=("verbose",)))
def list_(
    shape: Shape = None,
    machine: Machine = "",
    stale: Stale = False,
    *,
    printing: Printing,
) -> None:
    """Show what was kept: operators, shapes, which way won and how fast it was, and where."""
    from ....render.text.cache import cache_view
    from ....tune.cached_units import picked

    cache, units = _opened()
    chosen = picked(units, shape=_shape(shape), machine=machine, stale=stale)
    data = {"file": str(cache.path), "entries": [unit.to_dict() for unit in chosen], "warnings": cache.warnings}
    printing.show(lambda: data, lambda _: cache_view(chosen, str(cache.path), cache.warnings, printing.everything))


@cache_app.command()
@takes(printing=group(Printing, only=("as_json", "quiet")))
def drop(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="the first characters of keys that `list` shows")
    ] = None,
    shape: Shape = None,
    machine: Machine = "",
    stale: Stale = False,
    everything: Annotated[bool, typer.Option("--all", help="drop all there is")] = False,
    *,
    printing: Printing,
) -> None:
    """Forget what was kept, by key, shape or machine, so that the next --tune measures it again."""
    from ....tune.cached_units import picked

    if not (keys or shape or machine or stale or everything):
        raise typer.BadParameter("name keys, or say which with --shape, --machine, --stale or --all")
    cache, units = _opened()
    chosen = picked(units, keys=keys or (), shape=_shape(shape), machine=machine, stale=stale)
    if chosen or cache.warnings:  # a damaged file is begun anew
        cache.drop([unit.key for unit in chosen])
    if printing.as_json:
        say_lines(json.dumps({"dropped": [unit.key for unit in chosen], "warnings": cache.warnings}, indent=1))
    elif not printing.quiet:
        for warning in cache.warnings:
            say(f"warning: {warning}", err=True)
        say(f"dropped {len(chosen)} of {len(units)} {'entry' if len(units) == 1 else 'entries'}")


def _opened() -> tuple[TuningCache, tuple[CachedUnit, ...]]:
    from ..... import __version__
    from ....ort.environment import machine
    from ....tune.cache import TuningCache, cache_path
    from ....tune.cached_units import cached_units
    from ....tune.unit_races import MACHINE

    cache = TuningCache.open(cache_path())
    here = machine("auto") if cache.entries else {}
    return cache, cached_units(cache, {name: here.get(name) for name in MACHINE}, __version__)


def _shape(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not KxN, such as 512x2048", param_hint="--shape")
    return int(found[1]), int(found[2])
