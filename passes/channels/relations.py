"""Which axes of a main graph are cut alike, and what has to stay of them: from the rule of each operator."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rule import AxisRef, AxisRule, Place, RuleView
from ...ir.axes.axis_rules import is_pointwise
from ...ir.axes.shared_axis import Dim
from ...ir.graph.operators import CONVOLUTIONS, INTEGER_CONVOLUTIONS, MEASURING, is_one_of, is_standard
from ...ir.io.tensors import graphs_within
from ...ir.onnx_ir import onnx_ir as ir
from .axis_classes import AxisClasses, Constraint
from .bounds.attention import heads_of
from .bounds.forward import Facts
from .bounds.packed_attention import packed_heads
from .cells import relate_cells
from .constraints import CutPlaces, Grid, Pinned
from .contraction import Contraction
from .experts import experts_of, relate_experts
from .heads import relate_heads
from .negligible import Negligible
from .packed_experts import packed_experts_of, relate_packed_experts
from .packed_heads import relate_packed_heads
from .quantised import packed_blocks
from .readers import contraction_of, convolution_of

__all__ = ["GROUPS", "Relations", "relations_of"]

GROUPS, IN_GROUP = 100, 101  # axes that no weight has: the groups of a convolution, and places in each of the first
LONGEST = 64  # axes of a shape
OF_RESULTS = {"QLinearConv": (4, 5, 8), "ConvInteger": (3,)}  # operands along the channels that are made, else a bias
EDITED_STEP = 1  # of a Slice along an axis that is cut: others would need places in between


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """The classes of axes of a main graph, and what holds between them; its contractions are among the constraints.

    own: the constraints that each node makes; what is left of all of them is about what is outside.
    """

    facts: Facts
    classes: AxisClasses
    constraints: list[Constraint] = field(default_factory=list)
    contractions: list[Contraction] = field(default_factory=list)
    own: dict[ir.Node, list[Constraint]] = field(default_factory=dict)

    def pin(self, facts: Facts, places: Iterable[Place], by: ir.Node | None = None) -> None:
        """Keep every axis of some values, for a node, or for what is outside of the model."""
        dims = [(place, axis) for place in places for axis in range(len(facts.sizes.of(place) or ()))]
        if dims := [dim for dim in dims if self.classes.extent(dim) > 1]:
            self.constraints.append(Pinned(dims, by))

    def join(self, dims: Sequence[Dim], by: ir.Node) -> None:
        """Join axes that a node has the same places of; all stay of those that are not of one known extent."""
        if not self.classes.join(dims) and (long := [one for one in dims if self.classes.extent(one) > 1]):
            self.constraints.append(Pinned(long, by))

    def add(self, constraints: Iterable[Constraint], products: Sequence[Contraction]) -> None:
        """Take constraints, and products with constants."""
        self.constraints.extend(constraints)
        self.constraints.extend(products)
        self.contractions.extend(products)


def relations_of(model: ir.Model, facts: Facts, small: Negligible, free: Container[ir.Value] = ()) -> Relations:
    """The relations of a main graph; raises ModelError when a weight cannot be read.

    free: inputs and outputs of the model that need not stay whole.
    """
    found = Relations(facts, AxisClasses(facts.sizes))
    main = model.graph
    outside = [value for value in (*main.inputs, *main.outputs) if value not in free]
    if inside := graphs_within(main):
        outside += [value for graph in inside for value in graph.outputs]
        for values in (main.inputs, main.initializers.values(), *(node.outputs for node in main)):
            outside += [value for value in values if any(use.node.graph is not main for use in value.uses())]
    for node, rule in facts.rules.items():
        before = len(found.constraints)
        _relate(found, facts, node, rule, small)
        found.own[node] = found.constraints[before:]
    found.pin(facts, dict.fromkeys(outside))  # the last is looked at first: most follows from what goes out
    return found


def _relate(found: Relations, facts: Facts, node: ir.Node, rule: AxisRule | str, small: Negligible) -> None:
    """What holds between the axes of one node."""
    if not isinstance(rule, str) and node not in facts.odd and _is_aligned(node, rule, facts):
        _relate_aligned(found, facts, node, rule)
        return
    there = [index for index, value in enumerate(node.inputs) if value is not None]
    own: dict[tuple[bool, int], Place] = {(False, index): facts.sizes.place(node, index) for index in there}
    own |= {(True, index): value for index, value in enumerate(node.outputs)}
    if node in facts.odd:
        found.pin(facts, own.values(), node)
        return
    if is_one_of(node, MEASURING):
        _relate_measured(found, facts, node, own[False, 0])
        return
    windows = is_standard(node) and node.op_type in CONVOLUTIONS | INTEGER_CONVOLUTIONS
    if windows and (relation := convolution_of(node, facts, small)):
        _relate_convolution(found, facts, node, relation)
        return
    if isinstance(rule, str):
        _relate_whole(found, facts, node, own.values(), small)
        return

    untold = [value for index, value in enumerate(node.outputs) if index not in rule.ranks and _is_read(value)]
    if untold:  # such as the means of a norm, whose axes nothing ties to those of the others
        found.pin(facts, own.values(), node)
        return

    def dim(ref: AxisRef) -> Dim:
        return own[ref.is_result, ref.slot], ref.axis

    for dims in ([dim(ref) for ref in group] for group in rule.same):
        found.join(dims, node)
    free = {ref for group in rule.same for ref in group}
    sums = contraction_of(node, facts, small) if rule.mixed else []
    if sums is not None:
        free |= rule.mixed
        found.constraints.extend(sums)
        found.contractions.extend([one for one in sums if isinstance(one, Contraction)])
    elif rule.mixed:
        found.constraints.append(Pinned([dim(ref) for ref in rule.mixed], node))
    free |= _relate_packed(found, facts, node)
    moved = list(_moved(found, node, rule, dim))
    free |= {ref for refs, _ in moved for ref in refs}
    found.constraints.extend([constraint for _, some in moved for constraint in some])
    for key, place in own.items():
        rank = len(facts.sizes.of(place) or ())
        rest = [(place, axis) for axis in range(rank) if AxisRef(*key, axis) not in free]
        if rest := [one for one in rest if found.classes.extent(one) > 1]:
            found.constraints.append(Pinned(rest, node))


def _is_aligned(node: ir.Node, rule: AxisRule, facts: Facts) -> bool:
    """Whether a node computes element by element, and every axis of what it reads and makes is in a group."""
    ranked = len(facts.sizes.of(node.outputs[0]) or ()) <= len(rule.same)
    return ranked and len(node.outputs) == 1 and is_pointwise(node, facts.sizes)


def _relate_aligned(found: Relations, facts: Facts, node: ir.Node, rule: AxisRule) -> None:
    """The same of a node all of whose axes are in groups."""
    places: list[Place | None] = [
        None if value is None else facts.sizes.place(node, index) for index, value in enumerate(node.inputs)
    ]
    for group in rule.same:
        dims = [(node.outputs[slot] if is_result else places[slot], axis) for is_result, slot, axis in group]
        found.join([(place, axis) for place, axis in dims if place is not None], node)


def _relate_whole(found: Relations, facts: Facts, node: ir.Node, places: Iterable[Place], small: Negligible) -> None:
    """Heads of attention, units of experts or of recurrent operators; any other without a rule needs all it has."""
    view = RuleView(node, facts.sizes.constants, facts.sizes)
    if (heads := heads_of(view)) is not None:
        found.constraints.extend(relate_heads(found.classes, heads))
    elif (packed := packed_heads(view)) is not None:
        found.add(*relate_packed_heads(found.classes, facts, packed, small))
    elif (experts := experts_of(view)) is not None:
        found.add(*relate_experts(found.classes, facts, experts, small))
    elif (packed_experts := packed_experts_of(view)) is not None:
        found.add(*relate_packed_experts(found.classes, facts, packed_experts))
    elif node in facts.cells:
        found.add(*relate_cells(found.classes, facts, facts.cells[node], small))
    else:
        found.pin(facts, places, node)


def _relate_measured(found: Relations, facts: Facts, node: ir.Node, place: Place) -> None:
    """Axes that a Shape or Size tells the extents of, each of which has its place in the result."""
    found.pin(facts, node.outputs, node)
    extents = facts.sizes.of(place)
    measured = None if extents is None else _measured(node, len(extents))
    if measured is None:
        found.pin(facts, [place], node)
    else:
        found.constraints.append(Pinned([(place, axis) for axis in measured], node))


def _relate_packed(found: Relations, facts: Facts, node: ir.Node) -> set[AxisRef]:
    """Blocks of a packed weight; the axes of its operands that this is about, none for any other node."""
    packed = packed_blocks(node, facts) if node.op_type == "MatMulNBits" else None
    if packed is None:
        return set()
    found.classes.join(packed.tied)
    found.constraints.extend([*packed.constraints, packed.product])
    found.contractions.append(packed.product)
    return {AxisRef(False, index, axis) for index, axis in packed.about}


def _is_read(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _moved(
    found: Relations, node: ir.Node, rule: AxisRule, dim: Callable[[AxisRef], Dim]
) -> Iterator[tuple[list[AxisRef], list[Constraint]]]:
    """Axes that are cut, joined or regrouped, each with what holds of it."""
    for cut in rule.cuts:
        start, constraints = 0, list[Constraint]()
        refs = [piece.source for piece in cut.pieces] + ([cut.target] if cut.target is not None else [])
        for piece in cut.pieces:
            extent = found.classes.sizes.extent(*dim(piece.source))
            stepped = isinstance(piece.taken, slice) and piece.taken.step not in (None, EDITED_STEP)
            if cut.target is None or extent is None or piece.taken is None or stepped or isinstance(piece.taken, int):
                constraints = [Pinned([dim(ref) for ref in refs], node)]
                break
            taken = np.arange(extent)[piece.taken]
            constraints.append(CutPlaces(dim(cut.target), dim(piece.source), taken, start))
            start += taken.size
        else:
            assert cut.target is not None
            if found.classes.sizes.extent(*dim(cut.target)) != start:
                constraints = [Pinned([dim(ref) for ref in refs], node)]
        yield refs, constraints
    if rule.regrouped is None:
        return
    for group in rule.regrouped.groups:
        if group.is_whole:
            continue
        old = {AxisRef(False, 0, axis): rule.regrouped.before[axis] for axis in group.before}
        new = {AxisRef(True, 0, axis): rule.regrouped.after[axis] for axis in group.after}
        before, after = ([(dim(ref), extent) for ref, extent in side.items()] for side in (old, new))
        yield [*old, *new], _grids(found, node, before, after, group.is_open)


Sized: TypeAlias = "tuple[Dim, int | str | None]"


def _grids(found: Relations, node: ir.Node, before: list[Sized], after: list[Sized], is_open: bool) -> list[Constraint]:
    """What holds of axes that become others, the elements in the same order."""
    if not is_open and all(isinstance(extent, int) for _, extent in (*before, *after)):
        for whole, parts in ((before, after), (after, before)):
            long = [dim for dim, extent in whole if extent != 1]
            if len(long) == 1 and found.classes.extent(long[0]) > 1:
                # What is only known to follow from the others is never cut.
                sides = [dim if found.classes.extent(dim) > 1 else int(extent or 1) for dim, extent in parts]
                return [Grid(long[0], sides)]
            if not long:
                return []
    return [Pinned([dim for dim, _ in (*before, *after) if found.classes.extent(dim) > 1], node)]


def _relate_convolution(found: Relations, facts: Facts, node: ir.Node, relation: Contraction) -> None:
    """Channels that go into each kernel, and those that kernels make, in groups where there are several."""
    classes, weight, x, y = found.classes, relation.weight, node.inputs[0], node.outputs[0]
    turned = node.op_type == "ConvTranspose"
    assert x is not None
    inputs: Dim = (x, 1)
    outputs: list[Dim] = [(y, 1)]
    for index in OF_RESULTS.get(node.op_type, (2,)):
        beside = node.inputs[index] if len(node.inputs) > index else None
        if beside is not None and facts.sizes.of(beside) != ():
            outputs.append((facts.sizes.place(node, index), 0))
    rank = len(facts.sizes.of(weight) or ())
    rest: list[Dim] = [(place, axis) for place in (x, y, weight) for axis in range(2, rank)]
    first, second = (weight, 0), (weight, 1)
    ways_in, ways_out = ([first], [second]) if turned else ([second], [first])
    if relation.groups > 1:
        # The weight has the groups only along its first axis, so that these are an axis of their own:
        #     channels  = groups × in of a group      the axes of the weight, as it is stored:
        #     results   = groups × out of a group     (channels, out of a group) or (results, in of a group)
        groups = (weight, GROUPS)
        classes.virtual[groups] = relation.groups
        classes.virtual[weight, IN_GROUP] = classes.extent(first) // relation.groups
        one_side, other_side = (inputs, outputs[0]) if turned else (outputs[0], inputs)
        found.constraints.extend([Grid(one_side, [groups, (weight, IN_GROUP)]), Grid(other_side, [groups, second])])
        ways_in, ways_out = ([first], []) if turned else ([], [first])
    known = [facts.sizes.extent(*dim) is not None for dim in (inputs, outputs[0])]
    joined = [classes.join([inputs, *ways_in]), classes.join([*outputs, *ways_out]), classes.join([(x, 0), (y, 0)])]
    if not all(known + joined[:2]):
        rest += [inputs, *outputs, first, second]
    if not joined[2]:
        rest += [(x, 0), (y, 0)]
    relation = replace(relation, outer=outputs[0])
    found.constraints.append(relation)
    found.contractions.append(relation)
    found.constraints.append(Pinned([one for one in rest if classes.extent(one) > 1], node))


def _measured(node: ir.Node, rank: int) -> Iterable[int] | None:
    """The axes whose extents a Shape is asked for, counted from the first; None where it may be all of them."""
    if node.op_type != "Shape" or not is_standard(node):
        return None
    result = node.outputs[0]
    start, end = (node.attributes[name].as_int() if name in node.attributes else None for name in ("start", "end"))
    axes = list(range(rank))[start:end]
    if result.is_graph_output():
        return axes
    found: list[int] = []
    for use in result.uses():
        places = _asked(use.node, use.idx)
        if places is None or (places.size and max(abs(places)) > len(axes)):
            return axes
        found += [axes[place] for place in places.tolist() if -len(axes) <= place < len(axes)]
    return found


def _asked(reader: ir.Node, operand: int) -> npt.NDArray[np.int64] | None:
    """The places of a shape that one reader takes, where it takes some."""
    if operand or not is_standard(reader):
        return None
    if reader.op_type == "Gather":
        places = _stored(reader.inputs[1])
        return None if places is None else places.reshape(-1)
    if reader.op_type == "Slice" and len(reader.inputs) in (3, 4):
        ends = [_stored(value) for value in reader.inputs[1:3]]
        if ends[0] is not None and ends[1] is not None and ends[0].size == ends[1].size == 1:
            least, most = int(ends[0].item()), int(ends[1].item())
            return np.arange(least, most) if 0 <= least <= most < LONGEST else None
    return None


def _stored(value: ir.Value | None) -> npt.NDArray[np.int64] | None:
    """What a constant index holds."""
    node = value.producer() if value is not None else None
    held = value.const_value if value is not None else None
    if held is None and node is not None and node.op_type == "Constant" and "value" in node.attributes:
        held = node.attributes["value"].as_tensor()
    return None if held is None or held.nbytes > LONGEST * 8 else held.numpy().astype(np.int64)
