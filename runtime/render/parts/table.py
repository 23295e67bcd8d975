"""The parts of a model as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType

from ....ir.parts.manifest import Manifest
from ....ir.parts.share import Share
from ....ir.plan.decomposition import to_ranges
from ..console import Text
from ..text.table import SHOWN, make_table
from ..words import left_out

__all__ = ["parts_view"]

LONGEST = 24  # letters of places


def parts_view(manifest: Manifest, everything: bool = False) -> RenderableType:
    """What each part reads and writes, and what it costs."""
    table = make_table(
        "parts", ("part", "left"), ("reads", "left"), ("writes", "left"), ("MACs", "right"), ("bytes", "right")
    )
    total = sum(part.macs for part in manifest.parts) or 1
    shown = manifest.parts if everything else manifest.parts[:SHOWN]
    for part in shown:
        macs = f"{part.macs:,} ({part.macs / total:.1%})"
        table.add_row(Text(part.name), Text(_told(part.reads)), Text(_told(part.writes)), macs, f"{part.bytes_:,}")
    left = len(manifest.parts) - len(shown)
    return Group(table, *([Text(left_out(left, "parts"), style="dim")] if left else []))


def _told(shares: Sequence[Share]) -> str:
    return ", ".join(map(_one, shares)) or "nothing"


def _one(share: Share) -> str:
    cut = [to_ranges(places) for _, places in sorted(share.places.items())]
    short = [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in cut]
    return f"{share.value}[{'; '.join(short)}]" if short else share.value
