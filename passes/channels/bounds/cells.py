"""Recurrent operators: which hidden units always hold zero, and bounds of what the others come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.axes.axis_rule import RuleView
from ....ir.graph.node import FLOATS
from ....ir.graph.operators import MOVES_WHOLE, MOVING, RECURRENT, is_standard
from ....ir.graph.recurrent import (
    BIAS,
    FUNCTIONS,
    GATES,
    INITIAL_C,
    INITIAL_H,
    MINIMUM,
    OUTPUTS,
    PEEPHOLES,
    directions,
)
from ....ir.onnx_ir import onnx_ir as ir
from .interval import Bools, Interval
from .products import weight_of

__all__ = ["RECURRENCE", "RecurrentCells", "cells_of"]

RECURRENCE = 2  # the operand R

STATE = {"RNN": 0, "GRU": 2, "LSTM": 3}  # the gate that makes a new state, of which the others take a share
SHARES = frozenset({"hardsigmoid", "sigmoid"})  # of what they are multiplied by
ODD = frozenset({"relu", "tanh"})  # make zero of zero
DEFAULTS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
MOVES = (MOVING - {"Concat"}) | MOVES_WHOLE | {"Reshape"}


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentCells:
    """A recurrent operator whose weights W, R, B and peepholes are constant, all directions of it.

    zero: (directions, hidden), units whose state is zero from the first step to the last; functions: of each direction,
    in small letters.
    """

    view: RuleView
    count: int
    hidden: int
    features: int
    functions: tuple[tuple[str, ...], ...]
    zero: Bools

    @property
    def gates(self) -> int:
        """Rows of each weight that a hidden unit has."""
        return GATES[self.view.node.op_type]

    def starts_at_zero(self, index: int) -> bool:
        """Whether the initial states at an operand are all zero, or left out."""
        value = self.view.operand(index)
        return value is None or _is_zero(self.view, value)

    def bounds(self) -> list[Interval | None]:
        """What is known of Y (positions, directions, batch, hidden), Y_h and Y_c; zeros stand behind a sequence."""
        most = np.stack([np.full(self.hidden, _most(self.view.node.op_type, names)) for names in self.functions])
        if self.view.node.op_type == "GRU" and not self.starts_at_zero(INITIAL_H):
            most = most + np.inf  # a state is between the one before it and a new one
        most = np.where(self.zero, 0.0, most)[None, :, None, :]
        last = most[0] if self.starts_at_zero(INITIAL_H) else np.where(self.zero, 0.0, np.inf)[:, None, :]
        cell = np.where(self.zero, 0.0, np.inf)[:, None, :]
        found = [Interval(-side, side) for side in (most, last, cell)]
        return [*found[: len(self.view.node.outputs)]]


def _most(op: str, names: tuple[str, ...]) -> float:
    """The largest state that a cell makes."""
    if op == "RNN":
        return 1.0 if names[0] == "tanh" else np.inf
    return 1.0 if names[0] == "sigmoid" and names[-1] == "tanh" else np.inf


def cells_of(view: RuleView, x: Interval | None) -> RecurrentCells | None:
    """A recurrent operator as its units are looked at; None where its weights are computed, or of an unusual form."""
    node, op = view.node, view.node.op_type
    if not is_standard(node) or op not in RECURRENT or view.constants.opset < MINIMUM or view.attribute("layout", 0):
        return None
    weights = [weight_of(view, index) for index in (1, 2)]
    ways, read = directions(node), view.operand(0)
    if None in weights or read is None or read in view.constants or not ways or len(node.outputs) > OUTPUTS[op]:
        return None
    (shape, kind), (recurrent, other) = (view.constants.describe(value) for value in weights if value is not None)
    if len(shape) != 3 or len(recurrent) != 3 or kind != other or kind not in FLOATS:
        return None
    hidden, count = recurrent[2], len(ways)
    rows = GATES[op] * hidden
    if (
        shape[:2] != (count, rows)
        or recurrent != (count, rows, hidden)
        or view.attribute("hidden_size", hidden) != hidden
    ):
        return None
    for index, size in ((BIAS, 2 * rows), (PEEPHOLES, 3 * hidden)):
        told = weight_of(view, index)
        if view.operand(index) is not None and (told is None or view.constants.describe(told)[0] != (count, size)):
            return None
    functions = _functions(view, count)
    if functions is None:
        return None
    zero: Bools = np.zeros((count, hidden), bool)
    found = RecurrentCells(view, count, hidden, shape[2], functions, zero)
    return replace(found, zero=np.stack([_zero(found, way, x) for way in range(count)]))


def _functions(view: RuleView, count: int) -> tuple[tuple[str, ...], ...] | None:
    """The activation functions of each direction; None where they do not fit."""
    op = view.node.op_type
    names = [str(name).lower() for name in view.attribute("activations", ())] or [*DEFAULTS[op]] * count
    each = FUNCTIONS[op]
    if op == "RNN" and count == 1:
        names = names[:1]  # an exporter wrote both, of which one is read
    if len(names) != count * each:
        return None
    return tuple(tuple(names[way * each : (way + 1) * each]) for way in range(count))


def _zero(cells: RecurrentCells, way: int, x: Interval | None) -> Bools:
    """The units of one direction that hold zero at every step: those that start there, and whose new state is made of
    nothing but zeros and of one another."""
    #     LSTM   c = f c + i g(w x + r h + b)    0 = f 0 + i g(0)      of g(0) = 0, whatever f and i are
    #     GRU    h = z h + (1 - z) g(w x + …)    0 = z 0 + (1 - z) g(0)
    view, op, names = cells.view, cells.view.node.op_type, cells.functions[way]
    none: Bools = np.zeros(cells.hidden, bool)
    if any(name not in ODD for name in names[1:] or names) or (op != "RNN" and names[0] not in SHARES):
        return none
    own = slice(STATE[op] * cells.hidden, (STATE[op] + 1) * cells.hidden)
    W, R = (_read(view, index)[way, own] for index in (1, 2))
    silent: Bools = np.zeros(cells.features, bool)
    if x is not None and x.rank == 3:
        low, high = x.along(2, cells.features)
        silent = (low == 0) & (high == 0)
    zero: Bools = ~np.asarray(W[:, ~silent].any(axis=1))
    if view.operand(BIAS) is not None:
        zero &= ~_read(view, BIAS)[way].reshape(2, cells.gates, cells.hidden)[:, STATE[op]].any(axis=0)
    for index in (INITIAL_H, INITIAL_C):
        zero &= _starts(cells, index, way)
    while zero.any() and (wakes := R[np.ix_(zero, ~zero)].any(axis=1)).any():
        zero[np.flatnonzero(zero)[wakes]] = False
    return zero


def _starts(cells: RecurrentCells, index: int, way: int) -> Bools:
    """Which units start at zero, as one operand tells it."""
    value = cells.view.operand(index)
    all_: Bools = np.ones(cells.hidden, bool)
    if value is None or _is_zero(cells.view, value):
        return all_
    if value not in cells.view.constants:
        return ~all_
    held = _read(cells.view, index)
    fits = held.ndim == 3 and held.shape[0] == cells.count and held.shape[2] == cells.hidden
    return ~held[way].any(axis=0) if fits else ~all_


def _read(view: RuleView, index: int) -> npt.NDArray[Any]:
    value = view.operand(index)
    assert value is not None
    return view.constants.read(value)


def _is_zero(view: RuleView, value: ir.Value) -> bool:
    """Whether a value is zeros of some extents that a model computes, as exporters write initial states."""
    while value not in view.constants:
        node = value.producer()
        if node is None or not is_standard(node):
            return False
        if node.op_type == "ConstantOfShape":
            held = node.attributes.get("value")
            return held is None or not held.as_tensor().numpy().any()
        if node.op_type not in MOVES or not node.inputs or node.inputs[0] is None:
            return False
        value = node.inputs[0]
    return not view.constants.read(value).any()
