"""Forests compiled to other operators, found in the main graph of a model and read back exactly.

Values are followed forward from the features of the rows. What an operator makes of them is known for every batch and
every row, or it is not known at all: nothing is tried out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ....ir.errors import ModelError
from ....ir.graph.constants import Constants
from ....ir.graph.node import NodeView
from ....ir.graph.operators import RESHAPING, SELECTING, is_standard
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ..trees.ending import Ending
from ..trees.forest import Forest
from ..trees.to_ensemble import JOINED, version
from .endings import Ended, ended
from .grow import NotATreeError, forest_of
from .layout import OpenLayout
from .sizes import Sizes, sizes_of
from .step import COMPARISONS, Known, followed
from .symbols import Frontier, PickedRows, Scores, Symbol

__all__ = ["Compiled", "NoForest", "compiled_forests", "may_hold_forests"]

MOVING = RESHAPING - {"Flatten"} | {"Transpose"} | {"Identity"}
FARTHEST = 8  # moving operators between a selection and its comparison


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Compiled:
    """A forest that other operators compute: rows, the features; layout: of its sums; summing: what computes these, in
    order; elements: of the result of each of these, for a row; ended: what becomes of the sums that one operator does
    as well; gathers: whether places are looked up rather than multiplied."""

    forest: Forest
    rows: ir.Value
    layout: OpenLayout
    summing: tuple[ir.Node, ...]
    elements: tuple[int, ...]
    ended: Ended
    gathers: bool

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """All that one operator replaces, in order."""
        return self.summing + self.ended.nodes

    @property
    def sha256(self) -> str:
        """The SHA-256, as hexadecimal digits, of all that is computed."""
        own, ending = self.forest.sha256, self.ended.ending
        return own if ending.is_nothing else hashlib.sha256(f"{own} {ending.digest}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class NoForest:
    """Operators that look like a compiled forest, and why they are left as they are."""

    nodes: tuple[ir.Node, ...]
    reason: Reason


def compiled_forests(model: ir.Model, constants: Constants) -> list[Compiled | NoForest]:
    """The forests of the main graph, each with all that computes it; reads and changes nothing."""
    nodes = list(model.graph)
    found: list[Compiled | NoForest] = []
    for rows, selecting in _candidates(nodes, constants).items():
        known = _Followed.of(rows, nodes, selecting, constants)
        if known is not None:
            found += known.forests(nodes, constants if version(model) < JOINED else None)
    return found


def may_hold_forests(model: ir.Model) -> bool:
    """Whether anything in the main graph looks like the tests of a compiled forest, whatever shapes there are."""
    return any(
        selecting is not None and selecting.op_type in SELECTING
        for node in model.graph
        if node.op_type in COMPARISONS and is_standard(node)
        for selecting in map(_behind, node.inputs)
    )


def _candidates(nodes: list[ir.Node], constants: Constants) -> dict[ir.Value, set[ir.Node]]:
    """Values whose features may be selected and compared with constants, and what selects them."""
    found: dict[ir.Value, set[ir.Node]] = {}
    for node in nodes:
        if node.op_type not in COMPARISONS or not is_standard(node):
            continue
        for operand in node.inputs:
            selecting = _behind(operand)
            if selecting is None or selecting.op_type not in SELECTING:
                continue
            for value in selecting.inputs[:2]:
                if value is not None and value not in constants:
                    rows = _source(value)
                    if _is_table(rows):
                        found.setdefault(rows, set()).add(selecting)
    return found


def _behind(value: ir.Value | None) -> ir.Node | None:
    """What computes a value, moving operators aside."""
    node = None if value is None else value.producer()
    for _ in range(FARTHEST):
        if node is None or node.op_type not in MOVING or node.inputs[0] is None:
            return node
        node = node.inputs[0].producer()
    return None


def _source(value: ir.Value) -> ir.Value:
    """The value that a Transpose or copies were made of."""
    for _ in range(FARTHEST):
        node = value.producer()
        if node is None or node.op_type not in ("Transpose", "Identity") or node.inputs[0] is None:
            break
        value = node.inputs[0]
    return value


def _is_table(value: ir.Value) -> bool:
    """Whether a value has rows of a known number of features, of the one type that is followed."""
    shape = shape_of(value)
    known = shape is not None and len(shape) == 2 and isinstance(shape[1], int) and shape[1] > 0
    return bool(known and value.dtype == ir.DataType.FLOAT)


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """All that is known of what follows from the features of some rows."""

    rows: ir.Value
    symbols: dict[ir.Value, Symbol]
    sizes: dict[ir.Value, Sizes]

    @staticmethod
    def of(rows: ir.Value, nodes: list[ir.Node], selecting: set[ir.Node], constants: Constants) -> _Followed | None:
        shape = shape_of(rows)
        assert shape is not None and isinstance(shape[1], int)
        start = PickedRows(OpenLayout.of((1, shape[1]), 0), np.arange(shape[1]))
        symbols: dict[ir.Value, Symbol] = {rows: start}
        sizes: dict[ir.Value, Sizes] = {}
        for node in nodes:
            if not is_standard(node) or len(node.outputs) != 1 or not node.inputs:
                continue
            if not any(value in symbols or value in sizes for value in node.inputs):
                continue
            first = node.op_type in ("MatMul", "Gemm") and any(
                v in symbols and isinstance(symbols[v], PickedRows) for v in node.inputs
            )
            if first and node not in selecting:
                continue  # its weight is read only where its result is compared
            view, output = NodeView(node, constants), node.outputs[0]
            try:
                held = sizes_of(view, sizes, symbols)
                if held is not None:
                    sizes[output] = held
                elif (symbol := followed(view, Known(symbols, sizes))) is not None:
                    symbols[output] = symbol
            except (ModelError, IndexError, OverflowError, ValueError):
                continue  # a constant that cannot be read, an axis that is not there, more leaves than any forest has
        return _Followed(rows, symbols, sizes)

    def forests(self, nodes: list[ir.Node], constants: Constants | None) -> Iterator[Compiled | NoForest]:
        """What each of the last scores is, in order; constants: None where the operator does nothing with its sums."""
        ends = [value for node in nodes for value in node.outputs if isinstance(self.symbols.get(value), Scores)]
        for scores in ends:
            if not any(self._is_end(node.outputs[0]) for node in scores.consumers()) and self._is_end(scores):
                yield self._forest(scores, nodes, constants)

    def _is_end(self, value: ir.Value) -> bool:
        """Whether a value is scores with the batch in front, that a TreeEnsemble can compute."""
        symbol = self.symbols.get(value)
        return isinstance(symbol, Scores) and symbol.layout.is_clean and symbol.layout.axis == 0

    def _forest(self, sums: ir.Value, nodes: list[ir.Node], constants: Constants | None) -> Compiled | NoForest:
        inside = self._inside(sums)
        own = tuple(node for node in nodes if node in inside)
        symbol = self.symbols[sums]
        assert isinstance(symbol, Scores)
        for node in own:
            value = node.outputs[0]
            if value is sums:
                continue
            if value.is_graph_output() or any(reader not in inside for reader in value.consumers()):
                return NoForest(own, Reason(Cause.OUT_OF_REACH, f"{value.name!r} inside the forest is read elsewhere"))
        start = self.symbols[self.rows]
        assert isinstance(start, PickedRows)
        try:
            forest = forest_of(symbol, start.feature.size)
        except NotATreeError as error:
            return NoForest(own, Reason(Cause.CONNECTED, f"its products are no forest: {error}"))
        nothing = Ended(ending=Ending(), scores=sums)
        return Compiled(
            forest=forest,
            rows=self.rows,
            layout=symbol.layout,
            summing=own,
            elements=tuple(map(self._elements, own)),
            ended=nothing if constants is None else ended(sums, symbol.layout, forest, constants),
            gathers=isinstance(symbol.leaves, Frontier),
        )

    def _elements(self, node: ir.Node) -> int:
        """How many there are in a result for each row; none in a shape."""
        symbol = self.symbols.get(node.outputs[0])
        return 0 if symbol is None else symbol.layout.cells

    def _inside(self, scores: ir.Value) -> set[ir.Node]:
        """All that computes some scores out of the rows."""
        inside: set[ir.Node] = set()
        work = [scores.producer()]
        while work:
            node = work.pop()
            if node is None or node in inside:
                continue
            inside.add(node)
            for value in node.inputs:
                if value is not None and value is not self.rows and (value in self.symbols or value in self.sizes):
                    work.append(value.producer())
        return inside
