"""Pairs of products cut into shards by what is summed over between them: hidden units, heads. Always exact, (2.2):

    y = sum_c act(x U_c) V_c        x ──► act(x U_0) V_0 ──┐
                                    ├───► act(x U_1) V_1 ──┼─ sum ──► y, and what follows
                                    └───► …              ──┘

No arithmetic is saved: weights and work are spread. What a shard makes is its place along a new last axis, and the next
part sums over that axis, so that who runs parts need not know of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.node import NodeView
from ....ir.graph.operators import is_standard
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.parts.share import Share, share_of
from ....ir.plan.decomposition import Indices, indices
from ....ir.reason import Cause, Reason
from ...lowering.nodes.emitter import Names
from ...partition.find import SubModel, in_pieces, undivided
from .layers import bottlenecks, handed_on, stretch, typed, whole_between
from .narrowed import narrowed
from .segment import drop_dead, segment

__all__ = ["Shard", "Sharded", "sharded"]

FAR = 12  # values through which all passes, that two products of a pair are apart at the most
SUMMED = 13  # the operator set from which a sum takes its axes as an input


@dataclass(frozen=True, slots=True, eq=False)
class _Product:
    """A product with a constant at the end of a stretch. made: its result, without what is added to it."""

    node: ir.Node
    constants: Constants
    transposed: bool

    @property
    def made(self) -> ir.Value:
        return self.node.outputs[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(what is summed over, what is made)"""
        first, second = self.constants.describe(self._weight)[0]
        return (second, first) if self.transposed else (first, second)

    def rows(self, places: Indices, name: str) -> ir.Tensor[Any]:
        """The rows of its weight for some places of what is summed over, by a name. Raises ModelError."""
        whole = self.constants.read(self._weight)
        return ir.Tensor(np.ascontiguousarray((whole.T if self.transposed else whole)[places]), name=name)

    @property
    def _weight(self) -> ir.Value:
        weight = self.node.inputs[1]
        assert weight is not None
        return weight


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """A shard of a pair of products. up: what leads to its places of what the second product sums over; made: the value
    of which it writes its place; place, count: which of so many it is."""

    up: SubModel
    product: _Product
    places: Indices
    made: ir.Value
    place: int
    count: int

    @property
    def reads(self) -> tuple[Share, ...]:
        """What it reads."""
        return self.up.reads

    @property
    def writes(self) -> tuple[Share, ...]:
        """What it writes: its place along the last axis."""
        axis = len(self.made.shape or ()) - 1
        return (share_of(self.made.name or "", {axis: np.arange(self.count) == self.place}),)

    @property
    def rows(self) -> tuple[str, ...]:
        """What it reads of which each row makes the same row of what it writes."""
        return self.up.rows

    @property
    def macs(self) -> int:
        """Multiply-adds of one row."""
        return self.up.macs + self.places.size * self.product.shape[1]

    def model(self, name: str) -> ir.Model:
        """As a model of its own. Raises ModelError when a weight cannot be read."""
        part = narrowed(self.up.whole, self.up.needed, name)
        graph, names = part.graph, Names(part)
        weight, axes = (
            ir.Value(name=tensor.name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=tensor.shape)
            for tensor in (
                self.product.rows(self.places, names.fresh("shard/W")),
                ir.Tensor(np.array([-1]), name=names.fresh("shard/axes")),
            )
        )
        for value in (weight, axes):
            graph.initializers[value.name or ""] = value
        extents = [*(self.made.shape or ())]
        result = ir.Value(name=self.made.name, type=self.made.type, shape=ir.Shape([*extents[:-1], 1]))
        product = ir.Node("", "MatMul", [graph.outputs[0], weight], name=names.fresh("shard/MatMul"))
        product.outputs[0].name = names.fresh("shard/product")
        last = ir.Node(
            "", "Unsqueeze", [product.outputs[0], axes], outputs=[result], name=names.fresh("shard/Unsqueeze")
        )
        for node in (product, last):
            node.metadata_props.update(self.product.node.metadata_props)
            graph.append(node)
        graph.outputs.clear()
        graph.outputs.append(result)
        return part


@dataclass(frozen=True, slots=True, eq=False)
class Sharded:
    """A model of which pairs of products are shards. layers: what runs one after another; between: what goes on."""

    layers: tuple[tuple[SubModel | Shard, ...], ...]
    between: tuple[ir.Value, ...]


