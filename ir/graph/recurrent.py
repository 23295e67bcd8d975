"""Recurrent operators with constant weights: RNN, GRU and LSTM, one entry for each of their directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..onnx_ir import onnx_ir as ir
from ..reason import Cause, Reason
from .constants import Constants
from .node import Site

__all__ = [
    *("ALPHA", "BETA", "BIAS", "FUNCTIONS", "GATES", "INITIAL_C", "INITIAL_H", "LENGTHS", "PEEPHOLES"),
    *("DIRECTIONS", "Recurrent", "directions", "recurrent", "slots"),
]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}  # rows of its weights for one hidden unit
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}  # activation functions of one direction
# Activation functions with a first parameter, and with a second one; ONNX Runtime does not mind their case.
ALPHA = frozenset({"affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"})
BETA = frozenset({"affine", "scaledtanh", "hardsigmoid"})
OUTPUTS = {"RNN": 2, "GRU": 2, "LSTM": 3}  # Y, Y_h and Y_c
BIAS, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES = range(3, 8)  # positions of the optional operands
TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16})  # what some runtime computes in
MINIMUM = 7  # operator set that brought today's form, without output_sequence; ONNX Runtime has no older one
DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "bidirectional": ("forward", "reverse")}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recurrent:
    """One direction of an RNN, GRU or LSTM whose input and recurrent weights are constant.

    address: where the node is, with '[forward]' or '[reverse]' when it is bidirectional; index: of the direction in
    its operands, of `count`; features: I, the width of X; hidden: H, the number of states.

    The states are shared: hidden unit j as previous state is the same thing as hidden unit j as output. In canonical
    form it maps I + H inputs, features and then previous states, to H states.
    """

    node: ir.Node
    address: str
    index: int
    count: int
    direction: str
    features: int
    hidden: int
    dtype: ir.DataType
    opset: int
    in_function: bool

    @property
    def op(self) -> str:
        """RNN, GRU or LSTM."""
        return str(self.node.op_type)

    @property
    def gates(self) -> int:
        """How many rows of each weight one hidden unit has."""
        return GATES[self.op]

    @property
    def shape(self) -> tuple[int, int]:
        """(I + H, H)."""
        return self.features + self.hidden, self.hidden

    @property
    def activation(self) -> ir.Value:
        """X, of shape (positions, batch, I)."""
        return self._present(0)

    @property
    def weight(self) -> ir.Value:
        """W, of shape (directions, gates x H, I)."""
        return self._present(1)

    @property
    def recurrence(self) -> ir.Value:
        """R, of shape (directions, gates x H, H)."""
        return self._present(2)

    @property
    def output(self) -> ir.Value:
        """The first output that somebody reads."""
        return next(self.node.outputs[place] for place in self.used)

    @property
    def used(self) -> tuple[int, ...]:
        """The outputs that somebody reads: 0 for Y, 1 for Y_h, 2 for Y_c."""
        return _used(self.node)

    def operand(self, index: int) -> ir.Value | None:
        """An operand by its position, None where it is left out."""
        value: ir.Value | None = self.node.inputs[index] if index < len(self.node.inputs) else None
        return value

    def stored(self, constants: Constants) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The weights of this direction by gate: W (gates, H, I) and R (gates, H, H). Raises ModelError when they have
        other shapes than the graph says."""
        return self._by_gate(constants, self.weight, self.features), self._by_gate(
            constants, self.recurrence, self.hidden
        )

    def _by_gate(self, constants: Constants, value: ir.Value, width: int) -> npt.NDArray[Any]:
        array = constants.read(value)
        shape = (self.count, self.gates * self.hidden, width)
        if array.shape != shape:  # a stale value_info: reshaping would scramble the weight
            raise ModelError(
                f"{self.address}: the weight {value.name!r} has shape {array.shape}, not {shape} as the graph says; "
                "export it again"
            )
        by_gate: npt.NDArray[Any] = array[self.index].reshape(self.gates, self.hidden, width)
        return by_gate

    def _present(self, index: int) -> ir.Value:
        value = self.operand(index)
        assert value is not None
        return value


def _used(node: ir.Node) -> tuple[int, ...]:
    outputs = enumerate(node.outputs)
    return tuple(place for place, value in outputs if value.name and (value.uses() or value.is_graph_output()))


def directions(node: ir.Node) -> tuple[str, ...]:
    """The directions that a node runs in, in the order of its operands; none when it names an unknown one."""
    attribute = node.attributes.get("direction")
    return DIRECTIONS.get("forward" if attribute is None else str(attribute.value), ())


