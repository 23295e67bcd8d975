"""Regions: linears of one graph and the operators between them that can be computed block by block together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..disjoint_sets import DisjointSets
from ..graph.constants import Constants
from ..graph.linear import Linear
from ..graph.operators import POINTWISE, QUANTISING
from ..onnx_ir import onnx_ir as ir
from ..reason import Cause, Reason
from .feature_ids import Features, Tracer, feature_axis_in, feature_axis_out, further, trace
from .regrouping import Labels

__all__ = ["MINIMUM", "Inner", "Places", "Region", "Segment", "region_of", "segments", "unfit"]

TAILED = POINTWISE | QUANTISING
MINIMUM = 13  # operator set from which axes and sizes are operands, as the nodes of blocks have them


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """An operator inside a region, as the origin of what it is replaced by: where it is, and its operator set."""

    node: ir.Node
    address: str
    opset: int

    @property
    def output(self) -> ir.Value:
        """Its first output."""
        return self.node.outputs[0]

    @property
    def op(self) -> str:
        """The operator."""
        return str(self.node.op_type)

    @property
    def dtype(self) -> ir.DataType | None:
        """The type of its first output, None where nothing tells."""
        return self.output.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Values that share features, from the linears that write them to those that read them.

    writers: linears whose outputs are among the values; readers: those whose activations are.
    """

    values: frozenset[ir.Value]
    writers: tuple[Linear, ...]
    readers: tuple[Linear, ...]


@dataclass(frozen=True, eq=False)
class Region:
    """Linears of one graph, in its order, and the nodes between them, `inner`, that are computed block by block.

    A linear whose activation is written inside the region is internal on that side; the activations of the others
    enter the region whole.
    """

    linears: tuple[Linear, ...]
    inner: tuple[ir.Node, ...]
    features: Features
    constants: Constants

    @cached_property
    def in_order(self) -> tuple[ir.Node, ...]:
        """The nodes of the linears and the inner ones, in the order of the graph."""
        mine = {linear.node for linear in self.linears} | set(self.inner)
        return tuple(node for node in self.linears[0].node.graph or () if node in mine)

    @cached_property
    def written(self) -> dict[ir.Value, ir.Node]:
        """The values that are computed block by block, with the node that each comes from."""
        found = {linear.output: linear.node for linear in self.linears}
        return found | {v: node for node in self.inner for v in node.outputs if v in self.features.labels}

    def is_internal(self, linear: Linear) -> bool:
        """Whether what a linear reads is computed inside the region."""
        return linear.activation in self.written

    def inputs(self, linear: Linear) -> Labels | None:
        """The labels of the K inputs of an internal linear; None where features lie on other axes besides."""
        labels = self.features.labels[linear.activation]
        along = labels.size == labels.shape[-1] and labels.size in (1, linear.shape[0])
        return np.broadcast_to(labels.reshape(-1), (linear.shape[0],)) if along else None

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """All nodes that the blocks stand in for: those of the linears, the Add of a bias that is folded in, and the
        inner ones."""
        folded = [one.bias.node for one in self.linears if one.bias and one.bias.node and one.bias.via is None]
        return (*(one.node for one in self.linears), *folded, *self.inner)

    @cached_property
    def computed(self) -> dict[ir.Node, int]:
        """How many features of a row each inner node computes."""
        labels = self.features.labels
        return {node: sum(labels[one].size for one in node.outputs if one in labels) for node in self.inner}

    @cached_property
    def in_all(self) -> int:
        """How many features of a row all inner nodes compute."""
        return sum(self.computed.values())

    @cached_property
    def by_operator(self) -> dict[str, list[ir.Node]]:
        """The inner nodes of each operator."""
        found: dict[str, list[ir.Node]] = {}
        for node in self.inner:
            found.setdefault(str(node.op_type), []).append(node)
        return found

    @cached_property
    def exits(self) -> tuple[ir.Value, ...]:
        """The values of the region that somebody outside of it reads: another node, a subgraph, the caller."""
        nodes = set(self.nodes)
        return tuple(
            value
            for value in self.written
            if value.is_graph_output() or any(use.node not in nodes for use in value.uses())
        )


def unfit(linear: Linear) -> Reason | None:
    """Why a linear cannot take part in a region, whatever stands around it; None when it can."""
    if linear.opset < MINIMUM:
        return Reason(Cause.OPERATOR_SET, f"operator set {linear.opset} is older than {MINIMUM}")
    if linear.in_function or not isinstance(linear.node.graph, ir.Graph):
        return Reason(Cause.IN_FUNCTION, "it stands in a function")
    if linear.slices:
        return Reason(Cause.BATCHED_WEIGHT, "its weight is several matrices")
    if linear.addend is not None or linear.fused:
        return Reason(Cause.FUSED, f"{linear.op} does more than a product and a bias")
    if feature_axis_in(linear) is None or feature_axis_out(linear) is None:
        return Reason(Cause.LAYOUT, "its features are not known to be on the last of two axes or more")
    return None


