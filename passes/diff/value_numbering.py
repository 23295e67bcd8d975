"""What every node of a model computes, as numbers that are equal exactly when it is the same."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from ...ir.graph.linear import Scope, scopes
from ...ir.graph.node import GRAPHS, subgraphs
from ...ir.onnx_ir import onnx_ir as ir
from .tensor_identity import Contents

__all__ = [
    "Anatomy",
    "Body",
    "Numbers",
    "anatomy",
    "attribute_key",
    "constant_of",
    "defaults_of",
    "is_constant",
    "operands",
    "operator",
    "stated",
]

ANONYMOUS = ("value", "value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings")
NEWEST = (1 << 31) - 1  # version of an operator set that onnx can be asked about
INITIALIZERS_ARE_INPUTS = 4  # before this IR version every initializer had to be a graph input


class Numbers:
    """Numbers for keys, the same for the same key: hashes without collisions, which both models share."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._next = 0

    def of(self, *key: Hashable, parts: int = 0) -> int:
        """The number of a key, with as many behind it, of nothing else, for its parts, as many for each key."""
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._next
            self._next += 1 + parts
        return number


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One graph or function: its nodes but for constants, and the node, attribute and index that hold it."""

    scope: Scope
    nodes: tuple[ir.Node, ...]
    outputs: tuple[ir.Value, ...]
    owner: ir.Node | None = None
    slot: tuple[str, int] = ("", 0)

    @property
    def is_main(self) -> bool:
        """Whether its inputs and outputs are the model's."""
        return not self.scope.path


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """A model in numbers. Level 0 knows what constants hold, level 1 only their types and shapes.

    label: operator, attributes and constants of a node; forward: that and all that leads to it; backward: that and all
    that it leads to; value: what a value is, by all that leads to it; content: what a constant holds.
    """

    bodies: tuple[Body, ...]
    addresses: dict[ir.Node, str]
    label: tuple[dict[ir.Node, int], dict[ir.Node, int]]
    forward: tuple[dict[ir.Node, int], dict[ir.Node, int]]
    backward: tuple[dict[ir.Node, int], dict[ir.Node, int]]
    value: tuple[dict[ir.Value, int], dict[ir.Value, int]]
    content: dict[ir.Value, int]
    overridable: frozenset[ir.Value]
    home: dict[ir.Node, Body] = field(default_factory=dict)

    @property
    def main(self) -> Body:
        """The outermost graph."""
        return self.bodies[0]

    def functions(self) -> dict[str, Body]:
        """The local functions, by their paths."""
        return {body.scope.path: body for body in self.bodies if body.owner is None and not body.is_main}

    def inside(self) -> dict[tuple[ir.Node, str, int], Body]:
        """The graphs inside nodes, by the node, its attribute, and the place in that."""
        return {(body.owner, *body.slot): body for body in self.bodies if body.owner is not None}


def anatomy(
    model: ir.Model, numbers: Numbers, contents: Contents, aliases: Mapping[str | None, str | None] | None = None
) -> Anatomy:
    """Number everything in a model whose nodes are in order.

    numbers, contents: shared between models that are compared. aliases: other names for inputs and outputs of the main
    graph. Raises ModelError when a constant cannot be read.
    Source: hash consing of terms (Ershov 1958), forwards and backwards.
    """
    fixed = model.graph.inputs if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS else ()
    overridable = frozenset(
        value for value in model.graph.inputs if value.const_value is not None and value not in set(fixed)
    )
    work = Anatomy(tuple(_bodies(model)), {}, ({}, {}), ({}, {}), ({}, {}), ({}, {}), {}, overridable)
    for body in work.bodies:
        work.addresses.update(body.scope.addresses)
        work.home.update(dict.fromkeys(body.nodes, body))
    builder = _Builder(model, work, numbers, contents, aliases or {})
    for body in work.bodies:
        if body.owner is None:
            builder.forwards(body)
    for body in work.bodies:
        builder.backwards(body)
    return work


def _bodies(model: ir.Model) -> Iterator[Body]:
    places: dict[ir.Graph | ir.Function, tuple[ir.Node, tuple[str, int]]] = {}
    there = [(scope, tuple(scope.graph)) for scope in scopes(model)]
    for _, every in there:
        for node in every:
            for name, index, graph in subgraphs(node):
                places[graph] = node, (name, index)
    for scope, every in there:
        nodes = tuple(node for node in every if not is_constant(node))
        ends = tuple(scope.graph.outputs)
        if scope.graph in places:
            owner, slot = places[scope.graph]
            yield Body(scope, nodes, ends, owner, slot)
        else:
            yield Body(scope, nodes, ends)


