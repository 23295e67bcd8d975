"""Convolutions in another form: Fourier transforms written as such, smaller windows, what follows them inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...ir.axes.region import Inner
from ...ir.graph.constants import Constants
from ...ir.graph.shapes import correct_shapes
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import PlanError
from ...ir.plan.rewritten_convolution import ConvolutionForm, RewrittenConvolution
from ...ir.provenance import MATRIX
from ..convolutions.bias import LateBias
from ..convolutions.find import Found, seen
from ..convolutions.fourier import Fourier
from ..convolutions.hard_sigmoid import HardSigmoid
from ..convolutions.product import LateProduct
from ..convolutions.transform_matrix import TransformMatrix
from ..convolutions.window import SmallerWindow
from ..lowering.nodes.emitter import Emitter, Names
from ..lowering.nodes.sharing import Sharing
from .edit import drop_unread, inherit, register

__all__ = ["rewrite_convolutions"]

END = np.iinfo(np.int64).max  # of an axis, as Slice has it


def rewrite_convolutions(model: ir.Model, wanted: Sequence[RewrittenConvolution]) -> ir.Model:
    """A copy of the model in which these convolutions have their new form; raises PlanError where one is not there.

    What is only there once others have theirs is looked for in what those leave.
    """
    left = tuple(wanted)
    while left:
        model, left = _some_rewritten(model, left)
    return model


def _some_rewritten(
    model: ir.Model, wanted: Sequence[RewrittenConvolution]
) -> tuple[ir.Model, tuple[RewrittenConvolution, ...]]:
    """A copy of the model in which those that are there have their form, and the others; PlanError where none is."""
    copy, scope, constants, found = seen(model)
    there = {(one.form, tuple(scope.addresses[node] for node in one.nodes), one.sha256): one for one in found}
    names, sharing = Names(copy), Sharing()
    later = []
    for step in wanted:
        one = there.get((step.form, step.nodes, step.sha256))
        if one is None:
            later.append(step)
            continue
        # All are looked up by what the model was: nodes that stay have the names that they had.
        emitter = Emitter(Inner(one.node, scope.address(one.node), scope.opset), names)
        held = [value for node in one.nodes for value in node.inputs if value is not None and value in constants]
        _write(one, emitter)
        register(copy, None, copy.graph, emitter.constants, names, sharing)
        for value in held:
            drop_unread(copy, value)
    if len(later) == len(wanted):
        first = wanted[0]
        what = "its constants have changed" if _is_there(first, there) else "it is not what the plan says"
        raise PlanError(f"{first.nodes[0]}: {what}; make a new plan for this model")
    correct_shapes(copy)
    return copy, tuple(later)


def _is_there(step: RewrittenConvolution, there: Iterable[tuple[ConvolutionForm, tuple[str, ...], str]]) -> bool:
    """Whether the nodes of a step could have its form, whatever their constants are."""
    return any((form, nodes) == (step.form, step.nodes) for form, nodes, _ in there)


def _write(one: Found, emitter: Emitter) -> None:
    match one:
        case Fourier():
            _transform(one, emitter)
        case TransformMatrix():
            _product(one, emitter)
        case SmallerWindow():
            _crop(one, emitter)
        case LateBias():
            _move_inside(one, emitter)
        case LateProduct():
            _before_moves(one, emitter)
        case HardSigmoid():
            _as_operator(one, emitter)


def _transform(one: Fourier, emitter: Emitter) -> None:
    """A convolution in the place of a Fourier transform, its frequencies brought behind the frames."""
    first, last = one.places
    if one.rank == 2:
        signal = emitter.one("Unsqueeze", [one.signal, emitter.integers([1], "channel")], "signal")
    else:
        signal = emitter.one("Transpose", [one.signal], "signal", perm=[0, 2, 1])
    behind = one.window.size - 1 - last
    if first or behind:
        signal = _cut(emitter, signal, [2], [first], [behind])
    kernel = emitter.constant(one.kernel(), "kernel")
    attributes = {"strides": [one.step], "kernel_shape": [last - first + 1]}
    result = emitter.node("Conv", [signal, kernel], "transform", attributes)[0]
    result = emitter.one("Transpose", [result], "parts", perm=[0, 2, 1])
    # No -1, which would be ambiguous without any signals.
    result = emitter.one("Reshape", [result, emitter.integers([0, 0, one.bins, 2], "parts")], "parts")
    _put(result, [one.node], emitter)


def _product(one: TransformMatrix, emitter: Emitter) -> None:
    """A product in the place of a transform along an axis, which stands before the parts meanwhile."""
    others = [axis for axis in range(one.rank - 1) if axis != one.axis]
    perm = [*others, one.axis, one.rank - 1]
    signal = emitter.one("Transpose", [one.signal], "signal", perm=perm) if one.moves else one.signal
    # No -1, which would be ambiguous without any signals.
    flat = emitter.integers([*[0] * len(others), one.places * one.parts], "signal")
    rows = emitter.one("Reshape", [signal, flat], "signal")
    result = emitter.one("MatMul", [rows, emitter.constant(one.matrix(), MATRIX)], MATRIX)
    apart = emitter.integers([*[0] * len(others), one.bins, one.results], "parts")
    result = emitter.one("Reshape", [result, apart], "parts")
    if one.moves:
        back = [int(axis) for axis in np.argsort(perm)]
        result = emitter.one("Transpose", [result], "parts", perm=back)
    _put(result, [one.node], emitter)


def _crop(one: SmallerWindow, emitter: Emitter) -> None:
    """The smaller window, with as much less padding, or with less of the input."""
    node, axes = one.node, len(one.size)
    node.replace_input_with(1, emitter.constant(one.kernel(), "window"))
    node.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", one.size)
    node.attributes["pads"] = ir.AttrInt64s("pads", [max(pad, 0) for pad in one.pads])
    node.attributes.pop("auto_pad", None)
    missing = [max(-pad, 0) for pad in one.pads]
    if any(missing):
        places = [axis for axis in range(axes) if missing[axis] or missing[axis + axes]]
        before, behind = ([missing[axis + shift] for axis in places] for shift in (0, axes))
        source = node.inputs[0]
        assert source is not None and node.graph is not None
        node.replace_input_with(0, _cut(emitter, source, [axis + 2 for axis in places], before, behind))
        node.graph.insert_before(node, emitter.nodes)


def _cut(
    emitter: Emitter, value: ir.Value, axes: Sequence[int], before: Sequence[int], behind: Sequence[int]
) -> ir.Value:
    """A value without so many places before and behind along some axes."""
    ends = [-count if count else END for count in behind]
    if emitter.opset < 10:
        return emitter.one("Slice", [value], "cut", starts=list(before), ends=ends, axes=list(axes))
    bounds = [("starts", before), ("ends", ends), ("axes", axes)]
    return emitter.one("Slice", [value, *(emitter.integers(told, role) for role, told in bounds)], "cut")


def _move_inside(one: LateBias, emitter: Emitter) -> None:
    """The bias into the convolution, and the function right behind it."""
    node = one.node
    if one.sum is not None:
        assert one.added is not None
        node.resize_inputs(3)
        node.replace_input_with(2, emitter.constant(one.bias(), "bias"))
        (source,) = (value for value in one.sum.inputs if value is not one.added)
        _take_out(one.sum, source)
        result = node.outputs[0]
        result.name = emitter.names.fresh(f"{result.name}/biased")  # it is another value than it was
    if one.function is not None:
        _function_behind(node, one.function, one.constants, emitter)


def _before_moves(one: LateProduct, emitter: Emitter) -> None:
    """A convolution of one place between what was moved and what moves it, instead of the product behind that."""
    bias = one.bias()
    operands = [one.source, emitter.constant(one.kernel(), "kernel")]
    operands += [] if bias is None else [emitter.constant(bias, "bias")]
    first, last = one.moves[0], one.moves[-1]
    assert first.graph is not None
    result = emitter.node("Conv", operands, "channels", {"kernel_shape": [1, 1]})[0]
    first.graph.insert_before(first, emitter.nodes)
    first.replace_input_with(0, result)
    for move in one.moves:  # what they make has other channels than it had
        value = move.outputs[0]
        value.name, value.shape = emitter.names.fresh(f"{value.name}/channels"), None
    for node in (one.node, one.sum):
        if node is not None:
            _take_out(node, last.outputs[0])


def _as_operator(one: HardSigmoid, emitter: Emitter) -> None:
    """A hard sigmoid as one operator, times what it is taken of where it was."""
    result = emitter.one("HardSigmoid", [one.source], "sigmoid", alpha=1 / one.height, beta=one.added / one.height)
    if one.times is not None:
        result = emitter.one("Mul", [one.source, result], "sigmoid")
    _put(result, one.nodes, emitter)


def _put(result: ir.Value, nodes: Sequence[ir.Node], emitter: Emitter) -> None:
    """What was emitted in the place of some nodes, in order: its result is called as that of the last of them was."""
    last = nodes[-1]
    graph, old = last.graph, last.outputs[0]
    assert graph is not None
    graph.insert_before(last, emitter.nodes)
    inherit(result, old)
    result.name, result.type, result.shape, old.name = old.name, old.type, old.shape, None
    ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    graph.remove(nodes[::-1], safe=True)


def _function_behind(node: ir.Node, function: ir.Node, constants: Constants, emitter: Emitter) -> None:
    """The function right behind a convolution instead of where it was."""
    result, graph = node.outputs[0], node.graph
    assert graph is not None
    # Nodes are emptied when they go. A bound that a node makes may be made behind the convolution only.
    bounds = [
        emitter.constant(constants.read(bound), "bound") if bound is not None and bound.producer() else bound
        for bound in function.inputs[1:]
    ]
    moved = ir.Value(name=emitter.names.fresh(f"{result.name}/{function.op_type}"), type=result.type)
    new = ir.Node(
        "",
        function.op_type,
        [None, *bounds],
        list(function.attributes.values()),
        outputs=[moved],
        name=function.name,
        doc_string=function.doc_string,
    )
    new.metadata_props.update(function.metadata_props)
    _take_out(function, function.inputs[0])
    moved.shape = result.shape
    for reader, place in list(result.uses()):
        reader.replace_input_with(place, moved)
    new.replace_input_with(0, result)
    graph.insert_after(node, new)


def _take_out(node: ir.Node, source: ir.Value | None) -> None:
    """Read what a node read instead of what it made, under the name of this where that belongs to the interface."""
    assert source is not None and node.graph is not None
    output = node.outputs[0]
    inherit(source, output)
    if output.is_graph_output():
        source.name, source.type, source.shape, output.name = output.name, output.type, output.shape, None
    ir.convenience.replace_all_uses_with(output, source, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)
