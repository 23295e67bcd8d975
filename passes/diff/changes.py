"""What differs between two models: what they say of themselves, inputs and outputs, and nodes that belong together."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from ...ir.findings.difference import Field, NodeChange
from ...ir.graph.node import subgraphs
from ...ir.io.load import Model
from ...ir.io.tensors import graphs
from ...ir.onnx_ir import onnx_ir as ir
from .annotations import is_provenance, shortened
from .node_groups import node_at
from .node_matching import Pairs
from .tensor_identity import Contents
from .value_numbering import (
    Anatomy,
    Body,
    attribute_key,
    constant_of,
    defaults_of,
    operands,
    operator,
    stated,
)

__all__ = ["Changes", "header_changes", "in_short", "inner_ends", "interface_changes"]


def in_short(content: Any) -> str:
    """Whatever an attribute holds, as a cell shows it."""
    return shortened(str(content)) or ""


class Changes:
    """What paired nodes differ in."""

    def __init__(self, one: Anatomy, other: Anatomy, pairs: Pairs, contents: Contents | None) -> None:
        self.one, self.other, self.pairs, self.contents = one, other, pairs, contents
        self.inner = self._formal_inputs()

    @functools.cached_property
    def alone(self) -> set[ir.Node]:
        """The nodes of either model without a counterpart."""
        mine = {node for node in self.one.home if node not in self.pairs.forth}
        return mine | {node for node in self.other.home if node not in self.pairs.back}

    def run(self) -> Iterator[NodeChange]:
        """Every pair of nodes that differ."""
        labels = self.one.label[0], self.other.label[0]
        for a, b in self.pairs.forth.items():
            alike = labels[0][a] == labels[1][b] and not a.attributes  # graphs in attributes are no part of a label
            fields = [] if alike else list(self._attributes(a, b))
            if not alike and operator(a) != operator(b):
                fields.append(Field(what="operator", before=operator(a), after=operator(b)))
            changed = bool(fields)
            moves = list(self._operands(a, b))
            changed |= any(field.before is None or field.after is None for field in moves)
            if not self._same_place(a, b):
                fields.append(Field(what="graph", before=self._place(a), after=self._place(b)))
            if not alike and len(a.outputs) != len(b.outputs):
                fields.append(Field(what="outputs", before=str(len(a.outputs)), after=str(len(b.outputs))))
                changed = True
            fields += moves
            if fields:
                yield NodeChange(
                    kind="changed" if changed else "moved",
                    before=node_at(self.one, a),
                    after=node_at(self.other, b),
                    fields=tuple(fields),
                )

    def _place(self, node: ir.Node) -> str:
        seen = self.one if node in self.one.home else self.other
        return seen.home[node].scope.path.removesuffix("/") or "main graph"

    def _same_place(self, a: ir.Node, b: ir.Node) -> bool:
        mine, theirs = self.one.home[a], self.other.home[b]
        if mine.owner is None or theirs.owner is None:
            return mine.owner is theirs.owner and mine.scope.path == theirs.scope.path
        return self.pairs.forth.get(mine.owner) is theirs.owner and mine.slot == theirs.slot

    def _attributes(self, a: ir.Node, b: ir.Node) -> Iterator[Field]:
        assert self.contents is not None
        mine = stated(a, self.one.home[a].scope.opset_imports)
        theirs = stated(b, self.other.home[b].scope.opset_imports)
        for name in sorted(mine.keys() | theirs.keys()):
            u, v = mine.get(name), theirs.get(name)
            keys = [None if one is None else attribute_key(one, self.contents) for one in (u, v)]
            if keys[0] != keys[1]:
                texts = [_attribute_text(one) or self._unstated(node, name) for one, node in ((u, a), (v, b))]
                if texts[0] == texts[1] and texts[0] is not None:
                    texts = [f"{text} ({which})" for text, which in zip(texts, ("A", "B"), strict=True)]
                yield Field(what=name, before=texts[0], after=texts[1])
        counts = [len(list(subgraphs(node))) for node in (a, b)]
        if counts[0] != counts[1]:
            yield Field(what="graphs inside", before=str(counts[0]), after=str(counts[1]))

    def _unstated(self, node: ir.Node, name: str) -> str | None:
        """What an attribute is that a node does not state."""
        seen = self.one if node in self.one.home else self.other
        default = defaults_of(node, seen.home[node].scope.opset_imports).get(name)
        default = default.decode(errors="replace") if isinstance(default, bytes) else default
        return None if default is None else f"{in_short(default)} (default)"

    def _operands(self, a: ir.Node, b: ir.Node) -> Iterator[Field]:
        for index, (u, v) in enumerate(itertools.zip_longest(operands(a), operands(b))):
            if u is None and v is None:
                continue
            if u is None or v is None or not (self.pairs.value(u) is v or self.agree(u, v) or self.follows(u, v)):
                yield Field(what=f"operand {index}", before=self.maker(self.one, u), after=self.maker(self.other, v))

    def agree(self, u: ir.Value, v: ir.Value) -> bool:
        """Whether two values are each other's counterpart, or as good as that: equal ones are interchangeable."""
        if self.one.value[0].get(u) == self.other.value[0].get(v):
            return True
        if constant_of(u) is not None and constant_of(v) is not None:  # what they hold is told of the constants
            return (u in self.one.overridable) == (v in self.other.overridable) and (
                u not in self.one.overridable or self.one.value[1][u] == self.other.value[1][v]
            )
        if u in self.inner or v in self.inner:
            return self.inner.get(u) is v
        twin = self.pairs.value(u)
        if twin is None:
            return (
                self.one.value[1].get(u) == self.other.value[1].get(v) and u.producer() is None and v.producer() is None
            )
        return twin is v or self.other.value[0].get(twin) == self.other.value[0].get(v)

    def follows(self, u: ir.Value, v: ir.Value) -> bool:
        """Whether a node alone in its model makes one of them: then that node is the difference, and told."""
        return u.producer() in self.alone or v.producer() in self.alone

    def maker(self, seen: Anatomy, value: ir.Value | None) -> str | None:
        """What makes a value, in words; None for no value."""
        if value is None:
            return None
        node = value.producer()
        if node is None or node not in seen.addresses:
            return str(value.name)
        return seen.addresses[node] + (f":{value.index()}" if value.index() else "")

    def _formal_inputs(self) -> dict[ir.Value, ir.Value]:
        """Inputs of graphs inside paired nodes, and of functions, each with its counterpart."""
        found: dict[ir.Value, ir.Value] = {}
        for body, twin in self.twins():
            found.update(zip(body.scope.graph.inputs, twin.scope.graph.inputs, strict=False))
        return found

    def twins(self) -> Iterator[tuple[Body, Body]]:
        """The graphs inside paired nodes, and the functions, each with its counterpart."""
        inside, functions = self.other.inside(), self.other.functions()
        for body in self.one.bodies:
            twin = None
            if body.owner is None:
                twin = None if body.is_main else functions.get(body.scope.path)
            elif body.owner in self.pairs.forth:
                twin = inside.get((self.pairs.forth[body.owner], *body.slot))
            if twin is not None:
                yield body, twin


