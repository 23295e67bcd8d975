"""Forests in another form: what computed their sums goes, and other operators for the same sums come."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ...ir.graph.linear import scopes
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import PlanError
from ...ir.plan.rewritten_forest import ForestForm, RewrittenForest
from ..forests.choose import Standing, forms
from ..forests.compiled.recognise import Compiled
from ..forests.find import seen, standing_forests
from ..forests.lowered.lower import write_lowered
from ..forests.trees.to_ensemble import DOMAIN, version, why_no_ensemble, write_ensemble
from ..forests.trees.writer import Writer
from ..lowering.nodes.emitter import Names
from .edit import INITIALIZERS_ARE_INPUTS, drop_unread, inherit

__all__ = ["rewrite_forests"]


def rewrite_forests(model: ir.Model, wanted: Sequence[RewrittenForest]) -> ir.Model:
    """A copy of the model in which these forests have their new form; raises PlanError where one is not there."""
    copy, found = seen(model)
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()}
    standing = standing_forests(copy)
    there = {tuple(addresses[node] for node in one.nodes): one for one in found}
    names = Names(copy)
    for one in wanted:
        if one.form is not ForestForm.ENSEMBLE:
            _lower(copy, one, {addresses[each.node]: each for each in standing if isinstance(each, Standing)}, names)
            continue
        forest = there.get(one.nodes)
        if not isinstance(forest, Compiled) or forest.sha256 != one.sha256:
            raise PlanError(f"{one.nodes[0]}: it is not the forest of the plan; make a new plan for this model")
        _raise(copy, forest, names, one.nodes[-1])
    return copy


def _lower(model: ir.Model, wanted: RewrittenForest, standing: Mapping[str, Standing], names: Names) -> None:
    """Put plain operators in the place of one that walks trees."""
    address = wanted.nodes[0]
    found = standing.get(address)
    if found is None or len(wanted.nodes) > 1 or found.ensemble.sha256 != wanted.sha256:
        raise PlanError(f"{address}: it is not the forest of the plan; make a new plan for this model")
    if wanted.form not in forms(found):
        raise PlanError(f"{address}: its trees cannot have the form {wanted.form}; make a new plan for this model")
    node = found.node
    writer = _writer(model, names, node, address)
    results = write_lowered(writer, found.ensemble, wanted.form, found.rows, wanted.passes)
    now = dict(zip(node.outputs, results, strict=True))
    wanted_ones = {result for output, result in now.items() if output.uses() or output.is_graph_output()}
    _drop_unread(writer, wanted_ones)
    _put(model, [node], writer, {output: result for output, result in now.items() if result in wanted_ones})


def _drop_unread(writer: Writer, wanted: Collection[ir.Value]) -> None:
    """Leave away what nobody reads: labels where scores are all that is asked for."""
    for node in reversed(writer.nodes):
        if not any(value.uses() or value in wanted for value in node.outputs):
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)
            writer.nodes.remove(node)
    writer.constants[:] = [value for value in writer.constants if value.uses()]


def _raise(model: ir.Model, found: Compiled, names: Names, origin: str) -> None:
    """Put one operator in the place of a compiled forest, and of what it does with the sums as well."""
    number, ended = version(model), found.ended
    if (why := why_no_ensemble(found.forest, number)) is not None:
        raise PlanError(f"{origin}: {why}; make a new plan for this model")
    model.opset_imports.setdefault(DOMAIN, number)
    writer = _writer(model, names, found.summing[-1], origin)
    label, scores = write_ensemble(writer, found.forest, ended.ending, found.rows, number)
    dims = found.layout.dims
    if len(dims) != 2:  # the batch is in front in any case
        scores = writer.one("Reshape", [scores, writer.constant(np.array([-1, *dims[1:]]), "shape")], "shape")
    labels = {} if label is None or ended.label is None else {ended.label: label}
    _put(model, found.nodes, writer, {ended.scores: scores, **labels})


def _writer(model: ir.Model, names: Names, node: ir.Node, origin: str) -> Writer:
    """What collects the operators that stand in for some of which this is the last."""
    opset = model.opset_imports.get("", model.opset_imports.get("ai.onnx", 1))
    return Writer(names, node.name or node.outputs[0].name or "forest", origin, opset, node.metadata_props)


def _put(model: ir.Model, old: Sequence[ir.Node], writer: Writer, now: Mapping[ir.Value, ir.Value]) -> None:
    """New nodes where the first of the old ones stands, before all that reads their results; the old ones go, and the
    constants that these read."""
    graph, reads = model.graph, [value for node in old for value in node.inputs if value is not None]
    for value in writer.constants:
        graph.register_initializer(value)
        if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
            graph.inputs.append(value)
    graph.insert_before(old[0], writer.nodes)
    for output, result in now.items():
        inherit(result, output)
        result.name, result.type, result.shape = output.name, output.type, output.shape
        ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
        output.name = None
    graph.remove(old, safe=True)
    for value in dict.fromkeys(reads):
        maker = value.producer()
        if maker is None or maker.graph is not None:
            drop_unread(model, value)
