"""The activation function of a fused operator, as an operator of its own."""

from __future__ import annotations

from typing import Any

from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from .emitter import Emitter

__all__ = ["activated", "why_not_apart"]

PREFIX = "activation_"  # of the attributes of the function beside those of the product
SINCE = {  # operator sets that brought today's functions; what they take is called alike in both
    "Relu": 6,
    "Sigmoid": 6,
    "Tanh": 6,
    "LeakyRelu": 6,
    "Elu": 6,
    "HardSigmoid": 6,
    "Selu": 6,
    "Softplus": 1,
    "Softsign": 1,
    "ThresholdedRelu": 10,
}


def why_not_apart(linear: Linear) -> Reason | None:
    """Why what a fused operator does behind its product cannot be an operator of its own; None where it can."""
    if not linear.fused:
        return None
    name = _name(linear)
    if name not in SINCE:
        told = f"the activation function {name or 'without a name'} of {linear.op} is no operator of its own"
        return Reason(Cause.FUSED, told)
    if linear.opset < SINCE[name]:
        told = f"{name} came with operator set {SINCE[name]}, the model has {linear.opset}"
        return Reason(Cause.OPERATOR_SET, told)
    return None


def activated(emitter: Emitter, y: ir.Value) -> ir.Value:
    """The activation function of a fused operator applied to what it computes before; others as they are."""
    linear = emitter.linear
    if not linear.fused:
        return y
    given = {key: value for key, value in linear.node.attributes.items() if key.startswith(PREFIX)}
    attributes: dict[str, Any] = {key.removeprefix(PREFIX): float(value.as_float()) for key, value in given.items()}
    return emitter.node(_name(linear), [y], "activation", attributes)[0]


def _name(linear: Linear) -> str:
    held = linear.node.attributes.get("activation")
    return str(held.as_string()) if held is not None else ""
