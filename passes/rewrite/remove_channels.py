"""Channels that do nothing left out: constants along their axes are cut, what they added goes into the next bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir.axes.axis_rule import Operand
from ...ir.axes.shared_axis import Dim
from ...ir.graph.linear import scopes
from ...ir.graph.operators import ATTENTION, BIASED, RECURRENT
from ...ir.graph.recurrent import BIAS
from ...ir.graph.view import view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import PlanError
from ...ir.plan.removed_channels import CutAxis, RemovedChannels
from ..channels.bounds.interval import Bools
from ..channels.contraction import FoldedConstant
from ..channels.removal import Removal, removal_of
from ..decompose.fingerprint import fingerprint
from ..lowering.nodes.emitter import Names
from .constant_copies import Copies, NewConstants
from .edit import drop_unread
from .shape_operands import Shapes

__all__ = ["fold_into", "remove_channels"]

CUT = "cut"


def remove_channels(model: ir.Model, found: Sequence[RemovedChannels]) -> ir.Model:
    """A copy of the model without the channels that do nothing.

    What is left out is looked for again, and at most what was asked for goes: a plan that was made for other weights,
    or asks for a channel that does something, is refused. Values that lose channels have another name; nodes keep
    theirs, and so does the interface. Raises PlanError when the model is another one.
    """
    for one in found:
        model = _without(model, one)
    return model


def _without(model: ir.Model, one: RemovedChannels) -> ir.Model:
    seen = view(model)
    copy, constants = seen.model, seen.found.constants
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()}
    nodes = {text: node for node, text in addresses.items()}
    cut = [_axis(nodes, axis) for axis in one.axes]
    removal = removal_of(copy, constants, exact=one.exact, asked=dict(zip(cut, map(_stays, one.axes), strict=True)))
    _check(one, removal, nodes, cut)
    names = Names(copy)
    copies = Copies(copy, seen.found, names, CUT, addresses)
    new = NewConstants(copy, names, CUT)
    shapes = Shapes(removal, new, names, addresses)
    folds = removal.folds()
    for node in [*copy.graph]:
        if node in removal.relations.facts.rules:
            done = shapes.edit(node)
            _cut_constants(copy, node, removal, copies, done)
    for fold in folds:
        fold_into(copy, fold, new, names)
    for node in copy.graph:
        for value in node.outputs:
            _rename(value, removal, names)
    return copy


def _axis(nodes: dict[str, ir.Node], axis: CutAxis) -> Dim:
    """The axis of a value, or of a constant inside of an operator, that is to be cut."""
    node = nodes.get(axis.node)
    if axis.inside and node is not None and axis.slot < len(node.inputs) and node.inputs[axis.slot] is not None:
        return Operand(node, axis.slot), axis.axis
    if node is None or axis.inside or axis.slot >= len(node.outputs):
        raise PlanError(f"{axis.node}: the operator whose result was to lose channels is not there; make a new plan")
    return node.outputs[axis.slot], axis.axis


def _stays(axis: CutAxis) -> Bools:
    mask = np.ones(axis.size, bool)
    mask[axis.removed] = False
    return mask


def _check(one: RemovedChannels, removal: Removal, nodes: dict[str, ir.Node], cut: Sequence[Dim]) -> None:
    """Raises PlanError when the model is not the one that a plan was made for."""
    products = {relation.node: relation for relation in removal.relations.contractions}
    for address, sha256 in zip(one.nodes, one.weights, strict=True):
        if address not in nodes:
            raise PlanError(f"{address}: the model has no such operator, whose channels were to go; make a new plan")
        product = products.get(nodes[address])
        if product is None or fingerprint(product.stored()) != sha256:
            raise PlanError(f"{address}: the weight is not the one whose channels were to go; make a new plan")
    for axis, dim in zip(one.axes, cut, strict=True):
        stays = removal.stays(*dim)
        if stays is None or stays.size != axis.size or stays[axis.removed].any():
            raise PlanError(
                f"{axis.node}: channels that were to go along axis {axis.axis} of a result are not there or do "
                "something; make a new plan for this model"
            )


def _cut_constants(model: ir.Model, node: ir.Node, removal: Removal, copies: Copies, done: int | None) -> None:
    """Give a node copies of its constants without the channels that go."""
    for index, value in enumerate(node.inputs):
        if value is None or index == done or value not in removal.relations.facts.sizes.constants:
            continue
        rank = len(removal.relations.facts.sizes.constants.describe(value)[0])
        masks = {axis: removal.stays(Operand(node, index), axis) for axis in range(rank)}
        places = {axis: np.flatnonzero(mask) for axis, mask in masks.items() if mask is not None}
        if places:
            node.replace_input_with(index, copies.taken(value, places))
            drop_unread(model, value)


def fold_into(model: ir.Model, fold: FoldedConstant, new: NewConstants, names: Names) -> None:
    """Add what channels that went added to every result of a product, to its bias where it has one."""
    node = fold.node
    if node.op_type in RECURRENT:
        _fold_inside(model, fold, new)
        return
    added = fold.added.reshape(-1, *[1] * (fold.axis - 1))
    if node.op_type in BIASED or node.op_type in ATTENTION:
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        node.resize_inputs(3)
        node.replace_input_with(2, new.sum_of(bias, fold.added, like=node.inputs[1]))
        if bias is not None:
            drop_unread(model, bias)
        else:
            node.attributes.pop("beta", None)  # of a Gemm, which had nothing to multiply by it
        return
    result = node.outputs[0]
    uses = list(result.uses())
    reader = uses[0].node if len(uses) == 1 and not result.is_graph_output() else None
    if (
        reader is not None
        and reader.op_type == "Add"
        and reader.domain in ("", "ai.onnx")
        and reader.graph is node.graph
    ):
        place = 1 - uses[0].idx
        bias = reader.inputs[place]
        if bias is not None and new.is_plain(bias) and _fits(bias, added.shape):
            reader.replace_input_with(place, new.sum_of(bias, added, like=bias))
            drop_unread(model, bias)
            return
    weight = next(value for value in node.inputs if value is not None and new.is_float(value))
    shape = result.shape if result.is_graph_output() else None
    output = ir.Value(name=names.fresh(f"{result.name}/{CUT}"), type=result.type, shape=shape)
    users = [(use.node, use.idx) for use in uses]
    add = ir.Node(
        "",
        "Add",
        [result, new.sum_of(None, added, like=weight)],
        outputs=[output],
        name=names.fresh(f"{node.name or result.name}/{CUT}/Add"),
        metadata_props=dict(node.metadata_props),
    )
    assert node.graph is not None
    node.graph.insert_after(node, add)
    for user, index in users:
        user.replace_input_with(index, output)
    if result.is_graph_output():
        outputs = model.graph.outputs
        place = list(outputs).index(result)
        output.name, result.name = result.name, output.name
        outputs[place] = output


def _fold_inside(model: ir.Model, fold: FoldedConstant, new: NewConstants) -> None:
    """Add what channels added at every step to the first half of a recurrent operator's bias, which it may lack."""
    node = fold.node
    bias = node.inputs[BIAS] if len(node.inputs) > BIAS else None
    node.resize_inputs(max(len(node.inputs), BIAS + 1))
    both = np.concatenate([fold.added, np.zeros_like(fold.added)], axis=1)
    node.replace_input_with(BIAS, new.sum_of(bias, both, like=node.inputs[1]))
    if bias is not None:
        drop_unread(model, bias)


def _fits(bias: ir.Value, shape: tuple[int, ...]) -> bool:
    """Whether adding numbers of this shape leaves a constant as large as it is."""
    own = tuple(bias.shape.numpy()) if bias.shape is not None else ()
    return len(own) >= len(shape) and np.broadcast_shapes(own, shape) == own


def _rename(value: ir.Value, removal: Removal, names: Names) -> None:
    """Another name and the shape that it has now for a value that lost channels."""
    rank = len(removal.relations.facts.sizes.of(value) or ())
    cut = {axis: mask for axis in range(rank) if (mask := removal.stays(value, axis)) is not None}
    if not cut:
        return
    value.name = names.fresh(f"{value.name}/{CUT}")
    if value.shape is not None and len(value.shape) == rank:
        value.shape = ir.Shape([int(cut[axis].sum()) if axis in cut else dim for axis, dim in enumerate(value.shape)])
