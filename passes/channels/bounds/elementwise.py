"""Bounds through operators that compute element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ....ir.graph.node import NodeView
from .deciding import DECIDING, broken
from .interval import Floats, Interval, tidied, where_sure

__all__ = ["ELEMENTWISE", "clipped"]

Transfer: TypeAlias = "Callable[[NodeView, Sequence[Interval]], Interval | None]"
Function: TypeAlias = "Callable[[Floats], Floats]"

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
FAST_GELU = 0.044715


def _sum(_: NodeView, given: Sequence[Interval]) -> Interval:
    low, high = given[0].low, given[0].high
    for one in given[1:]:
        low, high = low + one.low, high + one.high
    return Interval(low, high)


def _difference(_: NodeView, given: Sequence[Interval]) -> Interval:
    a, b = given
    return Interval(a.low - b.high, a.high - b.low)


def _product(view: NodeView, given: Sequence[Interval]) -> Interval:
    a, b = given
    # 0 times anything is 0, as it is for blocks: what is not finite is nobody's promise.
    ends = [_times(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Interval(np.minimum.reduce(ends), np.maximum.reduce(ends))


def _times(a: Floats, b: Floats) -> Floats:
    return np.where((a == 0) | (b == 0), 0.0, a * b)


def _quotient(view: NodeView, given: Sequence[Interval]) -> Interval:
    a, b = given
    found, apart = _product(view, (a, _inverse(b))), (b.low > 0) | (b.high < 0)
    return where_sure(apart, found.low, found.high)


def _inverse(b: Interval) -> Interval:
    apart = (b.low > 0) | (b.high < 0)
    return where_sure(apart, 1 / b.high, 1 / b.low)


def _negative(_: NodeView, given: Sequence[Interval]) -> Interval:
    return Interval(-given[0].high, -given[0].low)


def _reciprocal(_: NodeView, given: Sequence[Interval]) -> Interval:
    return _inverse(given[0])


def _mean(view: NodeView, given: Sequence[Interval]) -> Interval:
    total = _sum(view, given)
    return Interval(total.low / len(given), total.high / len(given))


def _largest(_: NodeView, given: Sequence[Interval]) -> Interval:
    low, high = given[0].low, given[0].high
    for one in given[1:]:
        low, high = np.maximum(low, one.low), np.maximum(high, one.high)
    return Interval(low, high)


def _smallest(_: NodeView, given: Sequence[Interval]) -> Interval:
    low, high = given[0].low, given[0].high
    for one in given[1:]:
        low, high = np.minimum(low, one.low), np.minimum(high, one.high)
    return Interval(low, high)


def clipped(view: NodeView, given: Sequence[Interval]) -> Interval:
    """Clip, whose ends are operands, or were attributes."""
    x, *ends = given
    low, high = x.low, x.high
    if len(view.node.inputs) == 1:
        least, most = (view.attribute(name, default) for name, default in (("min", -np.inf), ("max", np.inf)))
        return Interval(np.clip(low, least, most), np.clip(high, least, most))
    found = iter(ends)
    for index, choose in ((1, np.maximum), (2, np.minimum)):
        if view.operand(index) is not None:
            end = next(found)
            low, high = choose(low, end.low), choose(high, end.high)
    return Interval(low, high)


def _same(_: NodeView, given: Sequence[Interval]) -> Interval:
    return given[0]


def _power(_: NodeView, given: Sequence[Interval]) -> Interval | None:
    x, y = given
    both = x.known & y.known
    low = np.where(both, np.power(x.low, y.low), -np.inf)
    even = y.known & (y.low % 2 == 0) & (y.low > 0)
    return Interval(np.where(even & ~both, 0.0, low), np.where(both, low, np.inf))


def _absolute(_: NodeView, given: Sequence[Interval]) -> Interval:
    low, high = given[0].low, given[0].high
    crosses = (low < 0) & (high > 0)
    ends = np.abs(low), np.abs(high)
    return Interval(np.where(crosses, 0.0, np.minimum(*ends)), np.maximum(*ends))


def _rising(function: Callable[[NodeView], Function]) -> Transfer:
    """A function that never falls: its ends are those of its argument."""

    def transfer(view: NodeView, given: Sequence[Interval]) -> Interval:
        of = function(view)
        return Interval(of(given[0].low), of(given[0].high))

    return transfer


def _pointwise(function: Callable[[NodeView], Function], least: float = -np.inf, most: float = np.inf) -> Transfer:
    """Any function, of which only its bounds are known where its argument is no constant."""

    def transfer(view: NodeView, given: Sequence[Interval]) -> Interval:
        x = given[0]
        value = np.where(x.known, function(view)(np.where(x.known, x.low, 0.0)), 0.0)
        return Interval(np.where(x.known, value, least), np.where(x.known, value, most))

    return transfer


def _biased(function: Transfer) -> Transfer:
    """The same of the sum of two operands, or of one alone."""
    return lambda view, given: function(view, [tidied(_sum(view, given))])


def erf(x: Floats) -> Floats:
    """The error function, element by element."""
    from scipy.special import erf as of

    found: Floats = of(x)
    return found


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _gelu(view: NodeView) -> Function:
    text = view.attribute("approximate", "none")
    return _tanh_gelu if text == "tanh" else lambda x: x * (1 + erf(x / math.sqrt(2))) / 2


def _tanh_gelu(x: Floats) -> Floats:
    found: Floats = x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + FAST_GELU * x**3))) / 2
    return found


def _softplus(x: Floats) -> Floats:
    found: Floats = np.logaddexp(x, 0)
    return found


def _leaky(view: NodeView) -> Function:
    slope = float(view.attribute("alpha", 0.01))
    return lambda x: np.where(x > 0, x, slope * x)


def _elu(view: NodeView) -> Function:
    alpha = float(view.attribute("alpha", 1.0))
    return lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(view: NodeView) -> Function:
    alpha = float(view.attribute("alpha", 1.0))
    return lambda x: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _selu(view: NodeView) -> Function:
    alpha, gamma = float(view.attribute("alpha", SELU_ALPHA)), float(view.attribute("gamma", SELU_GAMMA))
    scaled = gamma * alpha
    return lambda x: np.where(x > 0, gamma * x, scaled * np.expm1(np.minimum(x, 0)))


def _hard_sigmoid(view: NodeView) -> Function:
    alpha, beta = float(view.attribute("alpha", 0.2)), float(view.attribute("beta", 0.5))
    return lambda x: np.clip(alpha * x + beta, 0, 1)


def _swish(view: NodeView) -> Function:
    alpha = float(view.attribute("alpha", 1.702 if view.node.op_type == "QuickGelu" else 1.0))
    return lambda x: x * _sigmoid(alpha * x)


def _prelu(_: NodeView, given: Sequence[Interval]) -> Interval:
    x, slope = given
    positive = Interval(np.maximum(x.low, 0), np.maximum(x.high, 0))
    negative = _product(_, (Interval(np.minimum(x.low, 0), np.minimum(x.high, 0)), slope))
    return Interval(positive.low + negative.low, positive.high + negative.high)


def _plain(function: Function) -> Callable[[NodeView], Function]:
    return lambda _: function


def _with(own: Callable[[NodeView], Function], sign: Callable[[NodeView], bool]) -> Transfer:
    """A function that rises where its attributes say so."""
    rising, other = _rising(own), _pointwise(own)
    return lambda view, given: (rising if sign(view) else other)(view, given)


def _threshold(view: NodeView) -> Function:
    alpha = float(view.attribute("alpha", 1.0))
    return lambda x: np.where(x > alpha, x, 0.0)


def _shrunk(view: NodeView) -> Function:
    bias, lambd = float(view.attribute("bias", 0.0)), float(view.attribute("lambd", 0.5))
    return lambda x: np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0.0))


def _rises(view: NodeView) -> bool:
    return bool(view.attribute("alpha", 1.0) >= 0 and view.attribute("gamma", 1.0) >= 0)


def _cast(view: NodeView, given: Sequence[Interval]) -> Interval | None:
    """To another type of float; numbers that become integers are cut off, which rounding may decide."""
    return given[0] if view.attribute("to") in FLOAT_TYPES else None


FLOAT_TYPES = (1, 10, 11, 16)  # float32, float16, float64, bfloat16 in ONNX's own numbers

ELEMENTWISE: dict[str, Any] = {
    **DECIDING,
    **dict.fromkeys(("Add", "Sum"), _sum),
    **dict.fromkeys(("Identity", "Dropout"), _same),
    "Sub": _difference,
    "Mul": _product,
    "Div": _quotient,
    "Neg": _negative,
    "Reciprocal": _reciprocal,
    "Mean": _mean,
    "Max": _largest,
    "Min": _smallest,
    "Clip": clipped,
    "Cast": _cast,
    "Pow": _power,
    "Abs": _absolute,
    "PRelu": _prelu,
    "Relu": _rising(_plain(lambda x: np.maximum(x, 0))),
    "Tanh": _rising(_plain(np.tanh)),
    "Sigmoid": _rising(_plain(_sigmoid)),
    "Erf": _rising(_plain(erf)),
    "Exp": _rising(_plain(np.exp)),
    "Softplus": _rising(_plain(_softplus)),
    "Sqrt": _rising(_plain(np.sqrt)),
    "LeakyRelu": _with(_leaky, _rises),
    "Elu": _with(_elu, _rises),
    "Celu": _rising(_celu),
    "Selu": _with(_selu, _rises),
    "HardSigmoid": _with(_hard_sigmoid, _rises),
    "Softsign": _pointwise(_plain(lambda x: x / (1 + np.abs(x))), -1, 1),
    "Gelu": _pointwise(_gelu),
    "BiasGelu": _biased(_pointwise(_gelu)),
    "FastGelu": _biased(_pointwise(_plain(_tanh_gelu))),
    **dict.fromkeys(("QuickGelu", "Swish"), _pointwise(_swish)),
    "Mish": _pointwise(_plain(lambda x: x * np.tanh(_softplus(x)))),
    "HardSwish": _pointwise(_plain(lambda x: x * np.clip(x / 6 + 0.5, 0, 1))),
    "ThresholdedRelu": broken(_threshold, lambda view: [float(view.attribute("alpha", 1.0))]),
    "Shrink": broken(_shrunk, lambda view: [sign * float(view.attribute("lambd", 0.5)) for sign in (-1, 1)]),
    "Log": _rising(_plain(np.log)),
    "Atan": _rising(_plain(np.arctan)),
    "Asinh": _rising(_plain(np.arcsinh)),
    "Sinh": _rising(_plain(np.sinh)),
    "Asin": _rising(_plain(np.arcsin)),
    "Atanh": _rising(_plain(np.arctanh)),
    "Acosh": _rising(_plain(np.arccosh)),
    "Acos": _pointwise(_plain(np.arccos), 0, 4),
    "Tan": _pointwise(_plain(np.tan)),
    "Cosh": _pointwise(_plain(np.cosh), 1),
    "Sin": _pointwise(_plain(np.sin), -1, 1),
    "Cos": _pointwise(_plain(np.cos), -1, 1),
}
