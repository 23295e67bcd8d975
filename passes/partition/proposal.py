"""Which features of the outputs may belong together: places of axes joined by whatever reads one to make another.

What is proposed is too fine or too coarse at worst; what each group really needs is found by `narrow`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...ir.axes.shared_axis import Dim
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.parts.share import Share, share_of, whole
from ..channels.axis_classes import AxisClasses, Constraint
from ..channels.constraints import CutPlaces, Grid, Pinned
from ..channels.contraction import Contraction
from ..channels.relations import Relations
from ..channels.sums import Sum, WeighedSum
from ..connectivity.bipartite import components
from .narrowing import is_joined

__all__ = ["proposed"]

Ids = npt.NDArray[np.int64]


def proposed(relations: Relations, outputs: Sequence[ir.Value], *, shared: bool) -> list[list[Share]]:
    """Groups of shares of the outputs, each place of each output in one of them; one group where nothing falls apart.

    shared: whether parts may read the same places of inputs, and of what is computed of these without any product.
    Raises ModelError when a weight cannot be read.
    """
    joined = _Joined(relations.classes, _given(relations) if shared else frozenset(), _inner(relations))
    for constraint in relations.constraints:
        joined.take(constraint)
    labels = joined.labels()
    near, far = joined.seeds(relations)
    groups: dict[object, list[Share]] = {}
    for value in outputs:
        axis = joined.best_axis(value, len(relations.facts.sizes.of(value) or ()), labels, near, far)
        if axis is None:
            groups.setdefault(value, []).append(whole(value.name or ""))
            continue
        own = labels[joined.ids((value, axis))]
        for label in dict.fromkeys(own.tolist()):
            groups.setdefault(label, []).append(share_of(value.name or "", {axis: own == label}))
    return list(groups.values())


def _given(relations: Relations) -> frozenset[Dim]:
    """The classes of axes of what is computed of inputs without any product."""
    root = relations.classes.sets.root
    products = {one.node for one in relations.contractions}
    products |= {node for node, own in relations.own.items() if any(isinstance(one, WeighedSum) for one in own)}
    made: set[ir.Value] = set()
    for node in relations.own:
        if node in products or any(value in made for value in node.inputs):
            made.update(node.outputs)
    dims = [dim for dim in relations.classes.sets if isinstance(dim[0], ir.Value)]
    return frozenset(map(root, dims)) - {root(dim) for dim in dims if dim[0] in made}


def _inner(relations: Relations) -> frozenset[Dim]:
    """The classes of axes that products with constants sum over."""
    return frozenset(relations.classes.sets.root(one.inner) for one in relations.contractions)


def _cuts(relations: Relations, node: ir.Node) -> list[CutPlaces]:
    return [one for one in relations.own[node] if isinstance(one, CutPlaces)]


class _Joined:
    """Places of classes of axes, numbered, and the pairs of them that are joined; but for those of `apart`."""

    def __init__(self, classes: AxisClasses, apart: frozenset[Dim], inner: frozenset[Dim]) -> None:
        self.classes = classes
        self.apart = apart
        self.inner = inner
        self.start: dict[Dim, int] = {}
        self.count = 0
        self.pairs: list[tuple[Ids, Ids]] = []

    def ids(self, dim: Dim) -> Ids:
        """The numbers of the places of an axis."""
        root = self.classes.sets.root(dim)
        extent = self.classes.extent(root)
        if root not in self.start:
            self.start[root] = self.count
            self.count += extent
        return np.arange(self.start[root], self.start[root] + extent)

    def labels(self) -> Ids:
        """The set that each place is in."""
        first = np.concatenate([one for one, _ in self.pairs]) if self.pairs else np.empty(0, np.int64)
        second = np.concatenate([other for _, other in self.pairs]) if self.pairs else np.empty(0, np.int64)
        for root in list(self.classes.sets):
            self.ids(root)
        free = np.zeros(self.count, bool)
        for root in self.apart:
            free[self.ids(root)] = True
        ties = ~(free[first] | free[second])
        first, second = first[ties], second[ties]
        graph = coo_array((np.ones(first.size, bool), (first, second)), shape=(self.count, self.count))
        return np.asarray(connected_components(graph, directed=False)[1], np.int64)

    def join(self, one: Ids, other: Ids) -> None:
        self.pairs.append(tuple(np.broadcast_arrays(one, other)))  # type: ignore[arg-type]

    def take(self, constraint: Constraint) -> None:
        """Join what a constraint is about."""
        if isinstance(constraint, Contraction):
            self._product(constraint)
        elif isinstance(constraint, CutPlaces):
            self._cut(constraint)
        elif isinstance(constraint, Grid):
            self._grid(constraint)
        elif isinstance(constraint, WeighedSum):
            for dim in constraint.inner:
                self._all([dim])
        elif isinstance(constraint, Sum | Pinned):
            self._all(constraint.dims)
        else:
            self._all(constraint.dims)

    def _all(self, dims: Sequence[Dim]) -> None:
        ids = [self.ids(dim) for dim in dims if self.classes.extent(dim) > 1]
        if ids:
            every = np.concatenate(ids)
            self.join(every[:1], every)

    def _product(self, one: Contraction) -> None:
        rows, columns = self.ids(one.inner), self.ids(one.outer)
        stack = one.stack()
        sides = [ids.reshape(stack.shape[0], -1) for ids in (rows, columns)]
        root = self.classes.sets.root
        apart = root(one.inner) in self.apart and root(one.outer) in self.inner
        read = np.isnan(one.constants) if one.folds else one.constants != 0
        for group, entries in enumerate(stack):
            edges = (entries != 0).any(axis=-1) & read.reshape(stack.shape[0], -1)[group][:, None]
            found = components(np.ascontiguousarray(edges).astype(np.float32))
            for label in range(found.count):
                results = sides[1][group][found.outputs == label]
                self.join(results[:1], sides[0][group][found.inputs == label])
                # What reads the same inputs may part where other products read it: the last one is left as it is.
                if not apart:
                    self.join(results[:1], results)

    def _cut(self, one: CutPlaces) -> None:
        target, source = self.ids(one.target), self.ids(one.source)
        here = target[one.start : one.start + one.taken.size] if target.size > 1 else target
        self.join(here, source[one.taken] if source.size > 1 else source)

    def _grid(self, one: Grid) -> None:
        """A place of the whole belongs to its row; places in a row are those of every row."""
        # Of heads and places in a head, one after another, heads may part, but places in them hardly ever do.
        whole, parts = self.ids(one.whole), [part for part in one.parts if part != 1]
        shape = [part if isinstance(part, int) else self.classes.extent(part) for part in one.parts]
        for axis, part in enumerate(one.parts):
            if not isinstance(part, int) and shape[axis] > 1 and part is parts[0]:
                own = self.ids(part).reshape([-1 if at == axis else 1 for at in range(len(shape))])
                self.join(np.broadcast_to(own, shape).reshape(-1), whole)

    def seeds(self, relations: Relations) -> tuple[set[Dim], set[Dim]]:
        """The classes of axes that products with constants read or make, and those that are views of them."""
        root = self.classes.sets.root
        near = {root(dim) for one in relations.contractions for dim in one.dims}
        near |= {root(dim) for one in relations.constraints if isinstance(one, WeighedSum) for dim in one.outer}
        far = set(near)
        far |= {root(one.target) for node in relations.own if is_joined(node) for one in _cuts(relations, node)}
        views = [{root(dim) for dim in one.dims} for one in relations.constraints if isinstance(one, Grid | CutPlaces)]
        while grown := [view for view in views if not view.isdisjoint(far) and not view <= far]:
            far.update(*grown)
        return near, far

    def best_axis(self, value: ir.Value, rank: int, labels: Ids, near: set[Dim], far: set[Dim]) -> int | None:
        """The axis of an output along which most falls apart; None where along none anything does."""
        found = []
        for axis in self._axes(value, rank):
            root = self.classes.sets.root((value, axis))
            count = np.unique(labels[self.ids(root)]).size
            if root in far and count > 1:
                found.append((root in near, count, axis))
        return max(found)[2] if found else None

    def _axes(self, value: ir.Value, rank: int) -> Iterator[int]:
        return (axis for axis in range(rank) if self.classes.extent((value, axis)) > 1)
