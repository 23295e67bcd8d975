"""The groups of blocks that prices choose between: fewer and larger ones, up to a single one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ...ir.plan.plan import Decomposition
from ..decompose.blocks import closed, group, grouped_at, halves, has_windows, is_cover
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import cover_cost

__all__ = ["Settings", "groupings"]

Settings: TypeAlias = "Iterable[tuple[int, Prices]]"


def groupings(found: Decomposition, settings: Settings = (), itemsize: int = FLOAT_BYTES) -> Iterator[Decomposition]:
    """Larger and larger groups of blocks: halving numbers from all of them down to one, and of a cover besides those
    that cost least in some setting (rows, prices), and one more and one less."""
    seen: set[int] = set()
    for count in halves(len(found.blocks)):
        seen.add(count)
        yield from _with_closed(group(found, count))
    if not is_cover(found) or found.split_k:
        return
    for rows, prices in settings:
        for gather_s in (0.0, prices.gather_elements_s):
            cheapest = grouped_at(found, cover_cost(prices, rows, itemsize, gather_s))
            count = len(cheapest.blocks)
            if count not in seen:
                seen.add(count)
                yield from _with_closed(cheapest)
            for near in (count - 1, count + 1):
                if 0 < near <= len(found.blocks) and near not in seen:
                    seen.add(near)
                    yield from _with_closed(group(found, near))


def _with_closed(found: Decomposition) -> Iterator[Decomposition]:
    """Groups, and the same with dormant outputs among them where they follow one another only so."""
    yield found
    if found.dormant_outputs.size and found.blocks and not (found.split_k or found.residual):
        whole = closed(found)
        if has_windows(whole):
            yield whole
