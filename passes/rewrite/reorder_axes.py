"""Shared axes in another order: the constants along them permuted, everything between as it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ...ir import provenance
from ...ir.axes.axis_rule import Operand
from ...ir.axes.shared_axis import Stream, find_streams
from ...ir.graph.functions import FunctionId
from ...ir.graph.linear import scopes
from ...ir.graph.view import view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.axis_order import Reordering
from ...ir.plan.decomposition import Indices
from ...ir.plan.plan import PlanError
from ..lowering.nodes.emitter import Names
from .constant_copies import Copies
from .edit import drop_unread, name_by_address

__all__ = ["reorder_axes"]

REORDERED = "reordered"


def reorder_axes(
    model: ir.Model, reorderings: Sequence[Reordering], functions: Collection[FunctionId] = ()
) -> ir.Model:
    """A copy of the model in which the features of some streams of the main graph have another order.

    The constants along them are permuted, each when it is read, so that no two are in memory at once; constants that
    are read elsewhere as well get a copy. Values that hold their features in another order have another name; nodes
    keep theirs, and so does the interface. functions: local ones to put in the place of their calls first. The result
    is exact but for the order of sums over a stream. Raises PlanError when a value is not there, is on no stream or on
    one that is pinned, twice, or has another number of features.
    """
    seen = view(model, functions)
    copy, found = seen.model, seen.found
    names = Names(copy)
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()}
    streams = find_streams(found, copy)
    if any(place.value.producer() is not None for stream in streams for place, _ in stream.constants):
        name_by_address(found.linears, names)  # operators over constants come and go, and addresses may count them
    orders: dict[Operand, dict[int, Indices]] = {}
    moved: dict[ir.Value, None] = {}
    done: set[Stream] = set()
    for one in reorderings:
        stream = _stream_of(one, streams, copy)
        if stream in done:
            raise PlanError(f"{one.value}: the plan reorders its stream twice; leave one of the two")
        done.add(stream)
        moved.update(dict.fromkeys(value for value, _ in stream.members))
        for place, axis in stream.constants:
            rank = len(found.constants.describe(place.value)[0])
            orders.setdefault(place, {})[rank - axis] = one.order
    copies = Copies(copy, found, names, REORDERED, addresses)
    for place, axes in orders.items():
        old = place.value
        place.node.replace_input_with(place.index, copies.taken(old, axes))
        drop_unread(copy, old)
    for value in moved:
        if value.name:
            value.name = names.fresh(f"{value.name}/{REORDERED}")
    if reorderings:
        copy.metadata_props[provenance.REORDERED] = f"the features of {len(reorderings)} streams"
    return copy


def _stream_of(one: Reordering, streams: Iterable[Stream], model: ir.Model) -> Stream:
    """The stream that a reordering is about, checked."""
    for stream in streams:
        if any(value.name == one.value and axis == one.axis for value, axis in stream.members):
            if stream.pinned:
                raise PlanError(f"{one.value}: its features have to stay in their order: {stream.pinned}")
            if stream.size != one.order.size:
                raise PlanError(
                    f"{one.value}: the order is one of {one.order.size} features, the value has {stream.size} of them"
                )
            return stream
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    if all(value.name != one.value for value in values):
        raise PlanError(f"{one.value}: the model has no such value to reorder; make a new plan for this model")
    raise PlanError(f"{one.value}: no operator with a constant weight reads or makes its features on axis {-one.axis}")
