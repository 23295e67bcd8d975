"""A region block by block: every linear and every operator in between once for each block, or once for a stack of them.

What enters the region is brought into the order of the blocks once, what leaves it is put back once; in between no
feature moves. With layout 'features_last' features stay on the axis that they are on. With layout 'features_first'
activations of two dimensions are transposed when they enter and when they leave, since copying whole rows is faster
than picking columns. A stack of blocks of equal shape is one tensor with a new first axis, and one node computes them
all. With layout 'stacked' features stay as well, and one Gather of the indices of all its blocks makes a stack: fewer
nodes, none of which a CUDA graph cannot record.

The bias of a stack could be one more row of its weight, which ones beside the activation meet. That would save an Add
of N outputs a row and cost a copy of K inputs, with ones behind: as much where K = N, and more where a network narrows.
Nothing in ONNX Runtime adds it inside of a product of three dimensions. So a bias of what stays inside is added as it
was, and one of what leaves is added last, to all features in their order: there it takes as long, and where a residual
Add and a normalisation follow, ONNX Runtime makes one node of the three.

    MatMul ── Transpose ── Reshape ── Gather ── [Add bias ── Add residual ── LayerNormalization]
                                                 SkipLayerNormalization, with the bias as an input
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....ir.axes.region import Inner, Region
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Decomposition
from ....ir.reason import Reason
from ..nodes.emitter import Emitter, Names
from ..nodes.primitives import bias_of
from .cut import Group, RegionBlocks, RegionCut, cut_up
from .ends import Entrance, biased, leave, why_not_left
from .linear import RegionLinear, picked_inputs, role_of, why_not_linear
from .node import restrict
from .region_node import Stackable, Unsuited

__all__ = ["Emitted", "RegionSite", "emit_region"]


@dataclass(frozen=True, slots=True, eq=False)
class Emitted:
    """What stands in for a region: new nodes by the node that they go in front of, constants, and what replaces each
    value that is read outside of the region."""

    nodes: Mapping[ir.Node, list[ir.Node]]
    constants: tuple[ir.Value, ...]
    replaced: Mapping[ir.Value, ir.Value]
    removed: tuple[ir.Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionSite:
    """Where a region is emitted: names that are free, addresses of all nodes, and what stands in the place of a value
    already."""

    region: Region
    names: Names
    addresses: Mapping[ir.Node, str]
    now: Mapping[ir.Value, ir.Value]


def emit_region(site: RegionSite, blocks: RegionBlocks) -> Emitted:
    """What stands in for a region, which no graph reads yet; raises Unsuited with the reason where it has no such
    blocks, or a node cannot be computed block by block."""
    cut = cut_up(site.region, blocks)
    if isinstance(cut, Reason):
        raise Unsuited(cut)
    return _RegionWork(site, cut).run()


@dataclass(slots=True, eq=False)
class _RegionWork:
    """A region that is being emitted."""

    site: RegionSite
    cut: RegionCut
    parts: dict[ir.Value, list[ir.Value]] = field(default_factory=dict)  # of each value, one for each group
    shared: dict[Any, ir.Value] = field(default_factory=dict)
    bare: frozenset[Linear] = frozenset()
    entrance: Entrance = field(init=False)

    def __post_init__(self) -> None:
        blocks = self.cut.blocks
        first, picked = blocks.features_first, blocks.layout == "stacked"
        self.entrance = Entrance(groups=self.cut.groups, features_first=first, picked=picked, now=self.site.now)

    def run(self) -> Emitted:
        """Emit the region; raises Unsuited with a reason where a node cannot be computed block by block."""
        region, cut = self.site.region, self.cut
        self.bare = _bare(region, cut)
        linears = {one.node: (one, found) for one, found in zip(region.linears, cut.blocks.decompositions, strict=True)}
        exits = set(region.exits)
        emitters: dict[ir.Node, Emitter] = {}
        replaced: dict[ir.Value, ir.Value] = {}
        for node in region.in_order:
            if node in linears:
                linear, found = linears[node]
                emitter = emitters[node] = Emitter(linear, self.site.names)
                self.parts[linear.output] = self._linear(emitter, linear, found)
                outputs = [linear.output]
            else:
                inner = Inner(node, self.site.addresses[node], region.linears[0].opset)
                emitter = emitters[node] = Emitter(inner, self.site.names)
                outputs = [output for output in node.outputs if output in cut.selected]
                for index, group in enumerate(cut.groups):
                    self._inner(emitter, node, index, group)
            for output in (output for output in outputs if output in exits):
                whole = self._left(emitter, output)
                if node in linears and linears[node][0] in self.bare:
                    whole = biased(emitter, linears[node][0], whole, region.constants)
                replaced[output] = whole
        constants = tuple(made for emitter in emitters.values() for made in emitter.constants)
        nodes = {node: emitter.nodes for node, emitter in emitters.items()}
        return Emitted(nodes, constants, replaced, tuple(region.nodes))

    def _linear(self, emitter: Emitter, linear: Linear, found: Decomposition) -> list[ir.Value]:
        region, cut = self.site.region, self.cut
        if reason := why_not_linear(region, cut, linear, found):
            raise Unsuited(reason)
        one = RegionLinear(
            linear=linear,
            found=found,
            emitter=emitter,
            constants=region.constants,
            features_first=cut.blocks.features_first,
            shared=self.shared,
            bare=linear in self.bare,
        )
        if region.is_internal(linear):
            return one.products(cut.groups, self.parts[linear.activation])
        picked = picked_inputs(linear, found, region.constants)
        if picked is not None:
            return one.copies(cut.groups, self.entrance.pieces(emitter, linear, picked))
        wanted = [block.inputs for block in found.blocks]
        return one.products(cut.groups, self.entrance.pieces(emitter, linear, wanted))

    def _inner(self, emitter: Emitter, node: ir.Node, index: int, group: Group) -> None:
        region, parts = self.site.region, self.parts
        site = Stackable(
            node=node,
            emitter=emitter,
            role=role_of(group),
            operands=[
                None if v is None else parts[v][index] if v in parts else self.site.now.get(v, v) for v in node.inputs
            ],
            inside=[value is not None and value in parts for value in node.inputs],
            constants=region.constants,
            labels=region.features.labels,
            selected=self.cut.owned[index],
            features_first=self.cut.blocks.features_first,
            shared=self.shared,
        )
        for old, new in zip(node.outputs, restrict(site), strict=True):
            if old in self.cut.selected and new is not None:
                new.type = old.type
                parts.setdefault(old, []).append(new)

    def _left(self, emitter: Emitter, output: ir.Value) -> ir.Value:
        cut, owned = self.cut, self.cut.selected[output]
        if reason := why_not_left(output, owned, cut.groups):
            raise Unsuited(reason)
        return leave(emitter, output, self.parts[output], owned, self.entrance)


def _bare(region: Region, cut: RegionCut) -> frozenset[Linear]:
    """The linears whose bias is added to what leaves the region: stacks all of them, which nothing inside reads."""
    if cut.blocks.layout != "stacked" or min(map(len, cut.groups)) == 1:
        return frozenset()
    outside = set(region.exits) - {value for node in region.nodes for value in node.inputs if value is not None}
    return frozenset(
        linear
        for linear in region.linears
        if linear.output in outside
        and linear not in cut.blocks.copies
        and bias_of(linear, region.constants) is not None
    )
