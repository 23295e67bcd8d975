"""What follows the sums of a compiled forest and one operator for trees does as well: base values, and the label.

sums -- Add base --> scores -- ArgMax --> place -- Gather of names --> label
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.node import NodeView
from ....ir.graph.operators import is_standard
from ....ir.onnx_ir import onnx_ir as ir
from ..trees.ending import Ending
from ..trees.forest import Array, Forest
from .layout import OpenLayout

__all__ = ["Ended", "ended"]

FEWEST = 3  # classes of which the operator names the one with the largest sum: of two it asks whether the second is > 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ended:
    """What the operator can do; scores: what it computes in the end; label: the same, None where it tells none; nodes:
    those that it replaces, in order."""

    ending: Ending
    scores: ir.Value
    label: ir.Value | None = None
    nodes: tuple[ir.Node, ...] = ()


def ended(sums: ir.Value, layout: OpenLayout, forest: Forest, constants: Constants) -> Ended:
    """What follows the sums (N, targets) of a forest; nothing where they have another shape."""
    found = Ended(ending=Ending(), scores=sums)
    if len(layout.dims) != 2 or layout.axis != 0 or layout.dims[1] != forest.targets:
        return found
    return _labelled(_based(found, forest, constants), forest, constants)


def _based(found: Ended, forest: Forest, constants: Constants) -> Ended:
    """With a constant added, where nothing else reads the sums."""
    node = _only_reader(found.scores)
    if node is None or node.op_type != "Add" or not is_standard(node):
        return found
    other = next((value for value in node.inputs if value is not found.scores), None)
    if other is None or other not in constants:
        return found
    base = constants.read(other)
    fits = base.ndim <= 2 and (base.ndim < 2 or base.shape[0] == 1) and base.size in (1, forest.targets)
    if not fits or base.dtype != forest.weight.dtype or not np.isfinite(base).all():
        return found
    held = tuple(np.broadcast_to(base.reshape(-1), forest.targets).tolist())
    return replace(found, ending=Ending(base=held), scores=node.outputs[0], nodes=(node,))


def _labelled(found: Ended, forest: Forest, constants: Constants) -> Ended:
    """With the place of the largest score, or what it is called."""
    if forest.targets < FEWEST or not _stays_finite(forest, found.ending):
        return found
    for node in _beside(found.scores):
        view = NodeView(node, constants)
        first = not view.attribute("select_last_index", 0) and not view.attribute("keepdims", 1)
        if node.op_type == "ArgMax" and is_standard(node) and view.axis(2, 0) == 1 and first:
            place, names = node.outputs[0], np.arange(forest.targets)
            label, more = _named(place, forest.targets, constants)
            ending = replace(found.ending, names=names if label is None else label)
            named = place if more is None else more.outputs[0]
            own = (node,) if more is None else (node, more)
            return replace(found, ending=ending, label=named, nodes=(*found.nodes, *own))
    return found


def _named(place: ir.Value, classes: int, constants: Constants) -> tuple[Array | None, ir.Node | None]:
    """The names of classes and what looks them up, where that alone reads the place."""
    node = _only_reader(place)
    if node is None or node.op_type != "Gather" or not is_standard(node) or node.inputs[1] is not place:
        return None, None
    table = node.inputs[0]
    if table is None or table not in constants or NodeView(node, constants).attribute("axis", 0):
        return None, None
    names = constants.read(table)
    whole = names.ndim == 1 and names.size >= classes and (names.dtype == np.int64)
    return (names[:classes], node) if whole else (None, None)


def _only_reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value; None where there are others, or it is an output."""
    readers = _beside(value)
    alone = len(readers) == len(value.consumers()) == 1 and not value.is_graph_output()
    return readers[0] if alone else None


def _beside(value: ir.Value) -> list[ir.Node]:
    """The nodes of the same graph that read a value, not those of bodies in it."""
    maker = value.producer()
    return [node for node in value.consumers() if maker is not None and node.graph is maker.graph]


def _stays_finite(forest: Forest, ending: Ending) -> bool:
    """Whether no sum can be infinite or NaN, of which a runtime may name another class."""
    most = float(np.abs(forest.weight.astype(np.float64)).sum()) + sum(map(abs, ending.base))
    return most < float(np.finfo(np.float32).max)
