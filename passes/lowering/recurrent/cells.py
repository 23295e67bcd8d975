"""The `cells` lowering: a recurrent operator once for each block of its states, on the features that block reads.

Nothing of an RNN, GRU or LSTM but its two products joins hidden units: biases, peepholes, clipping, activation
functions and the combination of gates are elementwise. The reset gate of a GRU is applied before its product
(linear_before_reset = 0) to the previous states, so gate r_j reaches the units that j has an edge to and no others. A
block of units that no edge leaves or enters therefore is an operator of its own, with fewer hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.recurrent import (
    ALPHA,
    BETA,
    BIAS,
    FUNCTIONS,
    INITIAL_C,
    INITIAL_H,
    LENGTHS,
    PEEPHOLES,
    Recurrent,
    slots,
)
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ...decompose.recurrent import HiddenBlock, hidden_block
from ..nodes.emitter import Emitter
from ..nodes.primitives import join, reorder

__all__ = ["emit_blocks", "emit_whole", "join_directions"]

Array = npt.NDArray[Any]
FEATURE_AXIS = (3, 2, 2)  # of Y (positions, directions, batch, H), Y_h and Y_c (directions, batch, H)
DIRECTION_AXIS = (1, 0, 0)


def join_directions(emitter: Emitter, results: Sequence[Mapping[int, ir.Value]]) -> dict[int, ir.Value]:
    """What replaces each output of a recurrent operator that is read, from that of all its directions, in order."""
    if len(results) == 1:
        return dict(results[0])
    return {
        place: emitter.one("Concat", [r[place] for r in results], "directions", axis=DIRECTION_AXIS[place])
        for place in results[0]
    }


def emit_whole(emitter: Emitter, constants: Constants) -> dict[int, ir.Value]:
    """The emitter's direction as one operator of its own; returns what replaces each output that is read."""
    way = emitter.cell
    everything = HiddenBlock(np.arange(way.features), np.arange(way.hidden))
    return _cell(_Cutter(emitter, way, constants), everything, "direction", way.activation)


def emit_blocks(emitter: Emitter, constants: Constants, decomposition: Decomposition, most: int) -> dict[int, ir.Value]:
    """The blocks of the emitter's direction, joined, each unit in its place; returns what replaces each output that is
    read. most: how many values one Concat may join."""
    way = emitter.cell
    cutter = _Cutter(emitter, way, constants)
    blocks = [hidden_block(block, way.features) for block in decomposition.blocks]
    pieces = _pieces(cutter, blocks)
    cells = [
        _cell(cutter, block, f"block.{index}", piece)
        for index, (block, piece) in enumerate(zip(blocks, pieces, strict=True))
    ]
    order = np.concatenate([block.hidden for block in blocks])
    joined = {place: join(emitter, [cell[place] for cell in cells], FEATURE_AXIS[place], most) for place in way.used}
    return {place: reorder(emitter, value, order, FEATURE_AXIS[place]) for place, value in joined.items()}


def _pieces(cutter: _Cutter, blocks: Sequence[HiddenBlock]) -> list[ir.Value]:
    """What each block reads of X: a part of a Split where blocks follow one another, else gathered."""
    emitter, x = cutter.emitter, cutter.way.activation
    joined = np.concatenate([block.features for block in blocks])
    in_order = joined.size == cutter.way.features and bool((joined == np.arange(joined.size)).all())
    sizes = [block.features.size for block in blocks]
    if in_order and len(blocks) > 1 and all(sizes):
        if emitter.opset >= 13:
            return emitter.node("Split", [x, emitter.integers(sizes, "split/sizes")], "split", {"axis": 2}, len(sizes))
        return emitter.node("Split", [x], "split", {"axis": 2, "split": sizes}, len(sizes))
    return [cutter.gather(x, block.read, cutter.way.features, 2, f"block.{i}") for i, block in enumerate(blocks)]


