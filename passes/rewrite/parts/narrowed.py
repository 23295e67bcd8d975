"""A part of a model as a model: the model itself, with nothing left in it that its outputs do not need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....ir.axes.axis_rule import Operand
from ....ir.graph.linear import scopes
from ....ir.graph.node import subgraphs
from ....ir.io.tensors import every_node
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.provenance import PART
from ...lowering.nodes.emitter import Names
from ...partition.find import Analysed
from ...partition.narrowing import Narrowing, is_joined, is_split
from ..constant_copies import Copies, NewConstants
from ..edit import drop_unread
from ..remove_channels import fold_into
from ..shape_operands import Shapes
from .lent import lent

__all__ = ["narrowed"]

OWN = "part"
SPLIT_SIZES_ARE_INPUTS = 13  # from this operator set on


def narrowed(work: Analysed, found: Narrowing, name: str) -> ir.Model:
    """A model that computes what is wanted of the outputs of the one that was analysed, of the places of its inputs
    that this needs; found: what that is, of this model.

    Inputs, outputs, nodes and values keep their names, and inputs and outputs their order; name: by which it says of
    itself what part it is. What was analysed stays as it is. Raises ModelError when a weight cannot be read.
    """
    whole = work.seen.model
    with lent(whole.graph):
        _cut(whole, work, found)
        _leave_out(whole, found)
        for value in _values(whole.graph):
            cut = found.cut(value)
            if cut and value.shape is not None:
                value.shape = ir.Shape([int(cut[at].sum()) if at in cut else dim for at, dim in enumerate(value.shape)])
        _take_wanted(whole, found)
        _drop_constants(whole)
        part = whole.clone()
    _without_copies(part)
    _drop_constants(part)  # sizes of a Split that is gone
    part.metadata_props[PART] = name
    return part


def _cut(copy: ir.Model, work: Analysed, found: Narrowing) -> None:
    """Cut what nodes that stay say of shapes, and their constants."""
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()}
    names = Names(copy)
    copies = Copies(copy, work.seen.found, names, OWN, addresses)
    new = NewConstants(copy, names, OWN)
    shapes = Shapes(found.removal, new, names, addresses)
    folds = [fold for fold in found.removal.folds() if fold.node in found.live]
    for node in found.live:
        done = None if is_split(node) else shapes.edit(node)
        for index in found.operands(node):
            value = node.inputs[index]
            if value is None or index == done or value not in work.seen.found.constants:
                continue
            cut = found.cut(Operand(node, index))
            if cut:
                node.replace_input_with(
                    index, copies.taken(value, {at: np.flatnonzero(own) for at, own in cut.items()})
                )
        if is_split(node):
            _split(node, found, new)
    for fold in folds:
        fold_into(copy, fold, new, names)


def _split(node: ir.Node, found: Narrowing, new: NewConstants) -> None:
    """Give a Split the sizes of what stays of its results."""
    windows = found.windows(node)
    if not windows or all(mask.all() for mask in windows.values()):
        return
    sizes = [int(windows[dim].sum()) for value in node.outputs for dim in windows if dim[0] is value]
    kept = [size for size in sizes if size]
    if found.removal.relations.facts.sizes.constants.opset < SPLIT_SIZES_ARE_INPUTS:
        node.attributes["split"] = ir.AttrInt64s("split", kept)
        return
    node.attributes.pop("num_outputs", None)
    node.resize_inputs(2)
    node.replace_input_with(1, new.integers(kept, "split"))


def _leave_out(copy: ir.Model, found: Narrowing) -> None:
    """Remove outputs that are not wanted, operands and results that are not needed, nodes, and inputs."""
    graph = copy.graph
    wanted = {share.value for share in found.wanted}
    unwanted = [value for value in graph.outputs if value.name not in wanted]
    for value in unwanted:
        graph.outputs.remove(value)
    for node in found.live:
        if is_joined(node):
            kept = [node.inputs[index] for index in found.operands(node)]
            for index, operand in enumerate(kept):
                node.replace_input_with(index, operand)
            node.resize_inputs(len(kept))
    known = found.removal.relations.own
    for node in reversed([node for node in graph if node in known and node not in found.live]):
        for within in (within for _, _, inner in subgraphs(node) for within in every_node(inner)):
            for index in range(len(within.inputs)):  # what it reads from outside is not read any more
                within.replace_input_with(index, None)
        graph.remove(node, safe=True)
    for node in [node for node in found.live if is_split(node)]:
        _without_results(copy, node, found.results(node))
    for value in [value for value in graph.inputs if not value.uses() and not value.is_initializer()]:
        graph.inputs.remove(value)


def _without_results(copy: ir.Model, node: ir.Node, kept: Sequence[int]) -> None:
    """The same Split with only some of its results."""
    if len(kept) == len(node.outputs):
        return
    outputs = [node.outputs[index] for index in kept]
    twins = [ir.Value(name=value.name, type=value.type, shape=value.shape) for value in outputs]
    twin = ir.Node(
        node.domain,
        node.op_type,
        list(node.inputs),
        list(node.attributes.values()),
        outputs=twins,
        name=node.name,
        doc_string=node.doc_string,
        metadata_props=dict(node.metadata_props),
    )
    graph = copy.graph
    graph.insert_after(node, twin)
    for old, new in zip(outputs, twins, strict=True):
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _without_copies(part: ir.Model) -> None:
    """Remove each Split of which one result stays and each Concat of which one operand does: they copy."""
    graph = part.graph
    for node in [node for node in graph if is_split(node) or is_joined(node)]:
        if len(node.outputs) > 1 or (is_joined(node) and len(node.inputs) > 1):
            continue
        source, result = node.inputs[0], node.outputs[0]
        assert source is not None
        if result.is_graph_output():
            if source.producer() is None or source.is_graph_output() or len(source.uses()) > 1:
                continue
            source.name, result.name = result.name, None
            source.type, source.shape = result.type, result.shape
        ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
        graph.remove(node, safe=True)


def _take_wanted(copy: ir.Model, found: Narrowing) -> None:
    """Take the places that are wanted of outputs of which more are needed inside."""
    names = Names(copy)
    new = NewConstants(copy, names, OWN)
    masks, graph = found.removal.masks, copy.graph
    for place, share in enumerate(found.wanted):
        value = found.ends[place]
        for axis, places in share.places.items():
            there = masks.of((value, axis))
            if int(there.sum()) == places.size:
                continue
            output = next(one for one in graph.outputs if one.name == share.value)
            taken = new.integers((np.cumsum(there) - 1)[places].tolist(), f"{share.value}/places")
            shape = None if output.shape is None else [*output.shape]
            result = ir.Value(name=share.value, type=output.type)
            if shape is not None:
                result.shape = ir.Shape([places.size if at == axis else dim for at, dim in enumerate(shape)])
            output.name = names.fresh(f"{share.value}/{OWN}")
            attributes = [ir.AttrInt64("axis", axis)]
            node = ir.Node(
                "", "Gather", [output, taken], attributes, outputs=[result], name=names.fresh(f"{OWN}/Gather")
            )
            graph.append(node)
            graph.outputs[list(graph.outputs).index(output)] = result


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(value for node in graph for value in node.outputs)]


def _drop_constants(copy: ir.Model) -> None:
    """Remove the constants that nobody reads any more, of the main graph and of nodes that made only such."""
    graph = copy.graph
    for node in reversed([*graph]):
        for value in [] if any(v.uses() or v.is_graph_output() for v in node.outputs) else node.outputs[:1]:
            drop_unread(copy, value)
    for value in [*graph.initializers.values()]:
        drop_unread(copy, value)