def is_constant(node: ir.Node) -> bool:
    """Whether a node only holds a dense constant, which is as good as an initializer."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.attributes) != 1:
        return False
    attribute = next(iter(node.attributes.values()))
    return attribute.name in ANONYMOUS and not attribute.is_ref()


def constant_of(value: ir.Value) -> Any:
    """The tensor that a value always holds unless callers replace it, None for what is computed."""
    if value.const_value is not None and value.producer() is None:
        return value.const_value
    node = value.producer()
    if node is None or not is_constant(node):
        return None
    attribute = next(iter(node.attributes.values()))
    if attribute.name == "value":
        return attribute.value
    kind = {"f": ir.DataType.FLOAT, "i": ir.DataType.INT64, "s": ir.DataType.STRING}[attribute.name.split("_")[1][0]]
    content = attribute.value
    if kind == ir.DataType.STRING:
        content = content if isinstance(content, str | bytes) else list(content)
        content = [content] if isinstance(content, str | bytes) else content
        texts = [text.encode() if isinstance(text, str) else text for text in content]
        scalar = attribute.name == "value_string"
        return ir.StringTensor(texts, shape=ir.Shape([] if scalar else [len(texts)]), name=value.name)
    return ir.tensor(content, dtype=kind, name=value.name)


def operator(node: ir.Node) -> str:
    """What a node is called: its operator, with the domain where that is not ONNX's own, and the overload."""
    domain, overload = node.domain, node.overload
    if not domain and not overload:  # nearly all
        return node.op_type
    domain = "" if domain in ("", "ai.onnx") else f"{domain}::"
    return f"{domain}{node.op_type}{':' + overload if overload else ''}"


def attribute_key(attribute: ir.Attr, contents: Contents) -> Hashable:
    """What an attribute says, graphs left out: these have bodies of their own."""
    if attribute.is_ref():
        return "ref", attribute.ref_attr_name
    kind = attribute.type
    if kind in GRAPHS:
        return "graph"
    if kind == ir.AttributeType.TENSOR:
        return "tensor", contents.of(attribute.value)
    if kind == ir.AttributeType.TENSORS:
        return "tensors", tuple(contents.of(tensor) for tensor in attribute.value)
    return kind.name, repr(attribute.value) if kind.name != "SPARSE_TENSOR" else str(attribute.value)


@functools.lru_cache(maxsize=4096)
def _defaults(op: str, version: int, domain: str) -> Mapping[str, Any]:
    """What attributes are when nobody says: exporters write it, optimisers leave it out."""
    if abs(version) > NEWEST:  # of a domain that onnx does not know, which has no defaults
        return {}
    try:
        schema = onnx.defs.get_schema(op, version, "" if domain == "ai.onnx" else domain)
    except onnx.defs.SchemaError:
        return {}
    return {
        name: onnx.helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.type
    }


def defaults_of(node: ir.Node, opset_imports: Mapping[str, int]) -> Mapping[str, Any]:
    """What the attributes of a node are where it does not state them."""
    version = opset_imports.get(node.domain, opset_imports.get("ai.onnx" if not node.domain else "", 1))
    return _defaults(node.op_type, version, node.domain)


def stated(node: ir.Node, opset_imports: Mapping[str, int]) -> dict[str, ir.Attr]:
    """The attributes of a node without those that say what holds in any case, by name."""
    if not node.attributes:
        return {}
    defaults = defaults_of(node, opset_imports)
    return {
        name: node.attributes[name]
        for name in sorted(node.attributes)
        if not _is_default(node.attributes[name], defaults)
    }


def _is_default(attribute: ir.Attr, defaults: Mapping[str, Any]) -> bool:
    if attribute.name not in defaults or attribute.is_ref() or attribute.type in GRAPHS:
        return False
    default = defaults[attribute.name]
    default = default.decode(errors="replace") if isinstance(default, bytes) else default
    content = attribute.value
    return bool(list(content) == list(default) if isinstance(content, list | tuple) else content == default)


def operands(node: ir.Node) -> list[ir.Value | None]:
    """The inputs of a node without those left out at its end."""
    inputs = list(node.inputs)
    while inputs and ((last := inputs[-1]) is None or (last.producer() is None and not last.name)):
        inputs.pop()
    return inputs


