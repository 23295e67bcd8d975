"""What `retrain` did, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ...ir.plural import counted
from ..render.console import Text
from ..render.text.report import timings
from ..render.text.table import make_table
from .result import Retrained

__all__ = ["retrained_view"]

FEW = 12  # looks in the table; of more the first, the last, and the best among those between


def retrained_view(done: Retrained, everything: bool = False) -> RenderableType:
    """How learning went, look by look, and what became of it."""
    classes = any(look.hits is not None for look in done.looks)
    columns = [("step", "right"), ("loss", "right"), *([("hits", "right")] if classes else []), ("trained", "right")]
    table = make_table("held back", *columns)
    every = 1 if everything else -(-len(done.looks) // FEW)
    for index, look in enumerate(done.looks):
        if index % every and look not in (done.best, done.looks[-1]):
            continue
        hits = [] if not classes else ["" if look.hits is None else f"{look.hits:.2%}"]
        trained = "" if look.trained is None else f"{look.trained:.4g}"
        mark = "bold" if look == done.best else ""
        table.add_row(f"{look.step:,}", f"{look.loss:.4g}", *hits, trained, style=mark)
    told = [f"{done.parameters:,} numbers trained"]
    told += [f"went on from step {done.began:,}"] if done.began else []
    told += [f"{counted(len(done.held), 'linear')} not trained: {done.held[0].reason}"] if done.held else []
    told += [f"kept is step {done.best.step:,}, {done.difference:.1e} from what was trained"]
    lines = [Text("; ".join(told), style="dim")]
    lines += [Text(f"wrote {path}") for path in done.written]
    return Group(table, *([timings(done.benches)] if done.benches else []), *lines)
