"""The post transforms of scores in plain operators, with the formulas that ONNX Runtime has for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ..trees.writer import Writer
from .ensemble import PostTransform

__all__ = ["transformed"]

NEAR_ZERO = 1e-7  # below this SOFTMAX_ZERO leaves a score a zero
WINITZKI = (np.float32(2) / (np.float32(3.14159) * np.float32(0.147)), np.float32(1) / np.float32(0.147))
ROOT_OF_TWO = np.float32(1.41421356)


def transformed(writer: Writer, transform: PostTransform, scores: ir.Value) -> ir.Value:
    """Append the operators; returns what becomes of scores (N, targets)."""
    if transform is PostTransform.NONE:
        return scores
    formula: Callable[[_Formula, ir.Value], ir.Value] = {
        PostTransform.LOGISTIC: _logistic,
        PostTransform.SOFTMAX: _softmax,
        PostTransform.SOFTMAX_ZERO: _softmax_zero,
        PostTransform.PROBIT: _probit,
    }[transform]
    return formula(_Formula(writer, transform.name.lower()), scores)


class _Formula:
    """Operators of one role, as functions."""

    def __init__(self, writer: Writer, role: str) -> None:
        self._writer, self._role = writer, role

    def __call__(self, op: str, *operands: ir.Value | float | np.float32, **attributes: int) -> ir.Value:
        values = [
            one
            if isinstance(one, ir.Value)
            else self._writer.constant(np.array([one], np.float32), f"{self._role}/constant")
            for one in operands
        ]
        return self._writer.one(op, values, self._role, **attributes)

    def most(self, scores: ir.Value) -> ir.Value:
        """The largest score of each row (N, 1)."""
        return self._writer.reduced("ReduceMax", scores, 1, self._role, keepdims=True)

    def total(self, scores: ir.Value) -> ir.Value:
        """The sum of each row (N, 1)."""
        return self._writer.reduced("ReduceSum", scores, 1, self._role, keepdims=True)


def _logistic(f: _Formula, scores: ir.Value) -> ir.Value:
    """1 / (1 + exp(-|s|)), or one minus that."""
    above = f("Div", 1.0, f("Add", f("Exp", f("Neg", f("Abs", scores))), 1.0))
    return f("Where", f("Less", scores, 0.0), f("Sub", 1.0, above), above)


def _softmax(f: _Formula, scores: ir.Value) -> ir.Value:
    powers = f("Exp", f("Sub", scores, f.most(scores)))
    return f("Div", powers, f.total(powers))


def _softmax_zero(f: _Formula, scores: ir.Value) -> ir.Value:
    """The same without scores of zero, which stay what they are but for a factor."""
    most = f.most(scores)
    powers = f("Exp", f("Sub", scores, most))
    kept = f("Mul", scores, f("Exp", f("Neg", most)))
    parts = f("Where", f("Greater", f("Abs", scores), NEAR_ZERO), powers, kept)
    return f("Div", parts, f.total(parts))


def _probit(f: _Formula, scores: ir.Value) -> ir.Value:
    """The quantile of the normal distribution, by Winitzki's approximation of the inverse error function."""
    x = f("Sub", f("Mul", scores, 2.0), 1.0)
    log = f("Log", f("Mul", f("Sub", 1.0, x), f("Add", x, 1.0)))
    v = f("Add", f("Mul", log, 0.5), WINITZKI[0])
    root = f("Sqrt", f("Sub", f("Mul", v, v), f("Mul", log, WINITZKI[1])))
    size = f("Sqrt", f("Sub", root, v))
    sign = f("Where", f("Less", x, 0.0), -1.0, 1.0)
    return f("Mul", f("Mul", sign, size), ROOT_OF_TWO)
