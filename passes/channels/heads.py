"""Heads of attention operators: whole ones go, out of queries, keys, values and results together."""

from __future__ import annotations

from ...ir.axes.axis_rule import Operand
from .axis_classes import AxisClasses, Constraint
from .bounds.attention import Heads
from .constraints import Grid, Pinned

__all__ = ["HEADS", "KEYS", "relate_heads"]

# Axes that no operand has: heads of queries, of keys, and of the queries that share one of the keys.
HEADS, KEYS, SERVED = 110, 111, 112


def relate_heads(classes: AxisClasses, heads: Heads) -> list[Constraint]:
    """What holds of the axes of an attention operator, all others of which stay."""
    #     queries  (batch, positions, heads × features)        heads = keys × served
    #     keys     (batch, positions, keys  × features)          a head of the keys goes with all heads that it serves,
    #     values   (batch, positions, keys  × features)          or one of each that are served
    #     result   (batch, positions, heads × features)
    node, axis = heads.view.node, heads.axis
    sizes = heads.view.sizes
    places = [*(sizes.place(node, index) for index in range(3)), node.outputs[0]]
    queries, keys, served = ((Operand(node, 0), own) for own in (HEADS, KEYS, SERVED))
    classes.virtual[queries], classes.virtual[keys] = heads.queries, heads.keys
    classes.virtual[served] = heads.queries // heads.keys
    found: list[Constraint] = [Grid(queries, [keys, served])]
    for place, own, index in zip(places, (queries, keys, keys, queries), (0, 1, 2, 2), strict=True):
        if heads.front:
            found.append(Grid((place, axis), [own]))
        else:
            found.append(Grid((place, axis), [own, heads.features(index)]))
    rest = [(place, other) for place in places for other in range(heads.view.rank(0)) if other != axis]
    for index, value in enumerate(node.inputs[3:], start=3):
        if value is not None:
            rest += [(sizes.place(node, index), other) for other in range(len(sizes.of(value) or ()))]
    classes.join([(places[0], 0), (places[1], 0), (places[2], 0), (places[3], 0)])
    found.append(Pinned([dim for dim in rest if classes.extent(dim) > 1], node))
    return found
