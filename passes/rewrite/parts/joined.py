"""Parts of one model put into one graph, side by side: it reads what any of them reads, and writes what all of them do.

x ──Split──► part0 ──┐
       └───► part3 ──┴─Concat──► y        the places of both, in their order
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....ir.graph.node import subgraphs
from ....ir.io.tensors import every_node
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.parts.share import Share, share_of, whole
from ....ir.provenance import PART

__all__ = ["PartModel", "joined", "union"]

INDEX = "index"
SIZES_ARE_INPUTS = 13  # of Split and Slice, from this operator set on
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PartModel:
    """A part as a model of its own, which is changed, and what it reads and writes."""

    model: ir.Model
    reads: tuple[Share, ...]
    writes: tuple[Share, ...]


def union(shares: Sequence[Share]) -> tuple[Share, ...]:
    """For each value the places that any of these shares has of it: along the axes that all of them cut."""
    values: dict[str, list[Share]] = {}
    for share in shares:
        values.setdefault(share.value, []).append(share)
    found = []
    for value, own in values.items():
        masks: dict[int, npt.NDArray[np.bool_]] = {}
        for axis in set.intersection(*({*share.places} for share in own)):
            masks[axis] = np.zeros(own[0].size[axis], bool)
            for share in own:
                masks[axis][share.places[axis]] = True
        found.append(share_of(value, masks) if masks else whole(value))
    return tuple(found)


def joined(members: Sequence[PartModel], name: str) -> ir.Model:
    """One model of several parts, which are taken apart for it; name: by which it says of itself what part it is."""
    first = members[0].model
    reads = union([share for one in members for share in one.reads])
    writes = union([share for one in members for share in one.writes])
    work = _Joining(first.graph.opset_imports.get("", 0), {share.value for share in (*reads, *writes)})
    ends = [_ends(member.model.graph) for member in members]
    for index, member in enumerate(members):
        work.rename(member.model.graph, index)
    given = [
        work.taken(share, _sides([one.reads for one in members], [one for one, _ in ends], share)) for share in reads
    ]
    nodes, initializers = [*work.nodes], []
    for member in members:
        graph = member.model.graph
        own = [*graph]
        graph.remove(own)
        nodes += own
        initializers += [*graph.initializers.values()]
        for values in (graph.initializers, graph.inputs, graph.outputs):
            values.clear()
    work.nodes.clear()
    made = [
        work.put(share, _sides([one.writes for one in members], [one for _, one in ends], share)) for share in writes
    ]
    graph = ir.Graph(
        given,
        made,
        nodes=[*nodes, *work.nodes],
        initializers=[*initializers, *work.constants],
        opset_imports=dict(first.graph.opset_imports),
        name=name,
    )
    return ir.Model(
        graph,
        ir_version=first.ir_version or 8,
        producer_name=first.producer_name,
        functions=[*first.functions.values()],
        metadata_props={**first.metadata_props, PART: name},
    )


def _sides(
    shares: Sequence[Sequence[Share]], ends: Sequence[Mapping[str, ir.Value]], share: Share
) -> list[tuple[ir.Value, Share]]:
    """The input or output of each part for a value, those that have one, and its share of it."""
    return [
        (values[own.value], own)
        for some, values in zip(shares, ends, strict=True)
        for own in some
        if own.value == share.value
    ]


class _Joining:
    """Index work around the parts, with names of its own; taken: names that values of the whole have."""

    def __init__(self, opset: int, taken: set[str]) -> None:
        self.opset = opset
        self.prefix = ""
        while any(name.startswith((self.prefix + INDEX, self.prefix + "member")) for name in taken):
            self.prefix += "_"
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []
        self.count = 0
        self.names: set[str] = set()

    def rename(self, graph: ir.Graph, index: int) -> None:
        """Give all values and nodes of a part names that no other part has."""
        begin = f"{self.prefix}member{index}/"
        inner = [body for node in graph for _, _, body in subgraphs(node)]
        constants = [*graph.initializers.values()]
        graph.initializers.clear()
        values = [*graph.inputs, *constants]
        for node in graph:
            values += node.outputs
        for node in (*graph, *(node for body in inner for node in every_node(body))):
            node.name = self._unique(begin + (node.name or node.op_type))  # most exporters give names, helpers none
        for value in dict.fromkeys(values):
            if value.name:
                value.name = begin + value.name
        for value in constants:
            graph.initializers[value.name or ""] = value

    def taken(self, share: Share, readers: Sequence[tuple[ir.Value, Share]]) -> ir.Value:
        """The input of which parts read shares: their own inputs are replaced with what is taken of it."""
        like, first = readers[0]
        value = ir.Value(name=share.value, type=like.type, shape=_shape(share, first, like))
        inside = [_inside(share, own) for _, own in readers]
        cut = self._split(value, inside)
        for at, ((like, _), places) in enumerate(zip(readers, inside, strict=True)):
            now = cut[at] if cut else value
            for axis, own in () if cut else sorted(places.items()):
                now = self._some(now, axis, own)
            ir.convenience.replace_all_uses_with(like, now)
        return value

    def put(self, share: Share, writers: Sequence[tuple[ir.Value, Share]]) -> ir.Value:
        """The output of which parts write shares."""
        pieces = [piece for piece, _ in writers]
        result = ir.Value(name=share.value, type=pieces[0].type, shape=_shape(share, writers[0][1], pieces[0]))
        if len(pieces) == 1:
            return self._node("Identity", pieces, result)
        ((axis, _),) = writers[0][1].size.items()
        order = np.concatenate([own.places[axis] for _, own in writers])
        if np.array_equal(order, np.sort(order)):
            return self._node("Concat", pieces, result, axis=axis)
        whole_ = self._node("Concat", pieces, axis=axis)
        return self._node("Gather", [whole_, self._constant(np.argsort(order))], result, axis=axis)

    def _split(self, value: ir.Value, inside: Sequence[Mapping[int, Ids]]) -> list[ir.Value]:
        """The pieces that parts read, by one operator, where these lie one after another and are all of it."""
        axes = {tuple(places) for places in inside}
        if len(inside) < 2 or len(axes) != 1 or self.opset < SIZES_ARE_INPUTS or len(next(iter(axes))) != 1:
            return []
        ((axis,),) = axes
        every = np.concatenate([places[axis] for places in inside])
        extent = None if value.shape is None else value.shape[axis]
        if not np.array_equal(every, np.arange(every.size)) or every.size != extent:
            return []
        sizes = self._constant(np.array([places[axis].size for places in inside]))
        pieces = [ir.Value(name=self._fresh()) for _ in inside]
        self.nodes.append(
            ir.Node("", "Split", [value, sizes], [ir.AttrInt64("axis", axis)], outputs=pieces, name=pieces[0].name)
        )
        return pieces

    def _some(self, value: ir.Value, axis: int, places: Ids) -> ir.Value:
        run = places[-1] - places[0] + 1 == places.size
        if run and self.opset >= SIZES_ARE_INPUTS:
            bounds = [[places[0]], [places[-1] + 1], [axis]]
            return self._node("Slice", [value, *(self._constant(np.array(one)) for one in bounds)])
        return self._node("Gather", [value, self._constant(places)], axis=axis)

    def _node(self, op: str, inputs: Sequence[ir.Value], output: ir.Value | None = None, **attributes: int) -> ir.Value:
        made = output or ir.Value(name=self._fresh())
        own = [ir.AttrInt64(key, value) for key, value in attributes.items()]
        self.nodes.append(ir.Node("", op, inputs, own, outputs=[made], name=self._fresh()))
        return made

    def _constant(self, array: npt.ArrayLike) -> ir.Value:
        name = self._fresh()
        value = ir.Value(name=name, const_value=ir.Tensor(np.asarray(array, np.int64), name=name))
        self.constants.append(value)
        return value

    def _unique(self, wish: str) -> str:
        """A name that no node of the parts has: ONNX Runtime refuses a model with one name twice."""
        name, count = wish, 1
        while name in self.names:
            name, count = f"{wish}_{count}", count + 1
        self.names.add(name)
        return name

    def _fresh(self) -> str:
        self.count += 1
        return f"{self.prefix}{INDEX}/{self.count}"


def _ends(graph: ir.Graph) -> tuple[dict[str, ir.Value], dict[str, ir.Value]]:
    """The inputs and the outputs of a part by their names."""
    inputs, outputs = ({value.name or "": value for value in values} for values in (graph.inputs, graph.outputs))
    return inputs, outputs


def _inside(share: Share, own: Share) -> dict[int, Ids]:
    """Where the places of a part lie in those of the group, along each axis of which it reads not all of these."""
    found = {}
    for axis, places in own.places.items():
        at = np.searchsorted(share.places[axis], places) if axis in share.places else places
        if at.size < (share.places[axis].size if axis in share.places else own.size[axis]):
            found[axis] = np.asarray(at, np.int64)
    return found


def _shape(share: Share, own: Share, like: ir.Value) -> ir.Shape | None:
    """The extents of a value of the group, of which one part has such a share."""
    if like.shape is None:
        return None
    extents = [*like.shape]
    for axis, size in own.size.items():
        extents[axis] = share.places[axis].size if axis in share.places else size
    return ir.Shape(extents)
