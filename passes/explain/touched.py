"""What became of one node of a model by its preparations, those included that are about its neighbours.

A bias that loses channels, and takes in what those added, belongs to a node that no preparation names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...ir.findings.touched import Change, Shape, Touched
from ...ir.graph.linear import scopes
from ...ir.graph.node import GRAPHS
from ...ir.graph.shapes import infer_shapes, shape_of
from ...ir.graph.sizes import extent
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.decomposition import PlanError
from ...ir.plan.preparation import Preparation
from ..rewrite.preparations import prepared

__all__ = ["address_before", "touched_by"]

MARK = "scission.asked"  # in copies that are thrown away


def touched_by(model: ir.Model, preparations: Sequence[Preparation], address: str) -> tuple[Touched, ...]:
    """What preparations did to the node of an address of the model, in order, until one took it away."""
    return tuple(_touched(model, preparations, address)) if preparations else ()


def address_before(model: ir.Model, preparations: Sequence[Preparation], address: str) -> str | None:
    """The address in the model of a node that preparations have left, by its address in what they left; None for one
    that they made."""
    if not preparations:
        return address
    marked = model.clone()
    before = _nodes(marked)
    for place, node in before.items():
        node.metadata_props[MARK] = place
    whole = address.removesuffix("[forward]").removesuffix("[reverse]")  # a direction is of a recurrent operator
    after = _nodes(prepared(marked, preparations))
    found = after.get(whole)
    own = found.metadata_props.get(MARK) if found is not None else None
    if found is None or own is None:
        return None
    alike = _of_kind(before[own], (one for one in after.values() if one.metadata_props.get(MARK) == own))
    return own if found in alike else None


def _touched(model: ir.Model, preparations: Sequence[Preparation], address: str) -> Iterator[Touched]:
    before = model.clone()
    infer_shapes(before)
    node = _nodes(before).get(address)
    if node is None:
        return
    node.metadata_props[MARK] = address
    left = [tuple(kind) for _, kind in itertools.groupby(preparations, key=lambda one: one.kind)]
    while left:
        found, *left = left
        after = _done(before, found)
        told = _difference(node, _marked(after, node))
        if len(found) > 1 and told is not None:  # which of them?
            later = []
            for one in found:
                if (then := _alone(before, one)) is None:
                    later.append(one)
                elif (own := _difference(node, _marked(then, node))) is not None:
                    yield Touched(by=one, gone=_marked(then, node) is None, changes=own)
            if later:  # what is only there once others of the kind are done is looked at in what those leave
                after = _done(before, [one for one in found if one not in later])
                left = [tuple(later), *left]
        elif told is not None:
            yield Touched(by=found[0], gone=_marked(after, node) is None, changes=told)
        marked = _marked(after, node)
        if marked is None:
            return
        before, node = after, marked


def _done(model: ir.Model, found: Sequence[Preparation]) -> ir.Model:
    """What preparations leave, its shapes inferred: what it says of values that were cut is of those before."""
    left = prepared(model, found)
    infer_shapes(left)
    return left


def _alone(model: ir.Model, one: Preparation) -> ir.Model | None:
    """What one preparation leaves; None where it is there only once others are done."""
    try:
        return prepared(model, (one,))
    except PlanError:
        return None


def _nodes(model: ir.Model) -> dict[str, ir.Node]:
    return {address: node for scope in scopes(model) for node, address in scope.addresses.items()}


def _marked(model: ir.Model, before: ir.Node) -> ir.Node | None:
    """The node that bears the mark; none where several do, for then it was written anew."""
    found = _of_kind(before, (node for node in _nodes(model).values() if MARK in node.metadata_props))
    return found[0] if len(found) == 1 else None


def _of_kind(before: ir.Node, found: Iterable[ir.Node]) -> list[ir.Node]:
    """Of nodes that bear the mark of one those that compute the same, if any do: what was put beside them bears all the
    metadata that they have."""
    every = list(found)
    return [one for one in every if (one.op_type, one.domain) == (before.op_type, before.domain)] or every


def _difference(before: ir.Node, after: ir.Node | None) -> tuple[Change, ...] | None:
    """What changed of a node, nothing where all of it is another; None where it is the same."""
    if after is None or (before.op_type, before.domain) != (after.op_type, after.domain):
        return ()
    found = [*_constants(before, after), *_attributes(before, after), *_results(before, after)]
    return tuple(found) or None


def _constants(before: ir.Node, after: ir.Node) -> Iterator[Change]:
    for one, other in itertools.zip_longest(before.inputs, after.inputs):
        was, now = _constant(one), _constant(other)
        if (was or now) and (was is None or now is None or was.name != now.name):
            named = was or now
            yield Change(what="constant", name=str(named and named.name), before=_shape(was), after=_shape(now))


def _attributes(before: ir.Node, after: ir.Node) -> Iterator[Change]:
    for name in sorted(before.attributes.keys() | after.attributes.keys()):
        one, other = before.attributes.get(name), after.attributes.get(name)
        if one is None or other is None or (str(one.value) != str(other.value) and one.type not in GRAPHS):
            yield Change(what="attribute", name=name)


def _results(before: ir.Node, after: ir.Node) -> Iterator[Change]:
    for one, other in zip(before.outputs, after.outputs, strict=False):
        was, now = _shape(one), _shape(other)
        if was is not None and now is not None and was != now:
            yield Change(what="result", name=str(one.name), before=was, after=now)


def _constant(value: ir.Value | None) -> ir.Value | None:
    """A value that is a constant, of the graph or of an operator that only holds one."""
    if value is None:
        return None
    maker = value.producer()
    return value if value.const_value is not None or (maker is not None and maker.op_type == "Constant") else None


def _shape(value: ir.Value | None) -> Shape:
    if value is None:
        return None
    held = value.const_value
    shape: Any = held.shape if held is not None else shape_of(value)
    return None if shape is None else tuple(map(extent, shape))
