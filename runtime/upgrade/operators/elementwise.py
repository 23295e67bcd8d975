"""Operators that compute each element of a result from those at its place."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from .call import TYPES, Call, Given, Rule, present, text

__all__ = ["ELEMENTWISE"]

MASKED = 12  # the operator set from which the mask of a Dropout tells what is kept; ONNX Runtime leaves it 0 before


def _one(function: Callable[[Tensor], Tensor]) -> Rule:
    return lambda call, given: function(present(given, 0))


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    return lambda call, given: function(present(given, 0), present(given, 1))


def _all(function: Callable[[Tensor, Tensor], Tensor]) -> Rule:
    return lambda call, given: reduce(function, [one for one in given if one is not None])


def _divided(a: Tensor, b: Tensor) -> Tensor:
    """Whole numbers are cut towards zero."""
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _mean(call: Call, given: Given) -> Tensor:
    some = [one for one in given if one is not None]
    return reduce(torch.add, some) / len(some)


def _power(a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b).to(a.dtype)


def _remainder(call: Call, given: Given) -> Tensor:
    function = torch.fmod if call.get("fmod", 0) else torch.remainder
    return function(present(given, 0), present(given, 1))


def _cast(call: Call, given: Given) -> Tensor:
    return present(given, 0).to(TYPES[int(call.get("to"))])


def _cast_like(call: Call, given: Given) -> Tensor:
    return present(given, 0).to(present(given, 1).dtype)


def _clip(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    least, most = (given[place] if len(given) > place else None for place in (1, 2))
    if least is None and call.get("min") is not None:
        least = x.new_tensor(call.get("min"))
    if most is None and call.get("max") is not None:
        most = x.new_tensor(call.get("max"))
    x = x if least is None else torch.maximum(x, least)
    return x if most is None else torch.minimum(x, most)


def _gelu(call: Call, given: Given) -> Tensor:
    return functional.gelu(present(given, 0), approximate=text(call.get("approximate", "none")))


def _biased_gelu(approximate: str) -> Rule:
    def rule(call: Call, given: Given) -> Tensor:
        bias = given[1] if len(given) > 1 else None
        return functional.gelu(present(given, 0) if bias is None else present(given, 0) + bias, approximate=approximate)

    return rule


def _quick_gelu(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return x * torch.sigmoid(call.get("alpha", 1.702) * x)


def _swish(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return x * torch.sigmoid(call.get("alpha", 1.0) * x)


def _hard_sigmoid(call: Call, given: Given) -> Tensor:
    return (call.get("alpha", 0.2) * present(given, 0) + call.get("beta", 0.5)).clamp(0, 1)


def _hard_swish(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return x * (x / 6 + 0.5).clamp(0, 1)


def _selu(call: Call, given: Given) -> Tensor:
    alpha, gamma = call.get("alpha", 1.6732632), call.get("gamma", 1.0507010)
    x = present(given, 0)
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))


def _celu(call: Call, given: Given) -> Tensor:
    return functional.celu(present(given, 0), alpha=call.get("alpha", 1.0))


def _elu(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return torch.where(x > 0, x, call.get("alpha", 1.0) * torch.expm1(x.clamp(max=0)))


def _leaky(call: Call, given: Given) -> Tensor:
    return functional.leaky_relu(present(given, 0), call.get("alpha", 0.01))


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _thresholded(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return torch.where(x > call.get("alpha", 1.0), x, x.new_zeros(()))


def _shrink(call: Call, given: Given) -> Tensor:
    x, bias, limit = present(given, 0), call.get("bias", 0.0), call.get("lambd", 0.5)
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, x.new_zeros(()))).to(x.dtype)


def _where(call: Call, given: Given) -> Tensor:
    return torch.where(present(given, 0), present(given, 1), present(given, 2))


def _is_infinite(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    above, below = call.get("detect_positive", 1), call.get("detect_negative", 1)
    return torch.isinf(x) & ((x > 0) & bool(above) | (x < 0) & bool(below))


def _dropout(call: Call, given: Given) -> tuple[Tensor, Tensor]:
    """Models are meant for inference, in which nothing is dropped."""
    x = present(given, 0)
    return x, torch.full_like(x, call.opset >= MASKED, dtype=torch.bool)


ELEMENTWISE: dict[str, Rule] = {
    **{
        name: _one(function)
        for name, function in {
            "Abs": torch.abs,
            "Acos": torch.acos,
            "Acosh": torch.acosh,
            "Asin": torch.asin,
            "Asinh": torch.asinh,
            "Atan": torch.atan,
            "Atanh": torch.atanh,
            "Ceil": torch.ceil,
            "Cos": torch.cos,
            "Cosh": torch.cosh,
            "Erf": torch.erf,
            "Exp": torch.exp,
            "Floor": torch.floor,
            "IsNaN": torch.isnan,
            "Log": torch.log,
            "Neg": torch.neg,
            "Not": torch.logical_not,
            "Reciprocal": torch.reciprocal,
            "Relu": torch.relu,
            "Round": torch.round,
            "Sigmoid": torch.sigmoid,
            "Sign": torch.sign,
            "Sin": torch.sin,
            "Sinh": torch.sinh,
            "Softplus": functional.softplus,
            "Softsign": functional.softsign,
            "Sqrt": torch.sqrt,
            "Tan": torch.tan,
            "Tanh": torch.tanh,
            "Mish": functional.mish,
            "BitwiseNot": torch.bitwise_not,
            "Identity": lambda x: x,
        }.items()
    },
    **{
        name: _two(function)
        for name, function in {
            "Add": torch.add,
            "Sub": torch.sub,
            "Mul": torch.mul,
            "Div": _divided,
            "Pow": _power,
            "PRelu": _prelu,
            "Equal": torch.eq,
            "Greater": torch.gt,
            "GreaterOrEqual": torch.ge,
            "Less": torch.lt,
            "LessOrEqual": torch.le,
            "And": torch.logical_and,
            "Or": torch.logical_or,
            "Xor": torch.logical_xor,
            "BitwiseAnd": torch.bitwise_and,
            "BitwiseOr": torch.bitwise_or,
            "BitwiseXor": torch.bitwise_xor,
        }.items()
    },
    "Max": _all(torch.maximum),
    "Min": _all(torch.minimum),
    "Sum": _all(torch.add),
    "Mean": _mean,
    "Mod": _remainder,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Gelu": _gelu,
    "Where": _where,
    "BiasGelu": _biased_gelu("none"),
    "FastGelu": _biased_gelu("tanh"),
    "QuickGelu": _quick_gelu,
    "Swish": _swish,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Selu": _selu,
    "Celu": _celu,
    "Elu": _elu,
    "LeakyRelu": _leaky,
    "ThresholdedRelu": _thresholded,
    "Shrink": _shrink,
    "IsInf": _is_infinite,
    "Dropout": _dropout,
}
