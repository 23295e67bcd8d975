"""Shared axes in another order: the constants along them permuted, everything between as it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ...ir import provenance
from ...ir.axes.axis_rule import Operand
from ...ir.axes.shared_axis import SharedAxis, find_shared_axes
from ...ir.graph.functions import FunctionId
from ...ir.graph.linear import scopes
from ...ir.graph.view import view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.axis_order import Reordering
from ...ir.plan.decomposition import Indices
from ...ir.plan.plan import PlanError
from ...ir.plural import counted
from ..lowering.nodes.emitter import Names
from .constant_copies import Copies
from .edit import drop_unread, name_by_address

__all__ = ["reorder_axes"]

REORDERED = "reordered"


def reorder_axes(
    model: ir.Model, reorderings: Sequence[Reordering], functions: Collection[FunctionId] = ()
) -> ir.Model:
    """A copy of the model in which the features of some shared axes of the main graph have another order.

    The constants along them are permuted, each when it is read, so that no two are in memory at once; constants that
    are read elsewhere as well get a copy. Values that hold their features in another order have another name; nodes
    keep theirs, and so does the interface. functions: local ones to put in the place of their calls first. The result
    is exact but for the order of sums over a shared axis. Raises PlanError when a value is not there, is on no shared
    axis or on one that is pinned, twice, or has another number of features.
    """
    seen = view(model, functions)
    copy, found = seen.model, seen.found
    names = Names(copy)
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()}
    shared_axes = find_shared_axes(found, copy)
    if any(place.value.producer() is not None for shared_axis in shared_axes for place, _ in shared_axis.constants):
        name_by_address(found.linears, names)  # operators over constants come and go, and addresses may count them
    orders: dict[Operand, dict[int, Indices]] = {}
    moved: dict[ir.Value, None] = {}
    done: set[SharedAxis] = set()
    for one in reorderings:
        shared_axis = _shared_axis_of(one, shared_axes, copy)
        if shared_axis in done:
            raise PlanError(f"{one.value}: the plan reorders its shared axis twice; leave one of the two")
        done.add(shared_axis)
        moved.update(dict.fromkeys(value for value, _ in shared_axis.members))
        for place, axis in shared_axis.constants:
            orders.setdefault(place, {})[axis] = one.order
    copies = Copies(copy, found, names, REORDERED, addresses)
    for place, axes in orders.items():
        old = place.value
        place.node.replace_input_with(place.index, copies.taken(old, axes))
        drop_unread(copy, old)
    for value in moved:
        if value.name:
            value.name = names.fresh(f"{value.name}/{REORDERED}")
    if reorderings:
        copy.metadata_props[provenance.REORDERED] = (
            f"the features of {counted(len(reorderings), 'shared axis', 'shared axes')}"
        )
    return copy


def _shared_axis_of(one: Reordering, shared_axes: Iterable[SharedAxis], model: ir.Model) -> SharedAxis:
    """The shared axis that a reordering is about, checked."""
    for shared_axis in shared_axes:
        if any(value.name == one.value and axis == one.axis for value, axis in shared_axis.members):
            if shared_axis.pinned:
                raise PlanError(f"{one.value}: its features have to stay in their order: {shared_axis.pinned}")
            if shared_axis.size != one.order.size:
                raise PlanError(
                    f"{one.value}: the order is one of {one.order.size} features, the value has {shared_axis.size}"
                )
            return shared_axis
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    if all(value.name != one.value for value in values):
        raise PlanError(f"{one.value}: the model has no such value to reorder; make a new plan for this model")
    raise PlanError(f"{one.value}: no operator with a constant weight reads or makes its features on axis {one.axis}")