def _attribute_text(attribute: ir.Attr | None) -> str | None:
    if attribute is None:
        return None
    if attribute.is_ref():
        return f"@{attribute.ref_attr_name}"
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.value
        if tensor.size <= 4:
            return in_short(tensor.numpy().tolist())
        return f"{tensor.dtype.name.lower()} {list(tensor.shape.numpy())}"
    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        return "graph"
    return in_short(attribute.value)


def header_changes(before: Model, after: Model) -> Iterator[Field]:
    """Versions, producers, operator sets and metadata that differ."""
    one, other = before.graph, after.graph
    yield from _fields("IR version", {"": one.ir_version}, {"": other.ir_version})
    used = _used(one) | _used(other)  # optimisers import all operator sets that they know
    yield from _fields("opset of ", _opsets(one.opset_imports, used), _opsets(other.opset_imports, used))
    yield from _fields("", _said(one), _said(other))
    yield from _fields("metadata ", _metadata(one), _metadata(other))
    functions = [{name: model.functions[name] for name in model.functions} for model in (one, other)]
    for name in functions[0].keys() | functions[1].keys():
        a, b = (some.get(name) for some in functions)
        what = f"function {'::'.join(part for part in name if part)}"
        if a is None or b is None:
            yield Field(what=what, before=None if a is None else "there", after=None if b is None else "there")
            continue
        yield from _fields(f"{what}: opset of ", _opsets(a.opset_imports, used), _opsets(b.opset_imports, used))
        yield from _fields(f"{what}: ", {"inputs": len(a.inputs)}, {"inputs": len(b.inputs)})


def _said(model: ir.Model) -> dict[str, Any]:
    """What a model says of itself, who made it left out."""
    said = {"domain": model.domain, "doc string": model.doc_string, "model version": model.model_version}
    return {what: content for what, content in said.items() if content}


def _metadata(model: ir.Model) -> dict[str, str]:
    return {key: text for key, text in model.metadata_props.items() if not is_provenance(key)}


def _used(model: ir.Model) -> set[str]:
    """The domains of all nodes."""
    return {node.domain or "ai.onnx" for graph in graphs(model) for node in graph} | {"ai.onnx"}


def _opsets(imports: Mapping[str, int], used: Container[str]) -> dict[str, int]:
    return {domain or "ai.onnx": version for domain, version in imports.items() if (domain or "ai.onnx") in used}