class _Builder:
    """Fills an anatomy."""

    def __init__(
        self, model: ir.Model, work: Anatomy, numbers: Numbers, contents: Contents, aliases: Mapping[Any, Any]
    ) -> None:
        self.model, self.work, self.numbers, self.contents, self.aliases = model, work, numbers, contents, aliases
        self.inner = {(body.owner, *body.slot): body for body in work.bodies if body.owner is not None}
        self.constant: dict[ir.Value, bool] = {}  # whether a value is one, of those that nodes read or make

    def forwards(self, body: Body) -> int:
        """Number the nodes of a body and all bodies inside, inputs first; the number of the whole body."""
        for index, value in enumerate(body.scope.graph.inputs):
            if value.const_value is not None and value not in self.work.overridable and body.is_main:
                continue
            name = self.aliases.get(value.name, value.name) if body.is_main else index
            key = self.numbers.of("input", body.is_main, name)
            self.work.value[1][value] = key
            if value in self.work.overridable:
                self.work.content[value] = self.contents.of(value.const_value)
                key = self.numbers.of("default", key, self.work.content[value])
            self.work.value[0][value] = key
        for node in body.nodes:
            self._node(node, body)
        ends = [self.of(value, 0) for value in body.outputs]
        rest = sorted(self.work.forward[0][node] for node in body.nodes)  # what nobody reads is there all the same
        return self.numbers.of("body", len(body.scope.graph.inputs), *ends, -1, *rest)

    def _node(self, node: ir.Node, body: Body) -> None:
        inputs = operands(node)
        constant = [value is not None and self._is_constant(value) for value in inputs]
        attributes: tuple[Hashable, ...] = ()
        inside: list[int] = []
        if node.attributes:  # of a hundred thousand nodes few have any
            attributes = tuple(
                (name, attribute_key(attribute, self.contents))
                for name, attribute in stated(node, body.scope.opset_imports).items()
            )
            inside = [self.forwards(self.inner[node, name, index]) for name, index, _ in subgraphs(node)]
        outputs = node.outputs
        label = -1
        for level in (0, 1):
            keys = [-1 if value is None else self.of(value, level) for value in inputs]
            if level == 0 or any(constant):  # else it is the same on both levels
                held = tuple(key if fixed else -1 for key, fixed in zip(keys, constant, strict=True))
                label = self.numbers.of("label", operator(node), attributes, held, len(outputs))
            self.work.label[level][node] = label
            within = inside if level == 0 or not inside else [len(inside)]
            number = self.numbers.of("node", label, *keys, -1, *within, parts=len(outputs))
            self.work.forward[level][node] = number
            for index, value in enumerate(outputs):
                self.work.value[level][value] = number + 1 + index
        self.constant.update(dict.fromkeys(outputs, False))

    def _is_constant(self, value: ir.Value) -> bool:
        if value not in self.constant:
            self.constant[value] = constant_of(value) is not None
        return self.constant[value]

    def of(self, value: ir.Value, level: int) -> int:
        """The number of a value, of constants by what they hold or by type and shape."""
        known = self.work.value[level]
        if value not in known:
            tensor = constant_of(value)
            if tensor is None:  # made by nothing, which loading refuses, or by a later node
                known[value] = self.numbers.of("unknown", value.name)
            elif level == 0:
                self.work.content[value] = self.contents.of(tensor)
                known[value] = self.numbers.of("constant", self.work.content[value])
            else:
                known[value] = self.numbers.of("constant of", str(tensor.dtype), tuple(tensor.shape.numpy()))
        return known[value]

    def backwards(self, body: Body) -> None:
        """Number the nodes of a body by what they lead to, last ones first."""
        ends: dict[ir.Value, list[int]] = {}
        for index, value in enumerate(body.outputs):
            name: Any = self.aliases.get(value.name, value.name) if body.is_main else index
            ends.setdefault(value, []).append(self.numbers.of("end", body.is_main, name))
        home, labels, (back, formal) = self.work.home, self.work.label, self.work.backward
        for node in reversed(body.nodes):
            leads: list[tuple[int, int, int]] = []  # output, operand, what reads it there
            formal_leads: list[tuple[int, int, int]] = []
            for index, value in enumerate(node.outputs):
                for some in (leads, formal_leads) if value in ends else ():
                    some += [(index, -1, end) for end in ends[value]]
                for reader, slot in value.uses():
                    outer = reader if home.get(reader) is body else self._outer(reader, body)
                    if outer is not None:
                        place = slot if outer is reader else -2
                        leads.append((index, place, back.get(outer, -1)))
                        formal_leads.append((index, place, formal.get(outer, -1)))
            back[node] = self.numbers.of("back", labels[0][node], *sorted(leads))
            same = labels[1][node] == labels[0][node] and formal_leads == leads
            formal[node] = back[node] if same else self.numbers.of("back", labels[1][node], *sorted(formal_leads))

    def _outer(self, node: ir.Node, body: Body) -> ir.Node | None:
        """The node of a body that is a node or holds it."""
        home = self.work.home.get(node)
        while home is not None and home is not body:
            node_ = home.owner
            if node_ is None:
                return None
            node, home = node_, self.work.home.get(node_)
        return node if home is body else None
