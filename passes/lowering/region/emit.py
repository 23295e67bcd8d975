"""A region block by block: every linear and every operator in between once for each block, or once for a stack of them.

What enters the region is brought into the order of the blocks once, what leaves it is put back once; in between no
feature moves. With layout 'features_last' features stay on the axis that they are on. With layout 'features_first'
activations of two dimensions are transposed when they enter and when they leave, since copying whole rows is faster
than picking columns. A stack of blocks of equal shape is one tensor with a new first axis, and one node computes them
all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....ir.axes.region import Inner, Region, unfit
from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ...decompose.region import Ids, Selection, assign, selections
from ..linear.select import selection as picked
from ..nodes.emitter import Emitter, Names
from .ends import Entrance, leave
from .linear import Group, RegionLinear, role_of
from .node import restrict
from .region_node import Stackable, Unsuited

__all__ = ["Emitted", "RegionWork", "prepared", "stacks_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Emitted:
    """What stands in for a region: new nodes by the node that they go in front of, constants, and what replaces each
    value that is read outside of the region."""

    nodes: Mapping[ir.Node, list[ir.Node]]
    constants: tuple[ir.Value, ...]
    replaced: Mapping[ir.Value, ir.Value]
    removed: tuple[ir.Node, ...]


def prepared(
    region: Region,
    decompositions: Sequence[Decomposition],
    constants: Constants,
    names: Names,
    addresses: Mapping[ir.Node, str],
    *,
    layout: str = "features_last",
    blocks_per_node: int = 1,
    now: Mapping[ir.Value, ir.Value] | None = None,
) -> RegionWork:
    """What emits a region in blocks, where its blocks allow that; changes no graph and emits nothing yet.

    decompositions: of each linear of the region, block i of each being one block of the region; layout,
    blocks_per_node: see `RegionSplit`; now: what stands in the place of a value already. Raises Unsuited with a reason
    where the blocks contradict each other.
    """
    for linear in region.linears:
        if reason := unfit(linear):
            raise Unsuited(f"{linear.address}: {reason}")
    block_of = assign(region, decompositions)
    if block_of is None:
        raise Unsuited("its blocks contradict each other: what one writes another reads")
    groups = stacks_of(len(decompositions[0].blocks), blocks_per_node)
    features_first = layout == "features_first"
    selected = _selected(region, block_of, groups, features_first=features_first)
    entrance = Entrance(groups=groups, features_first=features_first, now=now or {})
    return RegionWork(region, decompositions, constants, names, addresses, features_first, groups, selected, entrance)


def stacks_of(count: int, blocks_per_node: int) -> list[Group]:
    """The blocks that are computed at once.

    >>> stacks_of(5, 2)
    [(0, 1), (2, 3), (4,)]
    """
    return [tuple(range(first, min(first + blocks_per_node, count))) for first in range(0, count, blocks_per_node)]


@dataclass(slots=True, eq=False)
class RegionWork:
    """A region that is being emitted; emitters: those that have emitted something by now, whatever becomes of it."""

    region: Region
    decompositions: Sequence[Decomposition]
    constants: Constants
    names: Names
    addresses: Mapping[ir.Node, str]
    features_first: bool
    groups: list[Group]
    selected: Mapping[ir.Value, list[Selection]]
    entrance: Entrance
    parts: dict[ir.Value, list[ir.Value]] = field(default_factory=dict)  # of each value, one for each group
    shared: dict[Any, ir.Value] = field(default_factory=dict)
    emitters: list[Emitter] = field(default_factory=list)
    owned: list[Mapping[ir.Value, list[Selection]]] = field(init=False)  # for each group what its blocks own

    def __post_init__(self) -> None:
        self.owned = [
            {value: [found[block] for block in group] for value, found in self.selected.items()}
            for group in self.groups
        ]

    def run(self) -> Emitted:
        """Emit the region; raises Unsuited with a reason where a node cannot be computed block by block."""
        linears = {one.node: (one, found) for one, found in zip(self.region.linears, self.decompositions, strict=True)}
        exits = set(self.region.exits())
        graph = self.region.linears[0].node.graph
        assert graph is not None
        mine = linears.keys() | set(self.region.inner)
        nodes: dict[ir.Node, list[ir.Node]] = {}
        replaced: dict[ir.Value, ir.Value] = {}
        for node in (node for node in graph if node in mine):
            if node in linears:
                linear, found = linears[node]
                emitter = self._emitter(linear)
                self.parts[linear.output] = self._linear(emitter, linear, found)
                outputs = [linear.output]
            else:
                emitter = self._emitter(Inner(node, self.addresses[node], self.region.linears[0].opset))
                outputs = [output for output in node.outputs if output in self.selected]
                for index, group in enumerate(self.groups):
                    self._inner(emitter, node, index, group)
            for output in (output for output in outputs if output in exits):
                parts, blocks = self.parts[output], self.selected[output]
                replaced[output] = leave(
                    emitter, output, parts, blocks, self.groups, features_first=self.features_first
                )
            nodes[node] = emitter.nodes
        constants = tuple(made for emitter in self.emitters for made in emitter.constants)
        return Emitted(nodes, constants, replaced, tuple(self.region.nodes))

    def _emitter(self, origin: Linear | Inner) -> Emitter:
        self.emitters.append(Emitter(origin, self.names))
        return self.emitters[-1]

    def _linear(self, emitter: Emitter, linear: Linear, found: Decomposition) -> list[ir.Value]:
        one = RegionLinear(
            linear=linear,
            found=found,
            emitter=emitter,
            constants=self.constants,
            features_first=self.features_first,
            shared=self.shared,
        )
        if self.region.is_internal(linear):
            return one.products(self.groups, self.parts[linear.activation])
        index = picked(linear.canonical(self.constants)) if found.shared.size else None
        if index is not None:
            wanted = [index[block.outputs] for block in found.blocks]
            return one.copies(self.groups, self.entrance.pieces(emitter, linear, wanted))
        wanted = [block.inputs for block in found.blocks]
        return one.products(self.groups, self.entrance.pieces(emitter, linear, wanted))

    def _inner(self, emitter: Emitter, node: ir.Node, index: int, group: Group) -> None:
        inside = [value is not None and value in self.parts for value in node.inputs]
        site = Stackable(
            node=node,
            emitter=emitter,
            role=role_of(group),
            operands=[
                None if v is None else self.parts[v][index] if v in self.parts else self.entrance.now.get(v, v)
                for v in node.inputs
            ],
            inside=inside,
            constants=self.constants,
            labels=self.region.features.labels,
            selected=self.owned[index],
            features_first=self.features_first,
            shared=self.shared,
        )
        for old, new in zip(node.outputs, restrict(site), strict=True):
            if old in self.selected and new is not None:
                new.type = old.type
                self.parts.setdefault(old, []).append(new)


def _selected(
    region: Region, block_of: Ids, groups: Sequence[Group], *, features_first: bool
) -> dict[ir.Value, list[Selection]]:
    """What each block owns of each value along each of its axes.

    Raises Unsuited where that is no rectangle, where the blocks of a stack are not of one shape, or features not on the
    last of two axes where they are to come first.
    """
    selected: dict[ir.Value, list[Selection]] = {}
    for value, parts in selections(region, block_of, region.written, sum(map(len, groups))):
        labels = region.features.labels[value]
        if features_first and (labels.ndim != 2 or labels.shape[0] > 1):
            raise Unsuited(f"the features of {value.name!r} are not on the last of two axes")
        owned = [found for found in parts if found is not None]
        if len(owned) < len(parts):
            raise Unsuited(f"block {parts.index(None)} is no rectangle of {value.name!r}")
        for group in groups:
            if len({tuple(axis.size for axis in owned[index]) for index in group}) > 1:
                raise Unsuited("blocks of different sizes cannot be stacked")
        selected[value] = owned
    return selected