def _fields(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Field]:
    """What differs between two mappings."""
    for key in sorted(before.keys() | after.keys()):
        a, b = (in_short(some[key]) if key in some else None for some in (before, after))
        if before.get(key) != after.get(key) or (a is None) != (b is None):
            yield Field(what=(what + key).strip(), before=a, after=b)


def interface_changes(one: Anatomy, other: Anatomy, pairs: Pairs) -> Iterator[Field]:
    """Inputs and outputs of the models that came, went or differ, and their order."""
    for what, mine, theirs in (
        ("input", _inputs(one), _inputs(other)),
        ("output", one.main.outputs, other.main.outputs),
    ):
        names = [[str(value.name) for value in values] for values in (mine, theirs)]
        aliases = {}
        if len(names[0]) == len(names[1]):
            aliases = {b: a for a, b in zip(*names, strict=True) if b not in names[0] and a not in names[1]}
        yield from (Field(what=f"{what} name", before=a, after=b) for b, a in aliases.items())
        known = {str(value.name): value for value in mine}
        for value in theirs:
            name = aliases.get(str(value.name), str(value.name))
            if name not in known:
                yield Field(what=what, before=None, after=f"{name} {_type(value)}")
            else:
                yield from _port(f"{what} {name}", known[name], value)
        both = [aliases.get(name, name) for name in names[1]]
        yield from (
            Field(what=what, before=f"{name} {_type(known[name])}", after=None) for name in names[0] if name not in both
        )
        orders = [name for name in names[0] if name in both], [name for name in both if name in known]
        if orders[0] != orders[1]:
            yield Field(
                what=f"{what} order", before=in_short(", ".join(orders[0])), after=in_short(", ".join(orders[1]))
            )
        if what == "output":
            yield from _ends(one, other, pairs, {str(v.name): aliases.get(str(v.name), str(v.name)) for v in theirs})


def _inputs(seen: Anatomy) -> Sequence[ir.Value]:
    """What callers hand in: before IR version 4 constants are inputs by name only."""
    return [v for v in seen.main.scope.graph.inputs if v.const_value is None or v in seen.overridable]


def _ends(one: Anatomy, other: Anatomy, pairs: Pairs, names: Mapping[str, str]) -> Iterator[Field]:
    """Outputs that another node makes which both models have."""
    ends = {names[str(value.name)]: value for value in other.main.outputs}
    seen = Changes(one, other, pairs, None)
    for value in one.main.outputs:
        twin = ends.get(str(value.name))
        if twin is not None and not seen.agree(value, twin) and not seen.follows(value, twin):
            yield Field(
                what=f"output {value.name} made by", before=seen.maker(one, value), after=seen.maker(other, twin)
            )


def inner_ends(one: Anatomy, other: Anatomy, pairs: Pairs) -> Iterator[Field]:
    """What graphs inside nodes, and functions, hand out: by place, since names inside do not count."""
    seen = Changes(one, other, pairs, None)
    for body, twin in seen.twins():
        where = body.scope.path.removesuffix("/")
        counts = len(body.outputs), len(twin.outputs)
        if counts[0] != counts[1]:
            yield Field(what=f"{where}: outputs", before=str(counts[0]), after=str(counts[1]))
            continue
        for index, (value, end) in enumerate(zip(body.outputs, twin.outputs, strict=True)):
            if not seen.agree(value, end) and not seen.follows(value, end):
                made = seen.maker(one, value), seen.maker(other, end)
                yield Field(what=f"{where}: output {index} made by", before=made[0], after=made[1])


def _port(what: str, a: ir.Value, b: ir.Value) -> Iterator[Field]:
    if a.type != b.type:
        yield Field(what=f"{what} type", before=_kind(a), after=_kind(b))
    shapes = [None if value.shape is None else _shape(value.shape) for value in (a, b)]
    if shapes[0] != shapes[1]:
        yield Field(what=f"{what} shape", before=shapes[0] or "unknown", after=shapes[1] or "unknown")
    if (a.const_value is None) != (b.const_value is None):
        yield Field(what=f"{what} default", before=_default(a), after=_default(b))


def _default(value: ir.Value) -> str | None:
    return None if value.const_value is None else "there"


def _type(value: ir.Value) -> str:
    return f"{_kind(value)} {_shape(value.shape) if value.shape is not None else '[…]'}"


def _kind(value: ir.Value) -> str:
    if isinstance(value.type, ir.TensorType):
        return value.type.dtype.name.lower()
    return str(value.type) if value.type is not None else "unknown"


def _shape(shape: ir.Shape) -> str:
    return f"[{', '.join(str(dim) if isinstance(dim, int) else str(dim.value or '?') for dim in shape)}]"
