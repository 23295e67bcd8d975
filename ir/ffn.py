"""Feed-forward networks: linears d -> H -> d' with nothing but feature-wise operators between them.

What a hidden unit computes then depends on one column of the first weight, and reaches the result through one row of
the second, so that the order of the hidden units is free. Where H = C·d and d' = d, an edge between two states is a
sequence of 2C weights, one of each matrix in each of C channels. Source: sections 2.1 and 3.3 of the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from .constant import Constants
from .linear import Layout, Linear
from .model import ModelError
from .onnx_ir import onnx_ir as ir
from .recurrence import ELEMENTWISE
from .shapes import shape_of
from .site import size

__all__ = ["Ffn", "find_ffns"]

FEATUREWISE = ELEMENTWISE | {"BiasGelu", "FastGelu", "QuickGelu"}
FEATUREWISE |= {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN"}
RESHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})  # elements stay in the order of memory
MEASURING = frozenset({"Shape", "Size"})  # read no element
ADDING = frozenset({"Add", "Sum", "Identity"})
# With constants, these leave a branch linear: no activation function.
PLAIN = frozenset({"Add", "Sub", "Mul", "Div", "Neg", "Cast", "Identity", "Dropout"}) | RESHAPING
DOMAINS = ("", "ai.onnx", "com.microsoft")

Trail: TypeAlias = "tuple[tuple[Any, ...], ...]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ffn:
    """y = sum_i act(x U_i) V_i, or y = (act(x G) * x U) V with a gate; act is any function of single hidden units.

    ups: the U_i (d, H_i); downs: the V_i (H_i, d'), as many; one each where all channels are in one matrix, one a
    branch where they are spelt as separate products that are added up. gate: G (d, H), only beside a single U.
    channels: C, where all H_i are multiples of d and d' = d, so that together they are C·d; None otherwise.
    """

    ups: tuple[Linear, ...]
    downs: tuple[Linear, ...]
    channels: int | None
    gate: Linear | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """d, all hidden units, d'."""
        return self.ups[0].shape[0], sum(up.shape[1] for up in self.ups), self.downs[0].shape[1]

    @property
    def linears(self) -> tuple[Linear, ...]:
        """All its linears: ups, the gate, downs."""
        return (*self.ups, *([self.gate] if self.gate else []), *self.downs)


def find_ffns(linears: Iterable[Linear], constants: Constants) -> tuple[Ffn, ...]:
    """The feed-forward networks among the linears of one model, in the order of their first linears.

    Between the two linears each value is computed element by element, from one or more earlier ones and constants
    that are single numbers or vectors along the features, and nothing else reads it. No linear is in two networks;
    those with channels come first. What is not understood is left out. Reads no weight.

    >>> import onnx
    >>> from .survey import survey
    >>> nodes = [onnx.helper.make_node(*n) for n in (("MatMul", "xu", "a"), ("Relu", "a", "b"), ("MatMul", "bv", "y"))]
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> weights = [onnx.helper.make_tensor(n, 1, shape, range(8)) for n, shape in (("u", [2, 4]), ("v", [4, 2]))]
    >>> graph = onnx.helper.make_graph(nodes, "g", [x], [y], weights)
    >>> found = survey(ir.from_proto(onnx.helper.make_model(graph)))
    >>> [(ffn.shape, ffn.channels) for ffn in find_ffns(found.linears, found.constants)]
    [((2, 4, 2), 2)]
    """
    linears = tuple(linears)
    net = _Net(constants, {way.node: way for way in linears}, {way.output: way for way in linears})
    found = [ffn for up in linears if (ffn := net.pair(up)) is not None]
    taken: set[Linear] = set()
    chosen: list[Ffn] = []
    for ffn in sorted(found, key=lambda ffn: ffn.channels is None):
        if taken.isdisjoint(ffn.linears):
            taken.update(ffn.linears)
            chosen.append(ffn)
    order = {linear: index for index, linear in enumerate(linears)}
    ordered = sorted(chosen, key=lambda ffn: min(order[linear] for linear in ffn.linears))
    return tuple(net.merge(ordered))


@dataclass(frozen=True, slots=True)
class _Place:
    """How a value lies behind the sources that it is computed from.

    axis: of the features, counted from the last, 1; None where a Reshape left open which extents there are, though
    the features are still the last in memory. trail: the reshaping since the source: values that share it have equal
    shapes.
    """

    axis: int | None
    trail: Trail
    sources: frozenset[Linear]


@dataclass(frozen=True, slots=True)
class _Region:
    """What is computed from some linears: values, the linears that read them, nodes that want another operand too."""

    places: dict[ir.Value, _Place]
    downs: list[Linear]
    waiting: list[ir.Node]


@dataclass(frozen=True, slots=True)
class _Net:
    """The linears of one model, by their nodes and by what they compute."""

    constants: Constants
    of_node: dict[ir.Node, Linear]
    of_output: dict[ir.Value, Linear]

    def pair(self, up: Linear) -> Ffn | None:
        """The network that one linear begins, alone or beside a gate."""
        if up.addend is not None:
            return None
        sources: tuple[Linear, ...] = (up,)
        region = self._grow(sources)
        if region is not None and region.waiting:
            partner = self._partner(up, region)
            sources = (up, partner) if partner else sources
            region = self._grow(sources) if partner else None
        if region is None or region.waiting or len(region.downs) != 1:
            return None
        down = region.downs[0]
        if region.places[down.activation].sources != frozenset(sources):
            return None
        gate = None
        if len(sources) == 2:
            curved = [source for source in sources if _is_curved(source, region)]
            gate = curved[0] if len(curved) == 1 else sources[0]
        (straight,) = (source for source in sources if source is not gate)
        return Ffn(ups=(straight,), downs=(down,), channels=_channels(straight, down), gate=gate)

    def _grow(self, sources: Sequence[Linear]) -> _Region | None:
        """Everything computed from the sources up to the next linears; None where something else reads it."""
        H, graph = sources[0].shape[1], sources[0].node.graph
        places = {source.output: _Place(_axis_out(source), (), frozenset({source})) for source in sources}
        todo = list(places)
        downs: list[Linear] = []
        waiting: dict[ir.Node, None] = {}
        while todo:
            value = todo.pop()
            if value.is_graph_output():
                return None
            for node, index in value.uses():
                linear = self.of_node.get(node)
                if linear is not None:
                    if node.graph is not graph or not _enters(linear, value, places[value], H):
                        return None
                    downs.append(linear)  # twice, which is refused, where the value is its addend as well
                elif _is(node, MEASURING):
                    continue
                elif not _is_passed(node) or (index and _is(node, RESHAPING)):
                    return None
                elif any(operand not in places for operand in self._operands(node)):
                    waiting[node] = None
                elif node.outputs[0] not in places:
                    place = self._step(node, places, H, sources)
                    if place is None:
                        return None
                    waiting.pop(node, None)
                    places[node.outputs[0]] = place
                    todo.append(node.outputs[0])
        return _Region(places, downs, list(waiting))

    def _operands(self, node: ir.Node) -> list[ir.Value]:
        """The operands whose elements vary with the input of the model."""
        inputs = node.inputs[:1] if _is(node, RESHAPING) else node.inputs
        return [value for value in inputs if value is not None and value not in self.constants]

    def _step(self, node: ir.Node, places: dict[ir.Value, _Place], H: int, sources: Sequence[Linear]) -> _Place | None:
        """Where the result of a node lies; None where it mixes features or is not its only result."""
        found = [places[operand] for operand in self._operands(node)]
        axis, trail = found[0].axis, found[0].trail
        if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
            return None
        if _is(node, RESHAPING):
            if axis not in (1, None):
                return None
            shape = shape_of(node.outputs[0])
            known = shape is not None and len(shape) > 0 and shape[-1] == H
            return _Place(1 if known else None, (*trail, self._reshaping(node)), found[0].sources)
        if any(place.trail != trail for place in found):
            return None
        if any(place.sources != found[0].sources for place in found) and node.op_type != "Mul":
            return None
        is_bias = any(source.bias is not None and source.bias.node is node for source in sources)
        fixed = [value for value in node.inputs if value is not None and value in self.constants]
        if not is_bias and not all(self._is_along(value, axis, H) for value in fixed):
            return None
        return _Place(axis, trail, found[0].sources.union(*(place.sources for place in found)))

    def _is_along(self, value: ir.Value, axis: int | None, H: int) -> bool:
        """Whether a constant is a single number, or one for each feature."""
        try:
            shape, _ = self.constants.describe(value)
        except ModelError:
            return False
        along = axis is not None and len(shape) >= axis and shape[-axis] == H == size(shape)
        return size(shape) == 1 or along

    def _reshaping(self, node: ir.Node) -> tuple[Any, ...]:
        """What a node does to shapes: nodes with equal answers make equal shapes of equal shapes."""
        told: list[Any] = [node.op_type, *((a.name, str(a.value)) for a in node.attributes.values())]
        for value in node.inputs[1:]:
            try:
                known = value is not None and value in self.constants
                told.append(tuple(self.constants.read(value).ravel().tolist()) if known else value)
            except ModelError:
                told.append(value)
        return tuple(told)

    def _partner(self, up: Linear, region: _Region) -> Linear | None:
        """A linear of the same input and shape behind the operands that a region wants."""
        stack = [value for node in region.waiting for value in self._operands(node)]
        seen = set(region.places)
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            linear, node = self.of_output.get(value), value.producer()
            if linear is not None and self._is_twin(linear, up):
                return linear
            if node is not None and _is_passed(node):
                stack += self._operands(node)
        return None

    def _is_twin(self, linear: Linear, up: Linear) -> bool:
        """Whether a linear makes as many features of the same input, in the same shape."""
        same = linear.shape == up.shape and linear.layout == up.layout and linear.node.graph is up.node.graph
        return same and linear.addend is None and self._read(linear) == self._read(up)

    def _read(self, linear: Linear) -> tuple[ir.Value, Trail]:
        """The value behind a linear's activation, and how that was reshaped."""
        value = linear.activation
        trail: list[tuple[Any, ...]] = []
        while (node := value.producer()) is not None and node.inputs and node.inputs[0] is not None:
            if _is(node, RESHAPING):
                trail.append(self._reshaping(node))
            elif not _is(node, frozenset({"Identity", "Cast"})):
                break
            value = node.inputs[0]
        return value, tuple(trail)

    def merge(self, ffns: Iterable[Ffn]) -> list[Ffn]:
        """The same, where those without a gate that read one value and are added up have become one."""
        groups: dict[Any, list[Ffn]] = {}
        for ffn in ffns:
            up, down = ffn.ups[0], ffn.downs[0]
            key = (self._read(up), up.layout, down.layout, down.shape[1], self._sum(down))
            groups.setdefault(ffn if ffn.gate else key, []).append(ffn)
        merged = []
        for first, *rest in groups.values():
            counts = [ffn.channels for ffn in (first, *rest)]
            channels = None if None in counts else sum(count for count in counts if count)
            ups = tuple(up for ffn in (first, *rest) for up in ffn.ups)
            downs = tuple(down for ffn in (first, *rest) for down in ffn.downs)
            merged.append(replace(first, ups=ups, downs=downs, channels=channels) if rest else first)
        return merged

    def _sum(self, down: Linear) -> tuple[ir.Value, Trail]:
        """The last sum that a result goes into and nowhere else, and how it is reshaped before."""
        value = down.output
        trail: list[tuple[Any, ...]] = []
        while not value.is_graph_output():
            uses = [use for use in value.uses() if not _is(use.node, MEASURING)]
            if len(uses) != 1 or uses[0].node.graph is not down.node.graph:
                break
            node, index = uses[0]
            if _is(node, RESHAPING) and not index:
                trail.append(self._reshaping(node))
            elif not _is(node, ADDING):
                break
            value = node.outputs[0]
        return value, tuple(trail)


def _is(node: ir.Node, operators: frozenset[str]) -> bool:
    return node.domain in DOMAINS and node.op_type in operators


def _is_passed(node: ir.Node) -> bool:
    # Before operator set 7 this attribute went with one that told which axes line up.
    return (_is(node, FEATUREWISE) or _is(node, RESHAPING)) and "broadcast" not in node.attributes


def _enters(down: Linear, value: ir.Value, place: _Place, H: int) -> bool:
    """Whether a value enters a linear as its activation, with the hidden units as features."""
    return down.activation is value and down.shape[0] == H and _axis_in(down) == (place.axis or 1)


def _axis_in(linear: Linear) -> int:
    """The axis of the features of x, counted from the last, 1."""
    enter = linear.layout.enter
    return _from_last(linear.layout, enter[0] if enter else 0)


def _axis_out(linear: Linear) -> int:
    """The axis of the features of y, counted from the last, 1."""
    exit_ = linear.layout.exit
    return _from_last(linear.layout, exit_.index(0) if exit_ else 0)


def _from_last(layout: Layout, axis: int) -> int:
    if layout.kind == "rows" or layout.rank is None:
        return 1
    return layout.rank - (1 if layout.kind == "conv" else axis)


def _is_curved(source: Linear, region: _Region) -> bool:
    """Whether an activation function acts on what one linear alone computes."""
    own = [value for value, place in region.places.items() if place.sources == {source} and value is not source.output]
    makers = [value.producer() for value in own]
    return source.fused or any(maker is not None and maker.op_type not in PLAIN for maker in makers)


def _channels(up: Linear, down: Linear) -> int | None:
    (d, H), out = up.shape, down.shape[1]
    return H // d if d == out and H % d == 0 else None
