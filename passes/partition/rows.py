"""Which values of a model have a row for each sample of a batch, each computed of the same row of its inputs alone.

    x   (n, 4) ──MatMul──► (n, 8) ──Transpose──► (8, n) ──Softmax over n──► none: each row depends on all
    rows     0                  0                     1

So it can be told before a model runs whether some rows of a batch can be computed without the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ...ir.axes.axis_rule import AxisRef, AxisRule, Sizes
from ...ir.graph.node import GRAPHS
from ...ir.graph.operators import MEASURING, RESHAPING, is_one_of
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["Rows", "rows_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The values of a main graph that have rows, and the axis along which each of them has these.

    mixed: those of which a place depends on several rows, or for all that is known may do so; sizes: those that depend
    on nothing but how many rows there are; all others depend on no row.
    """

    axes: dict[ir.Value, int] = field(default_factory=dict)
    mixed: set[ir.Value] = field(default_factory=set)
    sizes: set[ir.Value] = field(default_factory=set)

    def inputs(self, graph: ir.Graph, ends: Collection[ir.Value]) -> tuple[str, ...]:
        """The inputs of the graph that have rows, where each row of `ends` is computed of the same row of them, and
        lies along the first axis; none where it is not so."""
        if any(self.axes.get(value) != 0 for value in ends):
            return ()
        return tuple(value.name or "" for value in graph.inputs if value in self.axes)


def rows_of(graph: ir.Graph, rules: Mapping[ir.Node, AxisRule | str], sizes: Sizes) -> Rows:
    """The values of a main graph that have rows; rules: of its nodes, but of those that compute constants.

    Rows are along the first axis of the inputs of which it is the same symbol as that of the first one that has any.
    """
    found = Rows()
    firsts = {value: extents[0] for value in graph.inputs if (extents := sizes.of(value))}
    symbol = next((extent for extent in firsts.values() if isinstance(extent, str)), None)
    found.axes.update({value: 0 for value, extent in firsts.items() if symbol is not None and extent == symbol})
    for node in graph:
        if node in rules:
            _follow(found, node, rules[node], sizes)
    return found


def _follow(found: Rows, node: ir.Node, rule: AxisRule | str, sizes: Sizes) -> None:
    """Learn what the results of one node are."""
    read = [value for value in node.inputs if value is not None]
    rowed = [value for value in read if value in found.axes]
    if any(attribute.type in GRAPHS for attribute in node.attributes.values()) or not found.mixed.isdisjoint(read):
        found.mixed.update(node.outputs)
    elif rowed and is_one_of(node, MEASURING):
        found.sizes.update(node.outputs)
    elif rowed:
        axes = None if isinstance(rule, str) else _axes(found, node, rule, sizes)
        found.axes.update(axes or {})
        if axes is None:
            found.mixed.update(node.outputs)
    elif not found.sizes.isdisjoint(read):
        found.sizes.update(node.outputs)


def _axes(found: Rows, node: ir.Node, rule: AxisRule, sizes: Sizes) -> dict[ir.Value, int] | None:
    """The axes along which the results of a node have the rows of what it reads; None where it is not sure."""
    made: dict[ir.Value, int] = {}
    cut = {piece.source for one in rule.cuts for piece in one.pieces}
    for index, value in enumerate(node.inputs):
        if value in found.sizes and not (index == 1 and is_one_of(node, RESHAPING)):
            return None
        if value is None or value not in found.axes:
            continue
        ref = AxisRef(False, index, found.axes[value])
        group = next((one for one in rule.same if ref in one), ())
        if ref in rule.mixed or ref in cut or not all(_agrees(found, node, one, sizes) for one in group):
            return None
        for one in group:
            if one.is_result and made.setdefault(node.outputs[one.slot], one.axis) != one.axis:
                return None
    used = [value for value in node.outputs if value.uses() or value.is_graph_output()]
    return made if used and all(value in made for value in used) else None


def _agrees(found: Rows, node: ir.Node, ref: AxisRef, sizes: Sizes) -> bool:
    """Whether an axis beside that of rows is one of rows as well, or has one place for all of them."""
    value = None if ref.is_result else node.inputs[ref.slot]
    if value is None:
        return True
    if value in found.axes:
        return found.axes[value] == ref.axis
    return sizes.extent(sizes.place(node, ref.slot), ref.axis) == 1
