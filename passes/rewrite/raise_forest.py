"""Forests in another form: what computed their sums goes, and other operators for the same sums come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir.graph.linear import scopes
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import PlanError
from ...ir.plan.rewritten_forest import RewrittenForest
from ..forests.find import seen, version
from ..forests.recognise import Compiled
from ..forests.to_ensemble import DOMAIN, why_no_ensemble, write_ensemble
from ..forests.writer import Writer
from ..lowering.nodes.emitter import Names
from .edit import INITIALIZERS_ARE_INPUTS, drop_unread, inherit

__all__ = ["rewrite_forests"]


def rewrite_forests(model: ir.Model, wanted: Sequence[RewrittenForest]) -> ir.Model:
    """A copy of the model in which these forests have their new form; raises PlanError where one is not there."""
    copy, found = seen(model)
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()}
    there = {tuple(addresses[node] for node in one.nodes): one for one in found}
    names = Names(copy)
    for one in wanted:
        forest = there.get(one.nodes)
        if not isinstance(forest, Compiled) or forest.forest.sha256 != one.sha256:
            raise PlanError(f"{one.nodes[0]}: it is not the forest of the plan; make a new plan for this model")
        _raise(copy, forest, names, one.nodes[-1])
    return copy


def _raise(model: ir.Model, found: Compiled, names: Names, origin: str) -> None:
    """Put one operator in the place of a compiled forest."""
    number, last = version(model), found.nodes[-1]
    if (why := why_no_ensemble(found.forest, number)) is not None:
        raise PlanError(f"{origin}: {why}; make a new plan for this model")
    model.opset_imports.setdefault(DOMAIN, number)
    writer = Writer(names, last.name or found.scores.name or "forest", origin)
    sums = write_ensemble(writer, found.forest, found.rows, number)
    dims = found.layout.dims
    if len(dims) != 2:  # the batch is in front in any case
        sums = writer.one("Reshape", [sums, writer.constant(np.array([-1, *dims[1:]]), "shape")], "shape")
    _put(model, found.nodes, writer, found.scores, sums)


def _put(model: ir.Model, old: Sequence[ir.Node], writer: Writer, output: ir.Value, result: ir.Value) -> None:
    """New nodes where the last of the old ones stands, which go; and the constants that these read."""
    graph, reads = model.graph, [value for node in old for value in node.inputs if value is not None]
    for value in writer.constants:
        graph.register_initializer(value)
        if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
            graph.inputs.append(value)
    graph.insert_before(old[-1], writer.nodes)
    inherit(result, output)
    result.name, result.type, result.shape = output.name, output.type, output.shape
    ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
    output.name = None
    graph.remove(old, safe=True)
    for value in dict.fromkeys(reads):
        maker = value.producer()
        if maker is None or maker.graph is not None:
            drop_unread(model, value)