def sharded(model: ir.Model, count: int) -> Sharded | Reason:
    """A model of which every pair of products that is one behind the other is cut into so many shards, and all else is
    as it was; or why there is none. Changes nothing. Raises ModelError when a weight cannot be read."""
    if undivided(model) is None:
        return Reason(Cause.UNSUPPORTED, "it has an operator or an axis of which nothing is known")
    if model.graph.opset_imports.get("", 0) < SUMMED:
        return Reason(Cause.UNSUPPORTED, f"its operator set is older than {SUMMED}; convert it to that one first")
    seen = typed(model)
    ends = [None, *bottlenecks(seen), None]
    last = len(ends) - 1
    layers: list[tuple[SubModel | Shard, ...]] = []
    between: list[ir.Value] = []
    at = whole_from = 0
    while at < last:
        stretches = ((end, _pair(seen, ends[at], ends[end], count)) for end in range(at + 1, min(last, at + FAR) + 1))
        end, pair = next(((end, pair) for end, pair in stretches if pair is not None), (at + 1, None))
        if pair is not None:
            if whole_from < at:
                layers.append((whole_between(seen, ends[whole_from], ends[at]),))
                between += handed_on(seen, [ends[at]])
            shards, rest = pair
            layers += [shards, (rest,)]
            between += [shards[0].made, *handed_on(seen, [ends[end]])]
            whole_from = end
        at = end
    if not layers:
        return Reason(Cause.CONNECTED, f"no two products one behind the other can be cut into {count} between them")
    if whole_from < last:
        layers.append((whole_between(seen, ends[whole_from], None),))
    return Sharded(tuple(layers), tuple(between))


def _pair(seen: ir.Model, start: str | None, end: str | None, count: int) -> tuple[tuple[Shard, ...], SubModel] | None:
    """The shards of the last product of a stretch and of what leads to it, and what follows; None where none are."""
    here = stretch(seen, start, end)
    constants = Constants(here)
    product = next((found for node in reversed([*here.graph]) if (found := _product(node, constants))), None)
    if product is None:
        return None
    summed = product.node.inputs[0]
    size = product.shape[0]
    rank = None if summed is None or summed.shape is None else len(summed.shape)
    if summed is None or not summed.name or summed.producer() is None or not rank or size < count:
        return None
    if product.made.shape is None or product.made.type is None:
        return None
    pieces = [indices(own) for own in np.array_split(np.arange(size), count)]
    shares = [Share(summed.name, {rank - 1: own}, {rank - 1: size}) for own in pieces]
    ups = in_pieces(segment(here, None, summed.name), shares)
    if ups is None:
        return None
    name = f"{product.made.name}/shards"
    names = Names(seen)
    while not names.is_free(name):
        name += "_"
    made = ir.Value(name=name, type=product.made.type, shape=ir.Shape([*product.made.shape, count]))
    rest = undivided(_rest(here, product, made))
    if rest is None:
        return None
    cut = enumerate(zip(ups, pieces, strict=True))
    return tuple(Shard(up, product, own, made, place, count) for place, (up, own) in cut), rest


def _product(node: ir.Node, constants: Constants) -> _Product | None:
    """A product with a constant matrix, where nothing else is in it but what is added."""
    if not is_standard(node) or node.op_type not in ("MatMul", "Gemm") or len(node.inputs) < 2:
        return None
    first, weight = node.inputs[:2]
    if first is None or weight is None or first in constants or weight not in constants:
        return None
    told = NodeView(node, constants)
    plain = not told.attribute("transA", 0) and all(told.attribute(name, 1.0) == 1.0 for name in ("alpha", "beta"))
    if not plain or len(constants.describe(weight)[0]) != 2:
        return None
    return _Product(node, constants, bool(told.attribute("transB", 0)))


def _rest(here: ir.Model, product: _Product, made: ir.Value) -> ir.Model:
    """What follows a product, which is given what the shards make of it."""
    place = [*here.graph].index(product.node)
    copy = here.clone()
    graph = copy.graph
    node = [*graph][place]
    old = node.outputs[0]
    given = ir.Value(name=made.name, type=made.type, shape=made.shape)
    graph.inputs.append(given)
    names = Names(copy)
    tensor = ir.Tensor(np.array([-1]), name=names.fresh(f"{made.name}/axes"))
    axes = ir.Value(name=tensor.name, const_value=tensor)
    graph.initializers[axes.name or ""] = axes
    name, old.name = old.name, names.fresh(f"{made.name}/before")
    keep = ir.AttrInt64("keepdims", 0)
    summing = ir.Node("", "ReduceSum", [given, axes], [keep], name=names.fresh(f"{made.name}/sum"))
    graph.insert_after(node, summing)
    last = summing
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        summing.outputs[0].name = names.fresh(f"{made.name}/summed")
        last = ir.Node("", "Add", [summing.outputs[0], bias], name=names.fresh(f"{made.name}/bias"))
        graph.insert_after(summing, last)
    for new in dict.fromkeys((summing, last)):
        new.metadata_props.update(node.metadata_props)
    result = last.outputs[0]
    result.name, result.type, result.shape = name, old.type, old.shape
    ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    drop_dead(copy)
    return copy
