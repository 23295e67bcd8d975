"""Recurrent operators with the same weights in all branches: one whose batch holds the sequences of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..packing.packed import Pack, Packed, Result, result_of
from ..packing.recipe import integers, turned_back

__all__ = ["recurrent"]

WEIGHTS = 2  # operands that are always there, behind the sequences
GIVEN = slice(3, 6)  # lengths of sequences and states to begin with
SEQUENCES = 3  # dimensions: positions, batch, features


def recurrent(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """The operator over the sequences of all branches; of each one result is read, the same of all.

    (B, T, N, I)  ──►  (T, B N, I)  ──►  (T, D, B N, H)  ──►  (B, T, D, N, H)      or the last states, without T
    """
    first, *weights = operands
    places = {list(node.outputs).index(result_of(node)) for node in pack.nodes}
    if first is None or first.kind in ("same", "fixed") or len(places) > 1 or pack.view.attribute("layout", 0):
        return None
    if None in weights[:WEIGHTS] or len(weights) < WEIGHTS or any(one is not None for one in weights[GIVEN]):
        return None
    if any(one is not None and (one.kind != "fixed" or not pack.equal(one)) for one in weights):
        return None
    shape, stacked, place = first.shape, pack.stacked(first), places.pop()
    if shape is None or len(shape) != SEQUENCES or stacked is None or weights[1] is None:
        return None
    (long, batch, features), (ways, _, hidden) = shape, pack.shape_of(weights[1])
    if not features or not (long or batch):  # a zero copies an extent, and nothing follows from none
        return None
    order, like, every = [1, 0, 2, 3], first.values[0], pack.lanes
    turned = turned_back(stacked, order) or pack.made("Transpose", stacked, like=like, perm=order)
    rows = [long, -1, features] if long else [0, every * (batch or 0), features]
    x = pack.made("Reshape", turned, integers(rows, "sequences"), like=like)
    made = replace(pack.again(x, *(None if one is None else one.values[0] for one in weights)), slot=place)
    each = [ways, every, -1 if long else batch or 0, hidden]
    if place:
        apart = pack.made("Reshape", made, integers(each, "branches"))
        return pack.made("Transpose", apart, perm=[1, 0, 2, 3]), "stack"
    apart = pack.made("Reshape", made, integers([long or 0, *each], "branches"))
    return pack.made("Transpose", apart, perm=[2, 0, 1, 3, 4]), "stack"
