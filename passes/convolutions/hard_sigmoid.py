"""Hard sigmoids that converters write out, as the one operator that they are.

    Clip(x + a, 0, h) / h          HardSigmoid(x; 1/h, a/h) = max(0, min(1, x/h + a/h))
    x · Clip(x + a, 0, h) / h      the same times x: HardSwish, where a is 3 and h is 6

Networks for small machines have one behind nearly every convolution: three passes over what it computes become one,
and four become two. Both forms round the same number, each by at most six units in the last place of 1 where a is at
most four times h, and others are not taken for one: far from 0 the sum x + a is exact, and x/h + a/h is not. Of the
second form only the one that is written out overflows, where h·x does.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import only_use
from ...ir.graph.node import NodeView
from ...ir.graph.operators import is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm
from ..lowering.prices import Prices
from .sized import ShapeOf

__all__ = ["HardSigmoid", "hard_sigmoid"]

CLOSE = 1e-7  # of a reciprocal that was rounded once
FARTHEST = 4.0  # heights from 0 at which a slope still keeps its digits
NORMAL = 2.0**-126  # numbers below it have fewer digits; so have reciprocals of those above its own
OLDEST = 6  # operator set in which the operator is what it is now


@dataclass(frozen=True, slots=True, eq=False)
class HardSigmoid:
    """One that is written out; node: the last of its operators, by which it is scaled; times: the product with what it
    is taken of, None where that is none of it; slot: where its sum reads that; added, height: its numbers."""

    node: ir.Node
    times: ir.Node | None
    clip: ir.Node
    sum: ir.Node
    slot: int
    added: float
    height: float
    form = ConvolutionForm.ACTIVATION

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operators, in order."""
        return tuple(node for node in (self.sum, self.clip, self.times, self.node) if node is not None)

    @property
    def source(self) -> ir.Value:
        """What it is taken of, as the model has it now."""
        source = self.sum.inputs[self.slot]
        assert source is not None
        return source

    @property
    def sha256(self) -> str:
        """Of its numbers."""
        return hashlib.sha256(repr((self.added, self.height)).encode()).hexdigest()

    def gain(self, shape_of: ShapeOf, prices: Prices) -> float:
        """Predicted seconds of its operators over those of what takes their place."""
        each = prices.node_s + math.prod(shape_of(self.node.outputs[0])) * prices.elementwise_s
        return len(self.nodes) * each / ((1 + (self.times is not None)) * each)

    @property
    def said(self) -> str:
        """What is done, for people."""
        return f"{' and '.join(str(node.op_type) for node in self.nodes)} are a hard sigmoid: written as that operator"


def hard_sigmoid(node: ir.Node, constants: Constants) -> HardSigmoid | None:
    """The hard sigmoid that a node is the last operator of; None where it is that of none that nobody else reads."""
    scaled = _scaled(node, constants)
    if scaled is None or constants.opset < OLDEST:
        return None
    inner, scale = scaled
    for slot in (0, 1):  # of a product, where that stands between
        times = inner if inner.op_type == "Mul" and is_standard(inner) else None
        clip = inner if times is None else _before(times.inputs[slot])
        found = None if clip is None else _clipped(clip, constants)
        if clip is None or found is None:
            continue
        total, place, added, height = found
        if abs(scale * height - 1) > CLOSE or (times is not None and times.inputs[1 - slot] is not total.inputs[place]):
            continue
        return HardSigmoid(node, times, clip, total, place, added, height)
    return None


def _scaled(node: ir.Node, constants: Constants) -> tuple[ir.Node, float] | None:
    """The node whose result another one multiplies by a number, and that."""
    if node.op_type not in ("Div", "Mul") or not is_standard(node) or len(node.inputs) != 2:
        return None
    for slot in (1,) if node.op_type == "Div" else (0, 1):
        number, inner = _number(node.inputs[slot], node.inputs[1 - slot], constants), _before(node.inputs[1 - slot])
        if number is not None and inner is not None and number > 0:
            return inner, 1 / number if node.op_type == "Div" else number
    return None


def _clipped(clip: ir.Node, constants: Constants) -> tuple[ir.Node, int, float, float] | None:
    """The sum that a Clip bounds from 0 on, where that reads what it is taken of, the number it adds, and the bound."""
    if clip.op_type != "Clip" or not is_standard(clip):
        return None
    one, total = NodeView(clip, constants), _before(clip.inputs[0])
    if total is None or total.op_type != "Add" or not is_standard(total):
        return None
    low, high = (_bound(one, name, place) for name, place in (("min", 1), ("max", 2)))
    if low != 0 or high is None or not NORMAL <= high <= 1 / NORMAL:
        return None
    for place in (0, 1):
        source = total.inputs[place]
        added = None if source is None else _number(total.inputs[1 - place], source, constants)
        if source is None or added is None or source in constants:
            continue
        if abs(added) <= FARTHEST * high:
            return total, place, added, high
    return None


def _bound(clip: NodeView, name: str, place: int) -> float | None:
    """A bound, from an attribute in old operator sets; None where there is none, or it is computed."""
    value = clip.operand(place)
    if value is None:
        number = clip.attribute(name)
        return None if number is None else float(number)
    return _number(value, None, clip.constants)


def _number(value: ir.Value | None, beside: ir.Value | None, constants: Constants) -> float | None:
    """The one number that a constant in single precision holds, where that stretches nothing beside it."""
    if value is None or value not in constants or constants.is_overridable(value):
        return None
    shape, dtype = constants.describe(value)
    other = None if beside is None else shape_of(beside)
    if dtype != ir.DataType.FLOAT or math.prod(shape) != 1 or constants.has_ambiguous_leaf(value):
        return None
    if shape and (other is None or len(other) < len(shape)):
        return None
    try:
        number = float(constants.read(value).reshape(()))
    except ModelError:
        return None
    return number if math.isfinite(number) else None


def _before(value: ir.Value | None) -> ir.Node | None:
    """What makes a value that nobody else reads."""
    return None if value is None or only_use(value) is None else value.producer()
