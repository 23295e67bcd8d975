"""What can be left out of a main graph: for each axis what stays, and what the rest adds to products."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ...ir.axes.axis_rule import Operand, Place
from ...ir.axes.shared_axis import Dim
from ...ir.graph.constants import Constants
from ...ir.graph.operators import CONVOLUTIONS, EXPERTS
from ...ir.onnx_ir import onnx_ir as ir
from .axis_classes import Constraint, Masks
from .bounds.forward import facts_of
from .bounds.interval import Bools
from .contraction import Contraction, FoldedConstant
from .heads import HEADS, KEYS
from .negligible import Negligible
from .relations import GROUPS, Relations, relations_of

__all__ = ["Removal", "removal_of"]

# Of how many channels ONNX Runtime has fast kernels, by operator: their number is a multiple of it.
BLOCKS = {**dict.fromkeys(CONVOLUTIONS, 4), **dict.fromkeys(EXPERTS, 16)}
LEAST = 16  # channels of a product that is worth them


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """The places of axes that stay, once everything that does nothing has gone."""

    relations: Relations
    masks: Masks

    def stays(self, place: Place, axis: int) -> Bools | None:
        """What stays along an axis of a value or constant; None where that is all of it."""
        dim = (place, axis)
        if dim not in self.masks.classes.sets:
            return None
        mask = self.masks.of(dim)
        return None if mask.all() else mask

    def groups(self, node: ir.Node) -> int | None:
        """How many groups of a convolution stay; None where that is all of them, or there are none."""
        for one in self.relations.contractions:
            dim = (one.weight, GROUPS)
            if one.node is node and dim in self.masks.classes.virtual and not self.masks.of(dim).all():
                return int(self.masks.of(dim).sum())
        return None

    def heads(self, node: ir.Node) -> tuple[int, int] | None:
        """How many heads of queries and of keys of an attention operator stay; None where that is all, or has none."""
        dims = [(Operand(node, 0), own) for own in (HEADS, KEYS)]
        if not all(dim in self.masks.classes.virtual for dim in dims):
            return None
        queries, keys = (self.masks.of(dim) for dim in dims)
        return None if queries.all() else (int(queries.sum()), int(keys.sum()))

    def folds(self) -> list[FoldedConstant]:
        """What the places that go added to products."""
        found = [one.fold(self.masks) for one in self.relations.contractions if not self.masks.of(one.inner).all()]
        return [fold for fold in found if fold is not None]

    def smaller(self) -> list[Contraction]:
        """The products with constants of which something goes."""
        sides = ((one, (one.inner, one.outer)) for one in self.relations.contractions)
        return [one for one, dims in sides if not all(self.masks.of(dim).all() for dim in dims)]

    def cut(self) -> dict[Dim, list[Dim]]:
        """The classes of axes of which something goes, by the axis that stands for each."""
        members = self.masks.classes.sets.groups()
        return {root: dims for root, dims in members.items() if not self.masks.of(root).all()}


def removal_of(
    model: ir.Model,
    constants: Constants,
    *,
    exact: bool,
    asked: Mapping[Dim, Bools] | None = None,
    visit: Callable[[ir.Node], None] | None = None,
) -> Removal:
    """What can be left out of a main graph whose shapes were inferred, at most what is asked for.

    exact: whether all entries count that are not zero; asked: what is to stay along axes of values; everything stays
    along those of which nothing is said; visit: called with each node while its weights are at hand. Raises ModelError
    when a weight cannot be read.
    """

    facts = facts_of(model, constants, visit)
    relations = relations_of(model, facts, Negligible(exact))
    masks = Masks(relations.classes)
    constraints: list[Constraint] = list(relations.constraints)
    if asked is not None:
        _hold_back(masks, asked, {relations.classes.sets.root(one.inner) for one in relations.contractions})
    masks.settle(constraints)
    while asked is None and _widened(masks, relations.contractions):
        masks.settle(constraints)
    return Removal(relations, masks)


def _widened(masks: Masks, contractions: Iterable[Contraction]) -> bool:
    """Keep a few channels of convolutions, or units of experts, that could go: as many stay as fast kernels take.

    Whether any were kept.

    A net like MobileNet with 70 % of its channels takes 1.2 times as long as with all of them, and 0.7 times as long
    with their numbers rounded up.
    """
    for one in contractions:
        block = BLOCKS.get(one.node.op_type, 1)
        for dim in one.dims if block > 1 else ():
            stays = masks.of(dim)
            if stays.size >= LEAST and (more := -int(stays.sum()) % block):
                masks.keep(dim, np.isin(np.arange(stays.size), np.flatnonzero(~stays)[:more]))
    return bool(masks.changed)


def _hold_back(masks: Masks, asked: Mapping[Dim, Bools], read: Collection[Dim]) -> None:
    """Keep whatever is not asked to go; read: the axes that products sum over."""
    for root, dims in masks.classes.sets.groups().items():
        if root not in read and not any(isinstance(place, ir.Value) for place, _ in dims):
            continue  # blocks of a packed weight, which follow from channels
        own = [asked[dim] for dim in dims if dim in asked]
        fits = [mask for mask in own if mask.size == masks.classes.extent(root)]
        masks.keep(root, np.logical_or.reduce(fits) if fits else True)
