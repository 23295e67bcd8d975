"""Heads of attention operators of one packed operand: they go out of each of its parts, and of the result."""

from __future__ import annotations

import numpy as np

from ...ir.axes.axis_rule import Operand
from ...ir.axes.shared_axis import Dim
from .axis_classes import AxisClasses, Constraint
from .bounds.forward import Facts
from .bounds.packed_attention import BIAS, WEIGHT, PackedHeads
from .constraints import CutPlaces, Grid, Pinned
from .contraction import Contraction, own_product
from .heads import HEADS, KEYS, SERVED
from .negligible import Negligible

__all__ = ["relate_packed_heads"]

PARTS = 113  # the first of three axes that no operand has: queries, keys and values


def relate_packed_heads(
    classes: AxisClasses, facts: Facts, heads: PackedHeads, small: Negligible
) -> tuple[list[Constraint], list[Contraction]]:
    """What holds of the axes of the operator, and the product that it has of its own, if it has one."""
    node, x = heads.view.node, heads.view.operand(0)
    assert x is not None
    place = Operand(node, 0)
    weight = Operand(node, WEIGHT)
    packed: Dim = (weight, 1) if heads.weighed else (x, 2)
    queries, keys, served = ((place, own) for own in (HEADS, KEYS, SERVED))
    classes.virtual.update({queries: heads.queries, keys: heads.keys, served: heads.queries // heads.keys})
    found: list[Constraint] = [Grid(queries, [keys, served]), Grid((node.outputs[0], 2), [queries, heads.each[2]])]
    start = 0
    for index, (width, own, each) in enumerate(zip(heads.widths, (queries, keys, keys), heads.each, strict=True)):
        part: Dim = (place, PARTS + index)
        classes.virtual[part] = width
        found += [CutPlaces(part, packed, start + np.arange(width)), Grid(part, [own, each])]
        start += width
    told = {(0, 2), (WEIGHT, 0), (WEIGHT, 1), (BIAS, 0)} if heads.weighed else {(0, 2)}
    products: list[Contraction] = []
    if heads.weighed:
        classes.join([packed, (Operand(node, BIAS), 0)])
        classes.join([(x, 2), (weight, 0)])
        # Its bias takes what constants add.
        products.append(own_product(node, facts, small))
    rest: list[Dim] = [(node.outputs[0], 0), (node.outputs[0], 1)]
    for index, value in enumerate(node.inputs):
        if value is not None:
            axes = range(len(facts.sizes.of(value) or ()))
            rest += [(facts.sizes.place(node, index), axis) for axis in axes if (index, axis) not in told]
    found.append(Pinned([dim for dim in rest if classes.extent(dim) > 1], node))
    return found, products
