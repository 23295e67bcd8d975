"""Shared axes in another order: the constants along them permuted, everything between as it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...ir import provenance
from ...ir.axes.axis_rule import Operand
from ...ir.axes.constant_permutation import operand_orders
from ...ir.axes.shared_axis import Stream, find_streams
from ...ir.graph.functions import FunctionId
from ...ir.graph.linear import scopes
from ...ir.graph.survey import Survey
from ...ir.graph.view import view
from ...ir.io.tensors import read
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.axis_order import Reordering
from ...ir.plan.decomposition import Indices
from ...ir.plan.plan import PlanError
from ...ir.provenance import ORIGIN, ROLE
from ..lowering.nodes.emitter import Names
from .edit import INITIALIZERS_ARE_INPUTS, drop_unread, inherit, name_by_address

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
    made: dict[Any, ir.Value] = {}
    for place, axes in orders.items():
        old = place.value
        place.node.replace_input_with(place.index, _permuted(copy, old, axes, found, names, made, addresses))
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


def _permuted(
    model: ir.Model,
    value: ir.Value,
    orders: Mapping[int, Indices],
    found: Survey,
    names: Names,
    made: dict[Any, ir.Value],
    addresses: Mapping[ir.Node, str],
) -> ir.Value:
    """A constant with other orders along some of its dimensions; equal ones are made once; addresses: of all nodes."""
    key = (value, tuple((axis, orders[axis].tobytes()) for axis in sorted(orders)))
    if key in made:
        return made[key]
    node = value.producer()
    new = ir.Value(name=names.fresh(f"{value.name}/{REORDERED}"), type=value.type, shape=value.shape)
    if node is None or node.op_type == "Constant":
        new.const_value = _lazily(value, orders, found, new.name or "")
        model.graph.register_initializer(new)
        if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
            model.graph.inputs.append(new)
    else:
        needed = operand_orders(node, orders, found.constants)
        assert needed is not None and node.graph is not None  # or the stream were pinned
        operands = [
            _permuted(model, operand, needed[index], found, names, made, addresses)
            if operand and index in needed
            else operand
            for index, operand in enumerate(node.inputs)
        ]
        twin = ir.Node(
            node.domain,
            node.op_type,
            operands,
            list(node.attributes.values()),
            outputs=[new],
            name=names.fresh(f"{node.name or value.name}/{REORDERED}/{node.op_type}"),
            doc_string=node.doc_string,
            metadata_props={**node.metadata_props, ORIGIN: addresses[node], ROLE: REORDERED},
        )
        node.graph.insert_after(node, twin)
    inherit(new, value)
    made[key] = new
    return new


def _lazily(value: ir.Value, orders: Mapping[int, Indices], found: Survey, name: str) -> ir.LazyTensor:
    """What is stored, permuted whenever it is read: what is large stays in its file until then."""
    shape, dtype = found.constants.describe(value)
    stored = value.const_value
    array = found.constants.read(value) if stored is None else None

    def permuted() -> ir.TensorProtocol:
        held = read(stored) if array is None else array
        for axis, order in orders.items():
            held = np.take(held, order, axis=axis)
        return ir.Tensor(held, dtype=dtype, name=name)

    return ir.LazyTensor(permuted, dtype, ir.Shape(shape), name=name)
