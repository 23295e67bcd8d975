"""What some outputs of a model need: the nodes, and the places of every axis, and no others.

Everything follows from the outputs backwards, as in the removal of channels, but that a node may be left out as a
whole: an operand of a Concat of which no place is wanted is not computed, and neither is a result of a Split.

    Concat   branch 0 | branch 1 | branch 2        wanted: places of branch 1
             ○ ○ ○ ○    ● ● ● ●    ○ ○ ○ ○         the others, and all that leads to them, are left out
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...ir.axes.axis_rule import Operand, Place
from ...ir.axes.shared_axis import Dim
from ...ir.graph.node import GRAPHS
from ...ir.graph.operators import is_standard
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.parts.share import Share
from ..channels.axis_classes import Constraint, Masks
from ..channels.bounds.interval import Bools
from ..channels.constraints import CutPlaces
from ..channels.relations import Relations
from ..channels.removal import Removal

__all__ = ["Narrowing", "is_joined", "is_split", "narrow", "values_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Narrowing:
    """What of a main graph some outputs need.

    removal: the places of axes that stay; live: the nodes that run, those of constants aside, in the order of the
    graph; wanted: the outputs; ends: the values that these are shares of.
    """

    removal: Removal
    live: Mapping[ir.Node, None]
    wanted: tuple[Share, ...]
    ends: tuple[ir.Value, ...]

    def cut(self, place: Place) -> dict[int, Bools]:
        """What stays along the axes of a value or constant of which something goes."""
        rank = len(self.removal.relations.facts.sizes.of(place) or ())
        return {axis: mask for axis in range(rank) if (mask := self.removal.stays(place, axis)) is not None}

    def operands(self, node: ir.Node) -> list[int]:
        """Which operands of a node are read."""
        return _read(self.removal.relations, self.removal.masks, node)

    def results(self, node: ir.Node) -> list[int]:
        """Which results of a node are still made: all, but of a Split those of which nothing stays."""
        if not is_split(node):
            return list(range(len(node.outputs)))
        windows = {dim[0]: found.any() for dim, found in self.windows(node).items()}
        return [index for index, value in enumerate(node.outputs) if windows.get(value, True)]

    def windows(self, node: ir.Node) -> dict[Dim, Bools]:
        """What stays of the source of each result of a Split, by the axis of the result."""
        masks = self.removal.masks
        return {
            one.target: masks.of(one.source)[one.taken]
            for one in self.removal.relations.own[node]
            if isinstance(one, CutPlaces) and masks.classes.extent(one.source) > 1
        }


def narrow(
    relations: Relations, graph: ir.Graph, wanted: Sequence[Share], starts: Collection[ir.Value] = ()
) -> Narrowing:
    """What these shares of values need; every output that is not among them is left out.

    relations: of the main graph `graph`, whose inputs and outputs were left free; starts: values that are there
    already, as inputs are.
    """
    named = {value.name: value for value in values_of(graph)}
    ends = tuple(named[share.value] for share in wanted)
    work = _Work(relations, graph, Masks(relations.classes), ends, frozenset(starts))
    work.want(wanted)
    live = work.settle()
    return Narrowing(Removal(relations, work.masks), live, tuple(wanted), ends)


def values_of(graph: ir.Graph) -> list[ir.Value]:
    """The values of a graph with a name, those of initializers aside."""
    made = (value for node in graph for value in node.outputs)
    return [value for value in (*graph.inputs, *made) if value.name]


def is_joined(node: ir.Node) -> bool:
    """Whether a node is a Concat, of which operands may be left out."""
    return node.op_type == "Concat" and is_standard(node)


def is_split(node: ir.Node) -> bool:
    """Whether a node is a Split, of which results may be left out."""
    return node.op_type == "Split" and is_standard(node)


def _joined(relations: Relations, masks: Masks, node: ir.Node) -> dict[Place, bool]:
    """Whether something of each operand of a Concat is wanted, where that is known of single places."""
    found: dict[Place, bool] = {}
    for one in relations.own[node]:
        if isinstance(one, CutPlaces):
            window = masks.of(one.target)[one.start : one.start + one.taken.size]
            found[one.source[0]] = found.get(one.source[0], False) or bool(window.any())
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    relations: Relations
    graph: ir.Graph
    masks: Masks
    ends: tuple[ir.Value, ...]
    starts: frozenset[ir.Value]

    def want(self, wanted: Sequence[Share]) -> None:
        """Keep what is wanted of the outputs."""
        sizes = self.relations.facts.sizes
        for share, value in zip(wanted, self.ends, strict=True):
            for axis in range(len(sizes.of(value) or ())):
                dim = (value, axis)
                mask = np.zeros(self.masks.classes.extent(dim), bool)
                mask[share.places.get(axis, slice(None))] = True
                self.masks.keep(dim, mask)

    def settle(self) -> dict[ir.Node, None]:
        """Grow the masks until all that is needed stays; returns the nodes that run."""
        # Nodes come to run where masks grow, and masks grow where more nodes run. Only when nothing grows any more one
        # place of an axis of which nothing stays is kept, or else operands of a Concat would be kept for nothing.
        own = self.relations.own
        outside = _outside(self.relations)
        held: list[Constraint] = []
        while True:
            live = self._live()
            active = [one for node in own if node in live for one in self._active(node, live)]
            if active == held and not self.masks.keep_one(self._dims(live)):
                return {node: None for node in own if node in live}
            held = active
            self.masks.settle([*active, *outside], empty=True)

    def _active(self, node: ir.Node, live: Mapping[ir.Node, None]) -> Iterable[Constraint]:
        """The constraints of a node that runs: of a Concat those of operands that are read, of a Split those of results
        that are."""
        found = self.relations.own[node]
        if is_joined(node):
            wanted = _joined(self.relations, self.masks, node)
            return [one for one in found if not isinstance(one, CutPlaces) or wanted[one.source[0]]]
        if is_split(node):
            return [one for one in found if not isinstance(one, CutPlaces) or self._is_read(one.target[0], live)]
        return found

    def _live(self) -> dict[ir.Node, None]:
        """The nodes that lead to what is wanted."""
        live: dict[ir.Node, None] = {}
        stack = [*self.ends]
        while stack:
            value = stack.pop()
            node = value.producer()
            if node is None or value in self.starts or node in live or node not in self.relations.own:
                continue
            live[node] = None
            read = [node.inputs[index] for index in _read(self.relations, self.masks, node)]
            stack += [one for one in (*read, *_inside(node, self.graph)) if one is not None]
        return live

    def _is_read(self, place: Place, live: Mapping[ir.Node, None]) -> bool:
        """Whether a node that runs reads a value, or it is wanted."""
        if isinstance(place, Operand) or place in self.ends:
            return True
        return any(
            use.node.graph is not self.graph
            or (use.node in live and use.idx in _read(self.relations, self.masks, use.node))
            for use in place.uses()
        )

    def _dims(self, live: Mapping[ir.Node, None]) -> list[Dim]:
        """The axes of what nodes that run read and make."""
        there: dict[Place, None] = {}
        for node in live:
            for index in _read(self.relations, self.masks, node):
                there[self.relations.facts.sizes.place(node, index)] = None
            there.update(dict.fromkeys(value for value in node.outputs if self._is_read(value, live)))
        return [dim for dim in self.relations.classes.sets if dim[0] in there]


def _read(relations: Relations, masks: Masks, node: ir.Node) -> list[int]:
    """Which operands of a node are read: of a Concat those that something stays of."""
    there = [index for index, value in enumerate(node.inputs) if value is not None]
    if not is_joined(node):
        return there
    wanted = _joined(relations, masks, node)
    return [index for index in there if wanted.get(relations.facts.sizes.place(node, index), True)]


def _home(value: ir.Value) -> ir.Graph | ir.Function | None:
    maker = value.producer()
    return value.graph if maker is None else maker.graph


def _inside(node: ir.Node, graph: ir.Graph) -> list[ir.Value]:
    """The values of the main graph that bodies of a node read."""
    found: list[ir.Value] = []
    for attribute in node.attributes.values():
        if attribute.type not in GRAPHS or attribute.is_ref():
            continue
        bodies = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else attribute.as_graphs()
        for inner in (one for body in bodies for one in body.all_nodes()):
            found += [value for value in inner.inputs if value is not None and _home(value) is graph]
        found += [value for body in bodies for value in body.outputs if _home(value) is graph]
    return found


def _outside(relations: Relations) -> list[Constraint]:
    """The constraints that no node makes."""
    inside = {id(one) for some in relations.own.values() for one in some}
    return [one for one in relations.constraints if id(one) not in inside]
