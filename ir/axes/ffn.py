"""Feed-forward networks: linears d -> H -> d' with nothing but feature-wise operators between them.

What a hidden unit computes then depends on one column of the first weight, and reaches the result through one row of
the second, so that the order of the hidden units is free. Where H = C·d and d' = d, an edge between two states is a
sequence of 2C weights, one of each matrix in each of C channels. Source: sections 2.1 and 3.3 of the paper.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..graph.constants import Constants
from ..graph.linear import Linear
from ..graph.operators import ADDING, AFFINE, COPYING, MEASURING, RESHAPING, is_one_of
from ..onnx_ir import onnx_ir as ir
from .featurewise import Growth, Reach, Trail, is_passed

__all__ = ["Ffn", "find_ffns"]


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
    >>> from ..graph.survey import survey
    >>> nodes = [onnx.helper.make_node(*n) for n in (("MatMul", "xu", "a"), ("Relu", "a", "b"), ("MatMul", "bv", "y"))]
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> weights = [onnx.helper.make_tensor(n, 1, shape, range(8)) for n, shape in (("u", [2, 4]), ("v", [4, 2]))]
    >>> graph = onnx.helper.make_graph(nodes, "g", [x], [y], weights)
    >>> found = survey(ir.from_proto(onnx.helper.make_model(graph)))
    >>> [(ffn.shape, ffn.channels) for ffn in find_ffns(found.linears, found.constants)]
    [((2, 4, 2), 2)]
    """
    linears = tuple(linears)
    growth = Growth(constants, {way.node: way for way in linears})
    net = _Net(growth, {way.output: way for way in linears})
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
class _Net:
    """The linears of one model, by what they compute, and what grows behind them."""

    growth: Growth
    of_output: dict[ir.Value, Linear]

    def pair(self, up: Linear) -> Ffn | None:
        """The network that one linear begins, alone or beside a gate."""
        if up.addend is not None:
            return None
        sources: tuple[Linear, ...] = (up,)
        region = self.growth.grow(sources)
        if region is not None and region.waiting:
            partner = self._partner(up, region)
            sources = (up, partner) if partner else sources
            region = self.growth.grow(sources) if partner else None
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

    def _partner(self, up: Linear, region: Reach) -> Linear | None:
        """A linear of the same input and shape behind the operands that a region wants."""
        stack = [value for node in region.waiting for value in self.growth.operands(node)]
        seen = set(region.places)
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            linear, node = self.of_output.get(value), value.producer()
            if linear is not None and self._is_twin(linear, up):
                return linear
            if node is not None and is_passed(node):
                stack += self.growth.operands(node)
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
            if is_one_of(node, RESHAPING):
                trail.append(self.growth.reshaping(node))
            elif not is_one_of(node, COPYING):
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
            uses = [use for use in value.uses() if not is_one_of(use.node, MEASURING)]
            if len(uses) != 1 or uses[0].node.graph is not down.node.graph:
                break
            node, index = uses[0]
            if is_one_of(node, RESHAPING) and not index:
                trail.append(self.growth.reshaping(node))
            elif not is_one_of(node, ADDING):
                break
            value = node.outputs[0]
        return value, tuple(trail)


def _is_curved(source: Linear, region: Reach) -> bool:
    """Whether an activation function acts on what one linear alone computes."""
    own = [value for value, place in region.places.items() if place.sources == {source} and value is not source.output]
    makers = [value.producer() for value in own]
    return source.fused or any(maker is not None and maker.op_type not in AFFINE | RESHAPING for maker in makers)


def _channels(up: Linear, down: Linear) -> int | None:
    (d, H), out = up.shape, down.shape[1]
    return H // d if d == out and H % d == 0 else None
