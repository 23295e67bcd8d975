"""Shapes that ONNX infers, as far as ONNX Runtime is known to make results of these extents.

The two part where a window stands over the end of what it slides along, where sizes are products of fractions, where
something is cut backwards, and in operators that few models have. Of such results nothing is taken to be known, and of
what is made of them nothing that depends on it. Nor is ONNX followed where it takes a number for another one because it
disregards its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.errors import ModelError
from ....ir.graph.constants import Constants
from ....ir.graph.node import NodeView
from ....ir.graph.operators import INFERRED_AS_RUN, POOLS, is_standard
from ....ir.graph.shapes import DOUBTED, Extents, Inference
from ....ir.graph.sizes import extent
from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["believed_shapes", "extents_of"]

Array: TypeAlias = "npt.NDArray[Any]"
OPERANDS = 10  # the operator set from which a Slice has steps
FAR = 2**31 - 1  # a bound that means the end
EXACT = 2**20  # below it single precision counts
FINEST = 256  # parts of one that are exact factors of a size


def believed_shapes(model: ir.Model, others: bool = False) -> dict[ir.Value, Extents]:
    """The shapes of every node's outputs, as `Inference` has them, without those that ONNX Runtime may not make.

    A pool whose last window may stand outside is looked at again: a window that begins outside is not there. others:
    believe as well what is inferred of operators of which nothing is known.
    """
    constants = Constants(model)
    stated: dict[ir.Node, Extents] = {}

    def doubt(node: ir.Node, twin: ir.Node) -> None:
        if node.op_type in ("Cast", "PRelu") and is_standard(node):
            _stand_in(twin)
        elif node in stated:
            twin.domain = DOUBTED
            result, source = twin.outputs[0], twin.inputs[0]
            result.shape = ir.Shape(stated[node])  # of a value without a type ONNX reads no shape
            result.type = result.type or (source and source.type) or ir.TensorType(ir.DataType.FLOAT)
        elif not _agrees(NodeView(node, constants), model, others):
            twin.domain = DOUBTED

    while True:
        shapes = Inference(model, doubt).shapes()
        pools = (node for node in model.graph if node not in stated and node.op_type in POOLS)
        made = next(((node, has) for node in pools if (has := _made(node, shapes, constants)) is not None), None)
        if made is None:
            return shapes
        stated[made[0]] = made[1]


def extents_of(value: ir.Value, shapes: Mapping[ir.Value, Extents], constants: Constants) -> Extents | None:
    """The extents of a value, None for one that is open; None where its rank is. shapes: those that were inferred."""
    if value in shapes:
        return shapes[value]
    if value.producer() is None and value.const_value is not None:
        return None if constants.is_overridable(value) else tuple(value.const_value.shape.numpy())
    if not value.is_graph_input() or value.shape is None:
        return None
    found = [extent(dim) for dim in value.shape]
    return tuple(one if isinstance(one, int) else None for one in found)


def _stand_in(twin: ir.Node) -> None:
    """Put an operator that is inferred right in the place of one that is not.

    Of the result of a Cast ONNX believes that it holds the numbers of the operand: true and 5 are one to it. Of a PRelu
    it believes that the slope stretches nothing.
    """
    to = twin.attributes.get("to")
    if twin.op_type == "PRelu":
        twin.op_type = "Mul"
    elif to is not None and not to.is_ref():
        twin.op_type = "RandomUniformLike"
        twin.attributes.clear()
        twin.attributes["dtype"] = ir.AttrInt64("dtype", to.as_int())
    else:
        twin.domain = DOUBTED


def _made(node: ir.Node, shapes: Mapping[ir.Value, Extents], constants: Constants) -> Extents | None:
    """The extents that a pool makes which counts its windows upwards, None where they are what is inferred."""
    view = NodeView(node, constants)
    inferred, source = shapes.get(node.outputs[0], ()), node.inputs[0]
    after = inferred[2:]
    if not view.attribute("ceil_mode", 0) or all(count is None for count in after):
        return None
    before = None if source is None else extents_of(source, shapes, constants)
    if before is None or len(before) != len(inferred):
        return (*inferred[:2], *[None] * len(after))
    defaults = {"strides": 1, "dilations": 1, "kernel_shape": 1, "pads": 0}
    strides, dilations, windows, pads = (
        view.attribute(name) or [one] * 2 * len(after) for name, one in defaults.items()
    )
    counts: list[int | None] = []
    for axis, (size, count) in enumerate(zip(before[2:], after, strict=True)):
        if count is None or size is None:
            counts.append(None)
        elif size + pads[axis] + pads[axis + len(after)] <= dilations[axis] * (windows[axis] - 1):
            counts.append(None)  # no window stands inside: of some there is none
        else:
            counts.append(count - ((count - 1) * strides[axis] >= size + pads[axis]))
    made = (*inferred[:2], *counts)
    return None if made == inferred else made


def _agrees(view: NodeView, model: ir.Model, others: bool) -> bool:
    """Whether what is inferred of a node holds, as far as the node alone tells."""
    node = view.node
    if node.op_identifier() in model.functions:
        return not is_standard(node)
    if not is_standard(node) or node.op_type not in INFERRED_AS_RUN:
        return others
    rule = RULES.get(node.op_type)
    try:
        return rule is None or (not any(one.is_ref() for one in node.attributes.values()) and rule(view, model))
    except ModelError:
        return False


def _pool(view: NodeView, model: ir.Model) -> bool:
    """Windows that are counted upwards are looked at again, in the main graph."""
    upwards = view.attribute("ceil_mode", 0)
    return _window(view, model) and (not upwards or (view.node.graph is model.graph and not _pads_itself(view)))


def _window(view: NodeView, _: ir.Model) -> bool:
    """ONNX forgets how far apart a window reads where the operator chooses the padding."""
    return not _pads_itself(view) or all(step == 1 for step in view.attribute("dilations", ()))


def _pads_itself(view: NodeView) -> bool:
    return str(view.attribute("auto_pad", "NOTSET")) != "NOTSET"


def _cut(view: NodeView, _: ir.Model) -> bool:
    """Forwards, or the whole of an axis backwards."""
    if view.constants.opset < OPERANDS or not view.is_told("steps", 4):
        return True
    steps = view.integers("steps", 4)
    if steps is None or min(steps, default=1) > 0:
        return steps is not None
    starts, ends = view.integers("starts", 1), view.integers("ends", 2)
    if starts is None or ends is None:
        return False
    bounds = zip(starts, ends, steps, strict=False)
    return all(step > 0 or ((start, step) == (-1, -1) and end <= -FAR) for start, end, step in bounds)


def _spread(view: NodeView, _: ir.Model) -> bool:
    """To a size that follows from padding."""
    return not _pads_itself(view) and "output_shape" not in view.node.attributes


def _resized(view: NodeView, _: ir.Model) -> bool:
    """To sizes that are given, or by factors."""
    if {"axes", "keep_aspect_ratio_policy"} & set(view.node.attributes) or view.constants.opset <= OPERANDS:
        return False
    if view.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        return False
    scales = view.small(2)
    return _are_exact(scales) if view.operand(3) is None else view.operand(2) is None or _is_empty(scales)


def _enlarged(view: NodeView, _: ir.Model) -> bool:
    return _are_exact(view.small(1))


def _are_exact(scales: Array | None) -> bool:
    """Whether a size times any of these is the same in every precision."""
    return scales is not None and bool((scales * FINEST == np.floor(scales * FINEST)).all())


def _is_empty(array: Array | None) -> bool:
    return array is not None and not array.size


def _counted(view: NodeView, _: ir.Model) -> bool:
    """In whole numbers: fractions are added up elsewhere than they are divided."""
    kinds = [None if value is None else value.dtype for value in view.node.inputs]
    if all(kind in (ir.DataType.INT32, ir.DataType.INT64) for kind in kinds):
        return True
    told = [view.small(place) for place in range(3)]
    return all(one is not None and bool((np.floor(one) == one).all() and (np.abs(one) < EXACT).all()) for one in told)


RULES: dict[str, Callable[[NodeView, ir.Model], bool]] = {
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _window),
    "ConvTranspose": _spread,
    "Range": _counted,
    "Resize": _resized,
    "Slice": _cut,
    "Upsample": _enlarged,
}