def segments(features: Features, linears: Iterable[Linear]) -> tuple[Segment, ...]:
    """The values of one graph that share features, grouped; those that some linear writes and some linear reads."""
    linears = list(linears)
    sets = DisjointSets[ir.Value]()
    for value in features.labels:
        sets.root(value)
    for node in features.ties:
        joined = [v for v in (*node.inputs, *node.outputs) if v is not None and v in sets]
        for value in joined[1:]:
            sets.join(value, joined[0])
    writers: dict[ir.Value, list[Linear]] = {}
    readers: dict[ir.Value, list[Linear]] = {}
    for linear in linears:
        if linear.output in sets:
            writers.setdefault(sets.root(linear.output), []).append(linear)
        if (
            linear.activation in sets
            and features.labels[linear.activation].shape[-1] == features.labels[linear.activation].size
        ):
            readers.setdefault(sets.root(linear.activation), []).append(linear)
    return tuple(
        Segment(frozenset(values), tuple(writers[key]), tuple(readers[key]))
        for key, values in sets.groups().items()
        if key in writers and key in readers
    )


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The nodes of a graph in its order, and the place of each: of a graph of which many regions are made."""

    nodes: tuple[ir.Node, ...]
    order: Mapping[ir.Node, int]

    @staticmethod
    def of(graph: ir.Graph) -> Places:
        """The places in a graph as it is now."""
        nodes = tuple(graph)
        return Places(nodes, {node: index for index, node in enumerate(nodes)})


def region_of(
    linears: Collection[Linear],
    constants: Constants,
    *,
    tail: bool = True,
    places: Places | None = None,
    features: Features | None = None,
) -> Region:
    """The region of some linears of one graph, whose features are followed from these linears alone.

    tail: whether elementwise operators behind the last linears belong to it as well, as long as they read nothing else
    and nobody else reads what they do; places: of the graph, where they are known; features: followed from these
    linears through all nodes up to the last of them, where that was done.
    """
    graph = next(iter(linears)).node.graph
    assert isinstance(graph, ir.Graph)
    places = places or Places.of(graph)
    order = places.order
    ordered = sorted(linears, key=lambda linear: order[linear.node])
    makers = [linear.output.producer() or linear.node for linear in ordered]  # the Add of a bias comes later
    if features is None:
        end = max(order[node] for node in makers) + 1
        features = trace(places.nodes[order[ordered[0].node] : end], ordered, constants)
    inner = _inner_nodes(features, ordered, order)
    if tail:
        tracer = further(features)
        behind = _tail(Region(tuple(ordered), inner, features, constants), tracer)
        inner = tuple(sorted((*inner, *behind), key=lambda node: order[node]))
        features = tracer.features
    return Region(tuple(ordered), inner, features, constants)


def _tail(region: Region, tracer: Tracer) -> list[ir.Node]:
    """Elementwise operators behind what leaves a region, whose results leave it instead; `tracer` follows these."""
    written = set(region.written)
    found: list[ir.Node] = []
    pending = list(region.exits)
    while pending:
        value = pending.pop()
        readers = {use.node for use in value.uses()}
        if value.is_graph_output() or len(readers) != 1:
            continue
        (node,) = readers
        varying = [v for v in node.inputs if v is not None and v not in region.constants]
        behind = node.op_type in TAILED and node.graph is region.linears[0].node.graph
        if behind and all(v is value for v in varying) and tracer.follows(node):
            found.append(node)
            written.add(node.outputs[0])
            pending.append(node.outputs[0])
    return found


def _inner_nodes(features: Features, linears: Collection[Linear], order: Mapping[ir.Node, int]) -> tuple[ir.Node, ...]:
    """The nodes through which the outputs of some of the linears reach the activations of others."""
    starts = {linear.output for linear in linears}
    found: set[ir.Node] = set()
    stack = [linear.activation for linear in linears if linear.activation in features.labels]
    while stack:
        value = stack.pop()
        node = value.producer()
        if value in starts or node is None or node in found or node not in features.ties:
            continue
        found.add(node)
        stack += [v for v in node.inputs if v is not None and v in features.labels]
    return tuple(sorted(found, key=lambda node: order[node]))
