"""Outputs of frames of which a filter before them leaves little, as that which speech is emphasised with does.

    x[t] = e[t] - c · e[t - 1]      leaves 1 - c of the lowest frequency, and 1 + c of the highest one

Stages sum places that lie far apart: loud frequencies come together with quiet ones until the last stage tells them
apart, and leave their rounding there. A sum over all places in their order has little of it, as neighbours cancel. So
quiet outputs are better computed whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.graph.operators import SIGNAL_JOINING, SIGNAL_MOVING, is_standard
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["QUIET", "QUIET_TRANSFORM", "emphasis", "filter_nodes", "quiet_outputs"]

Indices: TypeAlias = npt.NDArray[np.int64]

FURTHEST = 32  # operators between a filter and frames
# Of the root of the mean power. Stages leave about as much rounding in each output: below a third of it that is more
# than twice what a whole sum of 512 rounds off, whose error shrinks with the output; operators that transform round
# more than such sums.
QUIET, QUIET_TRANSFORM = 1 / 3, 1 / 5


def emphasis(signal: ir.Value, constants: Constants) -> float:
    """The coefficient c of a filter x[t] = e[t] - c · e[t - 1] that a signal went through; 0 for none."""
    found = _filter(signal, constants)
    return 0.0 if found is None else found[0]


def filter_nodes(signal: ir.Value, constants: Constants) -> set[ir.Node]:
    """The operators of that filter, and those that moved the signal since and before; none where there is no filter."""
    if (found := _filter(signal, constants)) is None:
        return set()
    _, *operands = found
    values = {*_before(signal, SIGNAL_MOVING | SIGNAL_JOINING)}
    values.update(*(_before(one, SIGNAL_MOVING) for one in operands))
    return {node for value in values if (node := value.producer()) is not None and value not in constants}


def _filter(signal: ir.Value, constants: Constants) -> tuple[float, ir.Value, ir.Value, ir.Value] | None:
    """The coefficient of such a filter, what its difference is of, and what it multiplies; None where there is none."""
    for value in _before(signal, SIGNAL_MOVING | SIGNAL_JOINING):
        node = value.producer()
        if node is None or node.op_type != "Sub" or not is_standard(node):
            continue
        whole, less = node.inputs
        if whole is None or less is None or (found := _scaled(less, constants)) is None:
            continue
        coefficient, source = found
        if 0 < coefficient < 1 and set(_before(source, SIGNAL_MOVING)) & set(_before(whole, SIGNAL_MOVING)):
            return coefficient, whole, less, source
    return None


def quiet_outputs(weight: npt.NDArray[np.float32], coefficient: float, least: float = QUIET) -> Indices:
    """The outputs of a weight (n, outputs) in which white noise is hardly heard, once it went through such a filter.

    least: the share of the root of their mean power below which they are.

    >>> angles = 2 * np.pi / 64 * np.outer(np.arange(64), np.arange(33))
    >>> quiet_outputs((np.hanning(64)[:, None] * np.cos(angles)).astype(np.float32), 0.97).tolist()
    [0, 1, 2, 3, 4]
    """
    if not coefficient:
        return np.empty(0, np.int64)
    whole = np.pad(weight.astype(np.float64), ((1, 1), (0, 0)))
    heard = np.linalg.norm(whole[:-1] - coefficient * whole[1:], axis=0)  # what every e[t] is multiplied with
    return np.flatnonzero(heard < least * math.sqrt(1 + coefficient**2) * np.linalg.norm(whole, axis=0))


def _before(value: ir.Value, through: frozenset[str]) -> Iterator[ir.Value]:
    """A value and what it was made of by some operators, the nearest first."""
    waiting, seen = [value], {value}
    while waiting and len(seen) <= FURTHEST:
        yield (one := waiting.pop(0))
        node = one.producer()
        if node is None or node.op_type not in through or not is_standard(node):
            continue
        operands = node.inputs if node.op_type in SIGNAL_JOINING else node.inputs[:1]
        for operand in operands:
            if operand is not None and operand not in seen:
                seen.add(operand)
                waiting.append(operand)


def _scaled(value: ir.Value, constants: Constants) -> tuple[float, ir.Value] | None:
    """The number that a value is multiplied with, and the value; None where it is no such product."""
    for one in _before(value, SIGNAL_MOVING):
        node = one.producer()
        if node is None or node.op_type != "Mul" or not is_standard(node):
            continue
        for number, other in (node.inputs, node.inputs[::-1]):
            if number is None or other is None or number not in constants:
                continue
            if math.prod(constants.describe(number)[0]) == 1:
                return float(np.asarray(constants.read(number), np.float64).reshape(())), other
    return None