def _cell(cutter: _Cutter, block: HiddenBlock, role: str, x: ir.Value) -> dict[int, ir.Value]:
    """The operator with the hidden units of one block."""
    emitter, way = cutter.emitter, cutter.way
    H, gates, unit = way.hidden, way.gates, block.hidden
    inputs: list[ir.Value | None] = [
        x,
        emitter.constant(cutter.weight(block), f"{role}/weight"),
        emitter.constant(cutter.recurrence(block), f"{role}/recurrence"),
        cutter.cut(BIAS, slots(unit, 2 * gates, H), 2 * gates * H, 1, f"{role}/bias"),
        way.operand(LENGTHS),
        cutter.cut(INITIAL_H, unit, H, 2, f"{role}/initial_h"),
        cutter.cut(INITIAL_C, unit, H, 2, f"{role}/initial_c"),
        cutter.cut(PEEPHOLES, slots(unit, 3, H), 3 * H, 1, f"{role}/peepholes"),
    ]
    while inputs[-1] is None:
        inputs.pop()
    count = way.used[-1] + 1
    unused = set(range(count)) - set(way.used)
    values = emitter.node(way.op, inputs, role, _attributes(way, unit.size), count, unused=unused)
    return {place: values[place] for place in way.used}


@dataclass(frozen=True, eq=False)
class _Cutter:
    """Cuts the operands of one direction down to some of its units."""

    emitter: Emitter
    way: Recurrent
    constants: Constants

    @cached_property
    def _stored(self) -> tuple[Array, Array]:
        return self.way.stored(self.constants)

    @cached_property
    def _selected(self) -> dict[int, ir.Value]:
        return {}

    def weight(self, block: HiddenBlock) -> Array:
        """W of a block (1, gates x H_b, I_b); a column of zeros where it reads no feature."""
        W = self._stored[0][:, block.hidden][:, :, block.read]
        if not block.features.size:  # the operator needs something to read
            W = np.zeros_like(W)
        return W.reshape(1, -1, block.read.size)

    def recurrence(self, block: HiddenBlock) -> Array:
        """R of a block (1, gates x H_b, H_b)."""
        return self._stored[1][:, block.hidden][:, :, block.hidden].reshape(1, -1, block.hidden.size)

    def cut(self, index: int, rows: Array, size: int, axis: int, role: str) -> ir.Value | None:
        """Some rows along `axis` of one direction of an operand whose first axis is directions."""
        value = self.way.operand(index)
        if value is None:
            return None
        if value in self.constants:
            array = self.constants.read(value)[self.way.index : self.way.index + 1]
            return self.emitter.constant(np.take(array, rows, axis), role)
        if self.way.count > 1:
            value = self._one_direction(index, value)
        return self.gather(value, rows, size, axis, role)

    def gather(self, value: ir.Value, rows: Array, size: int, axis: int, role: str) -> ir.Value:
        """Some rows of a value along an axis of `size`; the value itself where they are all of them."""
        if rows.size == size and (rows == np.arange(size)).all():
            return value
        return self.emitter.one("Gather", [value, self.emitter.integers(rows, f"{role}/rows")], role, axis=axis)

    def _one_direction(self, index: int, value: ir.Value) -> ir.Value:
        if index not in self._selected:
            place = self.emitter.integers([self.way.index], "direction/index")
            self._selected[index] = self.emitter.one("Gather", [value, place], "direction", axis=0)
        return self._selected[index]


def _attributes(way: Recurrent, hidden: int) -> dict[str, Any]:
    """The operator's attributes, for one direction and so many hidden units."""
    attributes: dict[str, Any] = dict(way.node.attributes)
    attributes |= {"hidden_size": hidden, "direction": way.direction}
    if way.count > 1:
        attributes |= _functions(way)
    return {name: value for name, value in attributes.items() if value is not None}


def _functions(way: Recurrent) -> dict[str, Any]:
    """The activation functions of one of several directions, with their parameters; None for those not given.

    Parameters are handed to those functions that take one, in order. Where some runtime reads those of an RNN by
    direction and that makes a difference, the operator is left alone.
    """
    given = {
        name: list(way.node.attributes[name].value) if name in way.node.attributes else []
        for name in ("activations", "activation_alpha", "activation_beta")
    }
    each = FUNCTIONS[way.op]
    first, last = way.index * each, (way.index + 1) * each
    names = given["activations"]
    found: dict[str, Any] = {"activations": names[first:last]}
    for name, takers in (("activation_alpha", ALPHA), ("activation_beta", BETA)):
        taken = [function.lower() in takers for function in names]
        found[name] = given[name][sum(taken[:first]) : sum(taken[:last])]
    return {name: values or None for name, values in found.items()}
