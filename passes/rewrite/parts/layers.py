"""A model in layers of parts, one after another, where it does not fall apart as a whole: section 4.4 of the paper.

    x ──► encoder ──h──► domain 0 ──┐
                    ├──► domain 1 ──┼─g─► what joins them ──► y
                    └──► domain 2 ──┘

A layer ends at a value through which all that is computed passes, inputs and masks made of them aside. What falls apart
between two of them is cut there; all else stays as it is, a part of its own in a layer of its own: the layers that
transform what the others read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ....ir.errors import ModelError
from ....ir.graph.constants import Constants
from ....ir.graph.node import subgraphs
from ....ir.graph.operators import CONTRACTING, LOOPS, POINTWISE, is_one_of
from ....ir.graph.shapes import shape_of
from ....ir.graph.view import view
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Reason
from ...partition.find import SubModel, find, undivided
from ..extract import inferred_types
from .segment import segment

__all__ = ["Layered", "bottlenecks", "handed_on", "layered", "stretch", "typed", "whole_between"]

MOST = 64  # stretches that are looked at
LARGE = 1 << 14  # entries of a constant that is not held by many parts
LEAST = 0.05  # of all multiply-adds, that a layer has to have: services are not worth less


@dataclass(frozen=True, slots=True, eq=False)
class Layered:
    """A model in layers. layers: the parts of each; between: the values that one layer hands to the next."""

    layers: tuple[tuple[SubModel, ...], ...]
    between: tuple[ir.Value, ...]


def layered(model: ir.Model) -> Layered | Reason:
    """The layers of a model, only one where it falls apart from its inputs to its outputs, or why it is not cut.

    Changes nothing. Raises ModelError when a weight cannot be read.
    """
    found = find(model)
    if not isinstance(found, Reason):
        return Layered((found,), ())
    seen = typed(model)
    cuts = bottlenecks(seen)
    if not cuts or len(cuts) >= MOST:
        return found
    total = undivided(model)
    if total is None:
        return found
    stretches = _stretches(seen, [None, *cuts, None], LEAST * total.macs)
    if not any(len(parts) > 1 for _, parts in stretches):
        return found
    ends = [value for value, _ in stretches[:-1]]
    return Layered(tuple(parts for _, parts in stretches), handed_on(seen, ends))


def typed(model: ir.Model) -> ir.Model:
    """A copy in which every value has the type and the shape that are inferred, so that copies of it have them too."""
    seen = view(model).model
    types = inferred_types(seen)
    for node in seen.graph:
        for value in node.outputs:
            shape = shape_of(value)
            value.type = value.type or types.get(value)
            value.shape = None if shape is None else ir.Shape(list(shape))
    return seen


def _stretches(
    seen: ir.Model, cuts: Sequence[str | None], least: float
) -> list[tuple[str | None, tuple[SubModel, ...]]]:
    """The end and the parts of each layer: as long as they fall apart, and what does not as one."""
    made: list[tuple[str | None, tuple[SubModel, ...]]] = []
    at = whole_from = 0
    while at < len(cuts) - 1:
        best: tuple[int, tuple[SubModel, ...]] | None = None
        for end in range(at + 1, len(cuts)):
            parts = find(stretch(seen, cuts[at], cuts[end]))
            if isinstance(parts, Reason):
                break
            best = end, parts
        if best is None or sum(part.macs for part in best[1]) < least:
            at += 1
            continue
        if whole_from < at:
            made.append((cuts[at], (whole_between(seen, cuts[whole_from], cuts[at]),)))
        made.append((cuts[best[0]], best[1]))
        at = whole_from = best[0]
    if whole_from < len(cuts) - 1:
        made.append((None, (whole_between(seen, cuts[whole_from], None),)))
    return made


def stretch(seen: ir.Model, start: str | None, end: str | None) -> ir.Model:
    """What a model computes between two of its values; what of its outputs is made there is an output of it too."""
    places = {value.name or "": at for at, node in enumerate(seen.graph) for value in node.outputs}
    first = -1 if start is None else places[start]
    last = len(places) if end is None else places[end]
    outputs = {value.name or "" for value in seen.graph.outputs}
    return segment(seen, start, end, {name for name in outputs if first < places.get(name, len(places)) <= last})


def handed_on(seen: ir.Model, ends: Sequence[str | None]) -> tuple[ir.Value, ...]:
    """The values of these names that one layer hands to the next; not those that are outputs of the model anyway."""
    made = {value.name: value for node in seen.graph for value in node.outputs}
    return tuple(made[name] for name in ends if name is not None and not made[name].is_graph_output())


def whole_between(seen: ir.Model, start: str | None, end: str | None) -> SubModel:
    """All that a model computes between two of its values, as one part; raises ModelError where nothing is known."""
    found = undivided(stretch(seen, start, end))
    if found is None:
        raise ModelError(f"nothing is known of what it computes after {start!r}")
    return found


def bottlenecks(seen: ir.Model) -> list[str]:
    """The values through which all that is computed passes, but for inputs and what is cheaply computed of them, as
    masks are; of those that follow one another element by element the last."""
    nodes = [*seen.graph]
    constants = view(seen).found.constants
    last = _last_uses(seen.graph, nodes)
    aside = _cheap(seen.graph, constants)
    open_: set[ir.Value] = set()
    found: list[str] = []
    before: ir.Value | None = None
    for at, node in enumerate(nodes[:-1]):
        open_ |= {one for one in node.outputs if last.get(one, at) > at and one not in constants and one not in aside}
        open_ -= {value for value in node.inputs if value is not None and last[value] == at}
        if len(open_) != 1:
            continue
        (value,) = open_
        if value not in node.outputs or not value.name or value.type is None:
            continue
        read = {one for one in node.inputs if one is not None and one not in constants}
        if read == {before} and is_one_of(node, POINTWISE):
            found.pop()
        found.append(value.name)
        before = value
    return found


def _cheap(graph: ir.Graph, constants: Constants) -> set[ir.Value]:
    """Inputs, and what is computed of them without a product or a large constant: each part may compute it again."""
    found = {*graph.inputs}
    for node in graph:
        read = [value for value in node.inputs if value is not None and value not in constants]
        large = (math.prod(constants.describe(one)[0]) > LARGE for one in node.inputs if one and one in constants)
        if found.issuperset(read) and not is_one_of(node, CONTRACTING | LOOPS) and not any(large):
            found.update(node.outputs)
    return found


def _last_uses(graph: ir.Graph, nodes: Sequence[ir.Node]) -> dict[ir.Value, int]:
    """The place of the last node that reads each value; behind all for what bodies may read."""
    last: dict[ir.Value, int] = {}
    for at, node in enumerate(nodes):
        last.update({value: at for value in node.inputs if value is not None})
    if any(True for node in nodes for _ in subgraphs(node)):
        last.update({value: len(nodes) for value in last})
    return last
