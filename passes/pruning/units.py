"""Units that could be left out of a model, if nothing read them: hidden units, channels of features, heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from ...ir.axes.shared_axis import Dim
from ...ir.graph.linear import Linear
from ...ir.graph.view import View
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.decomposition import Indices
from ..channels.axis_classes import Constraint, Masks
from ..channels.bounds.forward import facts_of
from ..channels.bounds.interval import Bools
from ..channels.constraints import Grid
from ..channels.contraction import Contraction
from ..channels.negligible import Negligible
from ..channels.relations import Relations, relations_of
from ..lowering.prices import Prices
from ..lowering.seconds import dense_seconds

__all__ = ["Extents", "Units", "UnitsKind", "find_units"]

UnitsKind: TypeAlias = Literal["units", "heads"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """A product (K, N) that becomes smaller with each unit that is left out, by `less`; itemsize: bytes of a weight."""

    shape: tuple[int, int]
    less: tuple[int, int]
    itemsize: int

    def seconds(self, count: int, rows: int, prices: Prices) -> float:
        """Predicted for so many rows, with so many units left out."""
        K, N = (max(1, whole - count * less) for whole, less in zip(self.shape, self.less, strict=True))
        return dense_seconds((K, N), rows, self.itemsize, prices)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """Units of one axis. labels: (K,) the unit of each of its places; readers: the linears that read it, all that
    stands between a unit and leaving it out; writers: those whose results lie along it; products: what becomes smaller
    with it, those that read it and others."""

    kind: UnitsKind
    labels: Indices
    readers: tuple[Linear, ...]
    writers: tuple[Linear, ...] = ()
    products: tuple[Extents, ...]

    @property
    def address(self) -> str:
        """Where they are: at the first that reads them."""
        return self.readers[0].address

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.labels.max(initial=-1)) + 1

    def saved(self, count: int, rows: int, prices: Prices) -> float:
        """Predicted seconds that leaving out so many saves."""
        return sum(one.seconds(0, rows, prices) - one.seconds(count, rows, prices) for one in self.products)


def find_units(seen: View) -> tuple[Units, ...]:
    """All units of the main graph of a model whose readers are linears alone, in the order that they are computed in.

    A unit is one that would do nothing, and go with all that makes it, once each weight that reads it were zero: what
    stands against it must be these weights and nothing else. Reads the model, changes nothing. Raises ModelError when a
    weight cannot be read.
    """
    relations = relations_of(seen.model, facts_of(seen.model, seen.found.constants), Negligible(exact=True))
    linears = {linear.node: linear for linear in seen.found.linears}
    places = {node: place for place, node in enumerate(seen.model.graph)}
    by_axis: dict[Dim, list[Contraction]] = {}
    for one in relations.contractions:
        by_axis.setdefault(relations.classes.sets.root(one.inner), []).append(one)
    found = []
    for root, readers in by_axis.items():
        own = _linears(readers, linears)
        if own and (units := _units(relations, root, readers, own)) is not None:
            found.append(replace(units, writers=_writers(relations, root, linears)))
    return tuple(sorted(found, key=lambda one: min(places[reader.node] for reader in one.readers)))


def _linears(readers: Sequence[Contraction], linears: dict[ir.Node, Linear]) -> tuple[Linear, ...]:
    """The linears that these products are; none where one of them is another operator, or takes no other bias."""
    own = [linears.get(one.node) for one in readers]
    plain = all(one.folds and one.groups == 1 and one.recurrence is None and one.matrix is None for one in readers)
    return tuple(linear for linear in own if linear is not None) if plain and None not in own else ()


def _writers(relations: Relations, root: Dim, linears: dict[ir.Node, Linear]) -> tuple[Linear, ...]:
    """The linears whose results lie along an axis, place by place."""
    sets = relations.classes.sets
    made = (one for one in relations.contractions if one.outer in sets and sets.root(one.outer) == root)
    return tuple(linears[one.node] for one in made if one.node in linears)


def _units(
    relations: Relations, root: Dim, readers: Sequence[Contraction], linears: tuple[Linear, ...]
) -> Units | None:
    """The units of one axis, the smallest that can go; None where none can."""
    extent = relations.classes.extent(root)
    others = [one for one in relations.constraints if one not in readers]
    for labels in _partitions(relations, root, extent):
        if labels.max(initial=0) < 1:
            continue
        masks = _without(relations, root, labels == 0, others)
        if masks.of(root)[labels == 0].any():
            continue
        return Units(
            kind="units" if labels.max() + 1 == extent else "heads",
            labels=labels,
            readers=linears,
            products=tuple(_smaller(relations.contractions, masks)),
        )
    return None


def _partitions(relations: Relations, root: Dim, extent: int) -> Iterator[Indices]:
    """What units of an axis may be: its places, then what has one place along a side of a grid of them."""
    yield np.arange(extent)
    sets = relations.classes.sets
    for one in relations.constraints:
        if isinstance(one, Grid) and one.whole in sets and sets.root(one.whole) == root:
            shape = [part if isinstance(part, int) else relations.classes.extent(part) for part in one.parts]
            for axis, part in enumerate(one.parts):
                if not isinstance(part, int) and shape[axis] > 1:
                    yield np.indices(shape)[axis].reshape(-1)


def _without(relations: Relations, root: Dim, gone: Bools, constraints: Sequence[Constraint]) -> Masks:
    """What stays where nothing reads some places of an axis, and all other axes are needed as far as they can be."""
    masks = Masks(relations.classes)
    masks.keep(root, ~gone)
    masks.settle(constraints)
    return masks


def _smaller(products: Sequence[Contraction], masks: Masks) -> Iterator[Extents]:
    for one in products:
        K, N, left_in, left_out = one.extents(masks)
        if (left_in, left_out) != (K, N):
            yield Extents(shape=(K, N), less=(K - left_in, N - left_out), itemsize=one.itemsize)
