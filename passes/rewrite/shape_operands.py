"""Numbers that tell shapes, once channels are gone: targets of Reshape and Expand, sizes, pieces, places, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...ir.axes.axis_rule import Operand, Place, RuleView
from ...ir.graph.node import from_first
from ...ir.graph.operators import ATTENTION, CONVOLUTIONS, INTEGER_CONVOLUTIONS, MICROSOFT, is_standard
from ...ir.graph.recurrent import INITIAL_C, INITIAL_H
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.provenance import ORIGIN, ROLE
from ..channels.bounds.cells import RECURRENCE, RecurrentCells
from ..channels.bounds.interval import Bools
from ..channels.bounds.packed_attention import packed_heads
from ..channels.removal import Removal
from ..lowering.nodes.emitter import Names
from .constant_copies import NewConstants
from .edit import drop_unread

__all__ = ["Shapes"]

COUNTS = ("num_heads", "q_num_heads"), ("kv_num_heads",)  # of the heads of queries, and of keys
ATTRIBUTES_BECAME_INPUTS = {"Split": 13, "Slice": 10, "Squeeze": 13}  # at these operator sets


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """The numbers of nodes corrected for what is removed, before their constants are cut; addresses: of all nodes."""

    removal: Removal
    new: NewConstants
    names: Names
    addresses: Mapping[ir.Node, str]

    def edit(self, node: ir.Node) -> int | None:
        """Correct what one node says of shapes; returns which constant has no channels to cut any more."""
        if node.op_type in ATTENTION and (heads := self.removal.heads(node)) is not None:
            names = {name: count for pair, count in zip(COUNTS, heads, strict=True) for name in pair}
            packed = packed_heads(self._view(node))
            for name in names.keys() & node.attributes.keys():
                node.attributes[name] = ir.AttrInt64(name, names[name])
            if packed is not None and "qkv_hidden_sizes" in node.attributes:
                counts = heads[0], heads[1], heads[1]
                widths = [count * each for count, each in zip(counts, packed.each, strict=True)]
                node.attributes["qkv_hidden_sizes"] = ir.AttrInt64s("qkv_hidden_sizes", widths)
            return None
        if (cells := self.removal.relations.facts.cells.get(node)) is not None:
            self._cells(node, cells)
            return None
        if not is_standard(node) and node.op_type not in MICROSOFT:
            return None
        if node.op_type in ("Reshape", "Expand"):
            self._target(node)
        elif node.op_type == "Split":
            self._split(node)
        elif node.op_type == "Slice":
            self._slice(node)
        elif node.op_type == "Gather":
            return self._gather(node)
        elif node.op_type == "Resize":
            self._resize(node)
        elif node.op_type == "Squeeze":
            self._squeeze(node)
        elif node.op_type == "MatMulNBits":
            self._packed(node)
        elif node.op_type in CONVOLUTIONS | INTEGER_CONVOLUTIONS and (groups := self.removal.groups(node)) is not None:
            node.attributes["group"] = ir.AttrInt64("group", groups)
        return None

    def _cells(self, node: ir.Node, cells: RecurrentCells) -> None:
        """The number of hidden units of a recurrent operator; zeros that it starts from are those it starts from."""
        mask = self.removal.stays(Operand(node, RECURRENCE), 2)
        if mask is None:
            return
        node.attributes["hidden_size"] = ir.AttrInt64("hidden_size", int(mask.sum()))
        for index in (INITIAL_H, INITIAL_C):
            value = cells.view.operand(index)
            if value is not None and cells.starts_at_zero(index):
                node.replace_input_with(index, None)
                drop_unread(self.new.model, value)

    def _packed(self, node: ir.Node) -> None:
        """The sizes of a weight whose entries are packed: K channels by N results."""
        result = node.outputs[0]
        rank = len(self.removal.relations.facts.sizes.of(result) or ())
        for name, place in (("K", node.inputs[0]), ("N", result)):
            mask = None if place is None else self.removal.stays(place, rank - 1)
            if mask is not None:
                node.attributes[name] = ir.AttrInt64(name, int(mask.sum()))

    @property
    def _opset(self) -> int:
        return self.removal.relations.facts.sizes.constants.opset

    def _view(self, node: ir.Node) -> RuleView:
        sizes = self.removal.relations.facts.sizes
        return RuleView(node, sizes.constants, sizes)

    def _cut(self, place: Place) -> dict[int, Bools]:
        """What stays along the axes of a value or constant that are cut."""
        rank = len(self.removal.relations.facts.sizes.of(place) or ())
        return {axis: mask for axis in range(rank) if (mask := self.removal.stays(place, axis)) is not None}

    def _target(self, node: ir.Node) -> None:
        """The extents that a Reshape or Expand asks for."""
        result, source = node.outputs[0], self._place(node, 0)
        sizes = self.removal.relations.facts.sizes
        extents = sizes.of(result) or ()
        wanted = {axis: int(mask.sum()) for axis, mask in self._cut(result).items()}
        before = self._cut(source)
        if not wanted and not before:
            return
        target = node.inputs[1] if len(node.inputs) > 1 else None
        if target is None:  # before operator set 5
            return
        if target not in sizes.constants:
            if wanted:
                node.replace_input_with(1, self._computed(node, target, wanted))
                drop_unread(self.new.model, target)
            return
        numbers = sizes.constants.read(target).reshape(-1).astype(np.int64).tolist()
        lead = len(extents) - len(numbers)  # an Expand may say less than the rank
        for axis, extent in enumerate(extents):
            place = axis - lead
            if place < 0:
                continue
            if axis in wanted and numbers[place] != 1:
                numbers[place] = wanted[axis]
            elif node.op_type == "Reshape" and numbers[place] == 0 and axis in before and isinstance(extent, int):
                numbers[place] = extent
        node.replace_input_with(1, self.new.integers(numbers, target.name or "shape"))
        drop_unread(self.new.model, target)

    def _computed(self, node: ir.Node, target: ir.Value, wanted: Mapping[int, int]) -> ir.Value:
        """A shape that is put together at run time, with some of its numbers replaced."""
        maker = target.producer()
        sizes = self.removal.relations.facts.sizes
        lengths = [self._length(value) for value in maker.inputs] if maker is not None else []
        if maker is not None and maker.op_type == "Concat" and is_standard(maker) and all(lengths):
            inputs, start, left = [], 0, dict(wanted)
            for value, length in zip(maker.inputs, lengths, strict=True):
                assert value is not None and length is not None
                own = {axis - start: number for axis, number in wanted.items() if start <= axis < start + length}
                if own and (length == 1 or value in sizes.constants):
                    held = sizes.constants.read(value).reshape(-1).tolist() if value in sizes.constants else [0]
                    for place, number in own.items():
                        held[place] = number
                        del left[place + start]
                    value = self.new.integers(held, value.name or "shape")
                inputs.append(value)
                start += length
            if not left:
                return self._node(node, "Concat", inputs, axis=0)
        count = max(len(sizes.of(node.outputs[0]) or ()), 1)
        here = np.isin(np.arange(count), list(wanted))
        numbers = np.array([wanted.get(axis, 0) for axis in range(count)], np.int64)
        chosen = [self.new.array(here, "replaced"), self.new.integers(numbers.tolist(), "extents"), target]
        return self._node(node, "Where", chosen)

    def _length(self, value: ir.Value | None) -> int | None:
        return None if value is None else self.removal.relations.facts.sizes.extent(value, 0)

    def _node(self, before: ir.Node, op: str, inputs: list[ir.Value], **attributes: int) -> ir.Value:
        """A new node in front of another."""
        name = self.names.fresh(f"{before.name or before.outputs[0].name}/shape/{op}")
        output = ir.Value(name=self.names.fresh(f"{name}_output_0"), type=ir.TensorType(ir.DataType.INT64))
        node = ir.Node(
            "",
            op,
            inputs,
            [ir.AttrInt64(key, value) for key, value in attributes.items()],
            outputs=[output],
            name=name,
            metadata_props={**before.metadata_props, ORIGIN: self.addresses[before], ROLE: "shape"},
        )
        assert before.graph is not None
        before.graph.insert_before(before, node)
        return output

    def _split(self, node: ir.Node) -> None:
        view = self._view(node)
        axis = view.axis(view.rank(0), 0)
        if self.removal.stays(self._place(node, 0), axis) is None:
            return
        sizes = self.removal.relations.facts.sizes
        masks = [self.removal.stays(value, axis) for value in node.outputs]
        kept = [
            int(mask.sum()) if mask is not None else (sizes.extent(value, axis) or 1)
            for mask, value in zip(masks, node.outputs, strict=True)
        ]
        if self._opset < ATTRIBUTES_BECAME_INPUTS["Split"]:
            node.attributes["split"] = ir.AttrInt64s("split", kept)
            return
        node.attributes.pop("num_outputs", None)
        self._put(node, 1, kept, "split")

    def _place(self, node: ir.Node, index: int) -> Place:
        return self.removal.relations.facts.sizes.place(node, index)

    def _slice(self, node: ir.Node) -> None:
        view = self._view(node)
        rule = self.removal.relations.facts.rules[node]
        if isinstance(rule, str):  # nothing is known of it: what it reads and makes stays whole
            return
        starts, ends = view.integers("starts", 1), view.integers("ends", 2)
        given = view.told("axes", 3)
        axes = [axis % view.rank(0) for axis in (given if given is not None else range(len(starts or ())))]
        changed = False
        for cut in rule.cuts:
            (piece,) = cut.pieces
            mask = self.removal.stays(self._place(node, 0), piece.source.axis)
            if mask is None or starts is None or ends is None or not isinstance(piece.taken, slice):
                continue
            first, last, _ = piece.taken.indices(mask.size)
            place = axes.index(piece.source.axis)
            starts[place], ends[place] = int(mask[:first].sum()), int(mask[: max(first, last)].sum())
            changed = True
        if not changed or starts is None or ends is None:
            return
        if self._opset < ATTRIBUTES_BECAME_INPUTS["Slice"]:
            node.attributes["starts"] = ir.AttrInt64s("starts", starts)
            node.attributes["ends"] = ir.AttrInt64s("ends", ends)
            return
        self._put(node, 1, starts, "starts")
        self._put(node, 2, ends, "ends")

    def _put(self, node: ir.Node, index: int, numbers: list[int], wish: str) -> None:
        """Other numbers as an operand, of the type that it had."""
        if len(node.inputs) <= index:
            node.resize_inputs(index + 1)
        old = node.inputs[index]
        kind = None if old is None else self.removal.relations.facts.sizes.constants.describe(old)[1]
        array = np.asarray(numbers, np.int64 if kind is None else kind.numpy())
        node.replace_input_with(index, self.new.array(array, wish))
        if old is not None:
            drop_unread(self.new.model, old)

    def _resize(self, node: ir.Node) -> None:
        """The extents that a Resize asks for; axes that are cut keep theirs."""
        view = self._view(node)
        cut, sizes = self._cut(node.outputs[0]), view.integers("sizes", 3)
        if not cut or not sizes:
            return
        rank = view.rank(0)
        axes = [from_first(int(axis), rank) for axis in view.attribute("axes", range(rank))]
        self._put(node, 3, [int(cut[a].sum()) if a in cut else n for a, n in zip(axes, sizes, strict=True)], "sizes")

    def _squeeze(self, node: ir.Node) -> None:
        """The axes that a Squeeze drops, written out where it drops those of extent 1: a cut may leave one place."""
        view = self._view(node)
        if view.told("axes", 1) is not None or not self._cut(self._place(node, 0)):
            return
        gone = [axis for axis, extent in enumerate(view.extents(0)) if extent == 1]
        if not gone:  # no axes at all would be those of extent 1 again
            node.op_type = "Identity"
            node.resize_inputs(1)
        elif self._opset < ATTRIBUTES_BECAME_INPUTS["Squeeze"]:
            node.attributes["axes"] = ir.AttrInt64s("axes", gone)
        else:
            self._put(node, 1, gone, "axes")

    def _gather(self, node: ir.Node) -> int | None:
        """Places along an axis of which some have gone."""
        view = self._view(node)
        axis = view.axis(view.rank(0), 0)
        mask = self.removal.stays(self._place(node, 0), axis)
        places = view.small(1)
        if mask is None or places is None or places.ndim != 1:
            return None
        taken = np.where(places < 0, places + mask.size, places).astype(np.int64)
        numbers = (np.cumsum(mask) - 1)[taken[mask[taken]]]
        self._put(node, 1, numbers.tolist(), "places")
        return 1
