"""Which nodes of one model stand for which of the other: by what they say of themselves, else by the data flow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from ...ir.disjoint_sets import DisjointSets
from ...ir.findings.difference import Became, NodeAt
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.provenance import ORIGIN
from .node_matching import Pairs
from .value_numbering import Anatomy, constant_of, operands, operator

__all__ = ["Group", "group_nodes", "node_at"]

Group = tuple[tuple[ir.Node, ...], tuple[ir.Node, ...], Became]


def node_at(seen: Anatomy, node: ir.Node) -> NodeAt:
    """A node as it is told of."""
    return NodeAt(address=seen.addresses[node], op=operator(node))


def group_nodes(one: Anatomy, other: Anatomy, pairs: Pairs) -> list[Group]:
    """The nodes without a counterpart, in groups: nodes of the first model and what they became in the second.

    A node that names its origin belongs to that node of the other model. Others belong to those that they hand values
    to, up to values that both models have: values of one name, and what paired nodes read at one place. What remains
    alone was added or removed. Of two models either may be the older one.
    Source: disjoint sets (Galler and Fischer 1964).
    """
    sets = DisjointSets[object]()
    lone = ([n for n in one.home if n not in pairs.forth], [n for n in other.home if n not in pairs.back])
    origins = _origins(lone[1], one) | _origins(lone[0], other)
    of: dict[ir.Node, str] = {}
    alone = {*lone[0], *lone[1]}
    for node, origin in origins.items():
        if isinstance(origin, ir.Node) and origin in alone:
            sets.join(node, origin)
        elif isinstance(origin, ir.Node):
            sets.join(node, ("kept", origin))
            of[node] = (one if origin in one.addresses else other).addresses[origin]
        else:
            sets.join(node, ("gone", origin))
            of[node] = origin
    shared = _shared(one, other, alone)
    for nodes, seen in ((lone[0], one), (lone[1], other)):
        for node in nodes:
            owner = seen.home[node].owner
            if owner in alone:
                sets.join(node, owner)
            for value in node.inputs:
                maker = value.producer() if value is not None else None
                if maker in alone and value not in shared and node not in origins and maker not in origins:
                    sets.join(node, maker)
    for u, v in _meetings(one, other, pairs, shared):
        if u in alone and v in alone and u not in origins and v not in origins:
            sets.join(u, v)
    return list(_groups(one, other, lone, sets, origins, of))


def _groups(
    one: Anatomy,
    other: Anatomy,
    lone: tuple[list[ir.Node], list[ir.Node]],
    sets: DisjointSets[object],
    origins: dict[ir.Node, ir.Node | str],
    of: dict[ir.Node, str],
) -> Iterator[Group]:
    members: dict[object, tuple[list[ir.Node], list[ir.Node]]] = defaultdict(lambda: ([], []))
    for side, nodes in enumerate(lone):
        for node in nodes:
            members[sets.root(node)][side].append(node)
    for before, after in members.values():
        told = any(node in origins for node in (*before, *after))
        became = Became(
            before=tuple(node_at(one, node) for node in before),
            after=tuple(node_at(other, node) for node in after),
            by="provenance" if told else "matching",
            of=tuple(dict.fromkeys(of[node] for node in (*before, *after) if node in of)),
        )
        yield tuple(before), tuple(after), became


def _origins(nodes: list[ir.Node], seen: Anatomy) -> dict[ir.Node, ir.Node | str]:
    """Where nodes say that they come from: the node of the other model, or its address where there is none.

    What was inlined before has the address of the call in front; then it is the call that it comes from.
    """
    wanted = [(node, node.metadata_props[ORIGIN]) for node in nodes if ORIGIN in node.metadata_props]
    if not wanted:
        return {}
    by_address = {address: node for node, address in seen.addresses.items()}
    by_name = {node.name: node for node in seen.addresses if node.name}
    outputs = {value.name: node for node in seen.addresses for value in node.outputs if value.name}
    find: list[Callable[[str], ir.Node | None]] = [by_address.get, by_name.get, outputs.get]
    return {node: next((found for way in find if (found := way(text)) is not None), text) for node, text in wanted}


def _shared(one: Anatomy, other: Anatomy, alone: set[ir.Node]) -> dict[ir.Value, ir.Value]:
    """Values of one name that nodes without a counterpart make in both models, each with the other one."""
    named = {
        value.name: value
        for node in one.home
        if node in alone
        for value in node.outputs
        if value.name and _is_read(value)
    }
    found = {}
    for node in other.home:
        for value in node.outputs if node in alone else ():
            twin = named.get(value.name) if value.name else None
            if twin is not None and _is_read(value) and _agree(twin, value):
                found[twin] = value
                found[value] = twin
    return found


def _is_read(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _agree(a: ir.Value, b: ir.Value) -> bool:
    """Whether nothing that is known of two values tells them apart: numbers as names may be a coincidence."""
    if a.dtype is not None and b.dtype is not None and a.dtype != b.dtype:
        return False
    return a.shape is None or b.shape is None or len(a.shape) == len(b.shape)


def _meetings(
    one: Anatomy, other: Anatomy, pairs: Pairs, shared: dict[ir.Value, ir.Value]
) -> Iterator[tuple[ir.Node | None, ir.Node | None]]:
    """Makers of values that stand for each other."""
    for u, v in shared.items():
        if u.producer() in one.home:
            yield u.producer(), v.producer()
    for a, b in pairs.forth.items():
        for mine, theirs in zip(operands(a), operands(b), strict=False):
            if mine is not None and theirs is not None and constant_of(mine) is None and constant_of(theirs) is None:
                yield mine.producer(), theirs.producer()
    ends = {value.name: value for value in other.main.outputs}
    for value in one.main.outputs:
        if value.name in ends:
            yield value.producer(), ends[value.name].producer()
