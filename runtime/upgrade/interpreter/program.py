"""The nodes of a model as instructions on numbered places: what is computed, from what, in which order.

Bodies of local functions stand in the place of their calls; those of If, Loop and Scan are lists of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ....ir.errors import ModelError
from ....ir.graph.constants import Constants
from ....ir.graph.linear import Scope, scopes
from ....ir.graph.operators import CONTROL_FLOW, SKIP_NORMS, is_standard
from ....ir.io.tensors import read
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ..operators.call import TYPES, Call
from ..operators.rules import rule_of
from .roles import Roles
from .unsupported import Unsupported, UnsupportedOperatorError

__all__ = ["Body", "Instruction", "Program", "program_of"]

SCANS = 9  # the operator set from which Scan has no batch
KNOWN = frozenset({*TYPES, int(ir.DataType.UNDEFINED)})
NAMING_A_TYPE = frozenset({"to", "dtype"})  # attributes
OLDEST = 7  # before it, broadcasting was said by attributes
# Operators of which more than the first result is computed.
SEVERAL = SKIP_NORMS | {"Dropout", "LayerNormalization", "Split", "TopK"}


@dataclass(frozen=True, slots=True)
class Body:
    """Instructions that are carried out together. reads, writes: places of what goes in and comes out; shapes: types
    and shapes of the latter, as far as the model says them, an open extent being 0."""

    reads: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    writes: tuple[int | None, ...]
    shapes: tuple[tuple[torch.dtype, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """One node. reads, writes: places, None for an operand that is left out; bodies: of If, Loop and Scan; blocks:
    the address of the linear that is computed as blocks, of its first operand, instead of by the operator's rule."""

    call: Call
    domain: str
    reads: tuple[int | None, ...]
    writes: tuple[int, ...]
    bodies: tuple[Body, ...] = ()
    blocks: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A model. inputs, outputs: names with places, in order; defaults: of inputs that need not be given, by name;
    constants: what places hold from the beginning, stored constants by their value, others as arrays; made: places of
    what nodes of the main graph make, by name."""

    body: Body
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[str, ...]
    constants: Mapping[int, Any]
    defaults: Mapping[str, ir.Value]
    made: Mapping[str, int]


def program_of(model: ir.Model, constants: Constants, roles: Roles) -> Program:
    """The program of a model, in which constants that are not trained are folded.

    Raises UnsupportedOperatorError, with all nodes because of which it is.
    """
    maker = _Maker(model, constants, roles)
    graph = model.graph
    inputs = [value for value in graph.inputs if value not in constants]
    places: dict[ir.Value, int] = {value: maker.place() for value in inputs}
    instructions = maker.instructions(graph, places, {}, dict(model.opset_imports))
    writes = tuple(maker.read(value, places) for value in graph.outputs)
    if maker.missing:
        raise UnsupportedOperatorError(graph.name or "the model", maker.missing)
    return Program(
        body=Body(tuple(places[value] for value in inputs), (*maker.first, *instructions), writes),
        inputs=tuple((str(value.name), places[value]) for value in inputs),
        outputs=tuple(str(value.name) for value in graph.outputs),
        constants=maker.held,
        defaults={str(value.name): value for value in inputs if value.const_value is not None},
        made={value.name: places[value] for node in graph for value in node.outputs if value.name and value in places},
    )


@dataclass(eq=False)
class _Maker:
    """What is known while a program is made. held: constants by place; first: instructions that make
    constants; missing: nodes that there is no rule for."""

    model: ir.Model
    constants: Constants
    roles: Roles
    held: dict[int, Any] = field(default_factory=dict)
    first: list[Instruction] = field(default_factory=list)
    missing: list[Unsupported] = field(default_factory=list)
    absent: set[ir.Value | None] = field(default_factory=set)  # inputs of a function that its call leaves out
    known: dict[ir.Value, int] = field(default_factory=dict)  # places of constants
    numbers: Any = field(default_factory=itertools.count)
    addresses: dict[ir.Node, str] = field(init=False)
    trained: frozenset[ir.Value] = field(init=False)

    def __post_init__(self) -> None:
        self.trained = self.roles.trained
        found: list[Scope] = list(scopes(self.model))
        self.addresses = {node: text for scope in found for node, text in scope.addresses.items()}

    def place(self) -> int:
        """A place that nothing has."""
        return int(next(self.numbers))

    def read(self, value: ir.Value | None, places: Mapping[ir.Value, int]) -> int | None:
        """The place of a value that something reads."""
        if value is None or value in self.absent:
            return None
        if value in places:
            return places[value]
        if value not in self.known:
            self.known[value] = self.place()
            try:
                self.held[self.known[value]] = value if value in self.trained else self.constants.read(value)
            except ModelError:
                if (node := value.producer()) is None:
                    raise
                self._compute(value, node)
        return self.known[value]

    def _compute(self, value: ir.Value, node: ir.Node) -> None:
        """Compute a constant before all else, which cannot be folded, or not within what folding may take."""
        places = {one: at for one in node.inputs if one is not None and (at := self.read(one, {})) is not None}
        places[value] = self.known[value]
        self.first.append(self._one(node, places, _attributes(node, {}), dict(self.model.opset_imports)))

    def instructions(
        self,
        graph: ir.Graph | ir.Function,
        places: dict[ir.Value, int],
        attributes: Mapping[str, Any],
        opsets: Mapping[str, int],
    ) -> tuple[Instruction, ...]:
        """Those of a graph; places gets what its nodes make; attributes: of the call whose body it is."""
        made: list[Instruction] = []
        for node in graph:
            if all(self._needs_no_instruction(output) for output in node.outputs):
                continue
            given = _attributes(node, attributes)
            function = self.model.functions.get(node.op_identifier())
            if function is not None:
                made += self._called(node, function, places, given)
            else:
                made.append(self._one(node, places, given, opsets))
        return tuple(made)

    def _needs_no_instruction(self, value: ir.Value) -> bool:
        """Whether a value is constant, or a stored one that is trained, or on its way from one to blocks."""
        if value not in self.constants:
            return False
        moving = self.trained.intersection(self.constants.leaves(value))
        return not moving or value in self.trained or moving.isdisjoint(self.roles.whole)

    def _called(
        self, node: ir.Node, function: ir.Function, places: dict[ir.Value, int], given: Mapping[str, Any]
    ) -> tuple[Instruction, ...]:
        """The body of a function in the place of a call."""
        inner: dict[ir.Value, int] = {}
        for inside, outside in itertools.zip_longest(function.inputs, node.inputs):
            at = self.read(outside, places)
            self.absent.discard(inside)  # another call may give what this one does not
            if inside is not None and at is not None:
                inner[inside] = at
            elif inside is not None:
                self.absent.add(inside)
        defaults = {name: one.value for name, one in function.attributes.items() if one.value is not None}
        opsets = {**self.model.opset_imports, **function.opset_imports}
        made = self.instructions(function, inner, {**defaults, **given}, opsets)
        for outside, inside in zip(node.outputs, function.outputs, strict=False):
            at = self.read(inside, inner)
            assert at is not None
            places[outside] = at
        return made

    def _one(
        self, node: ir.Node, places: dict[ir.Value, int], given: Mapping[str, Any], opsets: Mapping[str, int]
    ) -> Instruction:
        address, opset = self.addresses[node], int(opsets.get("", opsets.get("ai.onnx", 1)))
        reason = _obstacle(node, opset, given, self.constants)
        if reason is not None:
            domain = "" if is_standard(node) else f"{node.domain}::"
            self.missing.append(Unsupported(address, f"{domain}{node.op_type}", reason))
        role = self.roles.blocks.get(node)
        operands = list(node.inputs)
        if role is not None:
            operands = [role.linear.activation, *operands[2:3]]
        reads = tuple(self.read(value, places) if self._is_there(value, places) else None for value in operands)
        bodies = [] if reason is not None else [self._body(graph, places, given, opsets) for graph in _graphs(node)]
        writes = tuple(places.setdefault(value, self.place()) for value in node.outputs)
        call = Call(str(node.op_type), address, len(node.outputs), opset, given)
        return Instruction(call, str(node.domain), reads, writes, tuple(bodies), address if role is not None else "")

    def _is_there(self, value: ir.Value | None, places: Mapping[ir.Value, int]) -> bool:
        """Whether a value can be read; what a node that has no rule would make cannot."""
        return value is not None and (value in places or value in self.constants)

    def _body(
        self, graph: ir.Graph, places: dict[ir.Value, int], given: Mapping[str, Any], opsets: Mapping[str, int]
    ) -> Body:
        reads = tuple(places.setdefault(value, self.place()) for value in graph.inputs)
        made = self.instructions(graph, places, given, opsets)
        return Body(reads, made, tuple(self.read(value, places) for value in graph.outputs), _forms(graph.outputs))


def _forms(values: Sequence[ir.Value]) -> tuple[tuple[torch.dtype, tuple[int, ...]], ...]:
    """Types and shapes of values; floats of no axis where the model does not say, extents of 0 where they are open."""
    shapes = [() if value.shape is None else value.shape.dims for value in values]
    dtypes = [TYPES.get(int(value.dtype or ir.DataType.FLOAT), torch.float32) for value in values]
    closed = [tuple(extent if isinstance(extent, int) else 0 for extent in shape) for shape in shapes]
    return tuple(zip(dtypes, closed, strict=True))


def _obstacle(node: ir.Node, opset: int, given: Mapping[str, Any], constants: Constants) -> Reason | None:
    """Why a node cannot be computed; None where it can."""
    for name in NAMING_A_TYPE & given.keys():
        if given[name] not in KNOWN:  # also where nobody has inferred the type of the result
            return _because(f"it makes {ir.DataType(given[name]).name.lower()}")
    for value in (*node.inputs, *node.outputs):
        if value is not None and value.type is not None and not isinstance(value.type, ir.TensorType):
            return _because(f"{value.name} is no tensor")
        if value is not None and value.dtype is not None and int(value.dtype) not in KNOWN:
            return _because(f"{value.name} is {value.dtype.name.lower()}")
    if is_standard(node) and node.op_type in CONTROL_FLOW:
        early = node.op_type == "Scan" and opset < SCANS
        return _because(f"as it is in operator set {opset}") if early else None
    if rule_of(str(node.domain), str(node.op_type)) is None:
        return _because("no rule")
    if opset < OLDEST and is_standard(node) and "broadcast" in given:
        return _because(f"broadcasts as in operator set {opset}")
    if sum(bool(value.name) for value in node.outputs) > 1 and node.op_type not in SEVERAL:
        return _because("more than one result")
    return _because("as in training") if _trains(node, given, constants) else None


def _because(text: str) -> Reason:
    return Reason(Cause.UNSUPPORTED, text)


def _trains(node: ir.Node, given: Mapping[str, Any], constants: Constants) -> bool:
    """Whether a node computes as in training, or may do so."""
    switch = node.inputs[2] if node.op_type == "Dropout" and len(node.inputs) > 2 else None
    if switch is not None:
        return switch not in constants or bool(constants.read(switch))
    return bool(given.get("training_mode", 0))


def _graphs(node: ir.Node) -> list[ir.Graph]:
    """The bodies of an If, then and else, of a Loop or a Scan."""
    names = ("then_branch", "else_branch", "body")
    return [node.attributes[name].value for name in names if name in node.attributes]


def _attributes(node: ir.Node, outer: Mapping[str, Any]) -> dict[str, Any]:
    """What the attributes of a node say, those that stand for one of the call filled in."""
    found: dict[str, Any] = {}
    for name, one in node.attributes.items() if node.attributes else ():
        if one.is_ref():
            if str(one.ref_attr_name) in outer:
                found[name] = outer[str(one.ref_attr_name)]
        elif one.type == ir.AttributeType.TENSOR:
            found[name] = read(one.value)
        elif one.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            found[name] = list(one.value) if isinstance(one.value, tuple | list) else one.value
    return found