def recurrent(site: Site) -> tuple[Recurrent, ...] | Reason | None:
    """The directions of a recurrent operator; or why it is left alone; or None when nothing about it is constant."""
    X, W, R = (site.operand(index) for index in range(3))
    constants = site.constants
    if X is None or W is None or R is None or not site.parameters():
        return None
    if W not in constants or R not in constants:
        return site.overridable(W, R) or Reason(Cause.NOT_CONSTANT, "its recurrent weights are not all constant")
    if X in constants:
        return None  # the runtime computes it once
    if problem := site.weight_problem(W) or site.weight_problem(R) or _problem(site, W, R):
        return problem
    (count, rows, features), dtype = constants.describe(W)
    hidden = rows // GATES[site.node.op_type]
    ways = directions(site.node)
    address = site.scope.address(site.node)
    return tuple(
        Recurrent(
            node=site.node,
            address=f"{address}[{way}]" if count > 1 else address,
            index=index,
            count=count,
            direction=way,
            features=features,
            hidden=hidden,
            dtype=dtype,
            opset=site.scope.opset,
            in_function=site.scope.in_function,
        )
        for index, way in enumerate(ways)
    )


def _problem(site: Site, W: ir.Value, R: ir.Value) -> Reason | None:
    """Why a recurrent operator with constant weights is left alone; None when it is taken."""
    (shape_w, dtype), (shape_r, other) = site.constants.describe(W), site.constants.describe(R)
    op, ways = site.node.op_type, directions(site.node)
    if any(_is_quantised(value) for value in (W, R)):
        return Reason(Cause.QUANTISED, "quantised recurrent weights: their blocks would have to be stored as floats")
    if dtype != other or dtype not in TYPES:
        return Reason(Cause.DATA_TYPE, f"recurrent weights of type {dtype.name.lower()} and {other.name.lower()}")
    if site.scope.opset < MINIMUM:
        older = f"operator set {site.scope.opset} is older than {MINIMUM}; convert the model to a newer one"
        return Reason(Cause.OPERATOR_SET, older)
    if site.attribute("layout", 0):
        return Reason(Cause.LAYOUT, "batch before positions (layout 1), which ONNX Runtime does not run")
    hidden = shape_r[-1] if shape_r else 0
    rows = GATES[op] * hidden
    expected = [(len(ways), rows, *shape_w[2:3]), (len(ways), rows, hidden)]
    if len(shape_w) != 3 or [shape_w, shape_r] != expected or site.attribute("hidden_size", hidden) != hidden:
        return _unsupported(f"recurrent weights of shapes {shape_w} and {shape_r}, which do not fit its attributes")
    operands = {index: site.operand(index) for index in (BIAS, INITIAL_H, INITIAL_C, PEEPHOLES)}
    held = {index: value for index, value in operands.items() if value is not None and value in site.constants}
    shapes = {index: site.constants.describe(value)[0] for index, value in held.items()}
    for index, size in ((BIAS, 2 * rows), (PEEPHOLES, 3 * hidden)):
        if index in held and shapes[index] != (len(ways), size):
            return _unsupported(f"operand {index} has shape {shapes[index]}, not {(len(ways), size)}")
    for index in (INITIAL_H, INITIAL_C):
        if index in held and (len(shapes[index]) != 3 or shapes[index][::2] != (len(ways), hidden)):
            return _unsupported(f"operand {index} has shape {shapes[index]}, not ({len(ways)}, batch, {hidden})")
    for index, value in held.items():
        if site.constants.has_ambiguous_leaf(value):
            shared = "shares a name with a value in or outside a branch; runtimes differ in which they take"
            return Reason(Cause.AMBIGUOUS, f"operand {index} {shared}")
    if problem := _activation_problem(site, len(ways)):
        return problem
    if not _used(site.node) or len(site.node.outputs) > OUTPUTS[op]:
        return _unsupported("nobody reads its outputs")
    return None


def _unsupported(text: str) -> Reason:
    return Reason(Cause.UNSUPPORTED, text)


def _is_quantised(value: ir.Value) -> bool:
    """Whether a constant is computed from a quantised one."""
    stack, seen = [value], {value}
    while stack:
        node = stack.pop().producer()
        if node is None:
            continue
        if node.op_type == "DequantizeLinear":
            return True
        more = {v for v in node.inputs if v is not None} - seen
        seen |= more
        stack += more
    return False


def _activation_problem(site: Site, count: int) -> Reason | None:
    """Why activation functions cannot be told apart by direction."""
    op = site.node.op_type
    names = list(site.attribute("activations", []))
    expected = {count * FUNCTIONS[op], 2} if op == "RNN" and count == 1 else {count * FUNCTIONS[op]}
    if names and len(names) not in expected:
        return _unsupported(f"{len(names)} activation functions, which do not fit its directions")
    for which, takers in (("alpha", ALPHA), ("beta", BETA)):
        values = list(site.attribute(f"activation_{which}", []))
        taken = [name.lower() in takers for name in names]
        if op == "RNN" and taken == [False, True] and len(values) == 2 and values[0] != values[1]:
            what = f"activation_{which} of its reverse direction is ambiguous"
            return Reason(Cause.AMBIGUOUS, f"{what}; runtimes differ in which they take")
    return None


def slots(values: npt.NDArray[np.int64], gates: int, hidden: int) -> npt.NDArray[np.int64]:
    """The rows of some hidden units in an operand that stacks its gates: unit h has rows h, H + h, 2 H + h …

    >>> slots(np.array([0, 2]), 2, 3).tolist()
    [0, 2, 3, 5]
    """
    return (np.arange(gates)[:, None] * hidden + values).reshape(-1)
