"""Which node of one model is which of another: the same computation first, then names, then the place in the flow."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ...ir.onnx_ir import onnx_ir as ir
from ...ir.provenance import ORIGIN
from .value_numbering import Anatomy, Body, constant_of, operands, operator

__all__ = ["Pairs", "pair_nodes"]

Column: TypeAlias = "Callable[[Anatomy, Sequence[ir.Node]], Iterable[Hashable]]"  # something of each of some nodes

TELLING = 8  # entries of a constant from which on it tells a node from others


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Nodes and values of two models that are each other's counterpart."""

    forth: dict[ir.Node, ir.Node] = field(default_factory=dict)
    back: dict[ir.Node, ir.Node] = field(default_factory=dict)

    def add(self, a: ir.Node, b: ir.Node) -> None:
        """Pair two nodes."""
        self.forth[a] = b
        self.back[b] = a

    def value(self, value: ir.Value) -> ir.Value | None:
        """The counterpart of a value that a paired node makes."""
        node = value.producer()
        twin = self.forth.get(node) if node is not None else None
        if twin is None:
            return None
        outputs, index = twin.outputs, value.index()
        return outputs[index] if index is not None and index < len(outputs) else None


def pair_nodes(one: Anatomy, other: Anatomy) -> Pairs:
    """Pair the nodes of two models, graph by graph, and then those that went from one graph to another.

    In each graph, nodes that compute the same from the same inputs; then those with the same place and form, whatever
    constants hold; those that lead to the same; those that alone have some constants; those with the same name, form
    and attributes; those next to pairs; at last those that have only name and operator in common. Among equals names
    decide, then order. Time and memory grow with the number of operands.
    """
    pairs = Pairs()
    waiting = deque([(one.main, other.main)])
    functions, inside = other.functions(), other.inside()
    waiting.extend((body, functions[path]) for path, body in one.functions().items() if path in functions)
    held: dict[ir.Node, list[Body]] = defaultdict(list)
    for body in one.bodies:
        if body.owner is not None:
            held[body.owner].append(body)
    while waiting:
        a, b = waiting.popleft()
        _Bodies(one, other, a, b, pairs).run()
        for node in a.nodes:
            for body in held.get(node, ()) if node in pairs.forth else ():
                twin = inside.get((pairs.forth[node], *body.slot))
                if twin is not None:
                    waiting.append((body, twin))
    _across(one, other, pairs)
    _part_from_origins(one, other, pairs)
    return pairs


def _part_from_origins(one: Anatomy, other: Anatomy, pairs: Pairs) -> None:
    """Undo the pairs of which one node says that it was made for another: a block is not the operator it is part of.

    Metadata may be on one side only: nodes that compute the same from the same stay together, and so do nodes of one
    form where the model of the other node has none of what the node says that it was made for.
    """
    addresses = [{address: node for node, address in seen.addresses.items()} for seen in (one, other)]
    for a, b in list(pairs.forth.items()):
        mine, theirs = (node.metadata_props.get(ORIGIN) for node in (a, b))
        if mine == theirs or one.forward[0][a] == other.forward[0][b]:
            continue
        alike = one.label[1][a] == other.label[1][b]
        if alike and theirs is None and mine not in addresses[1]:
            continue
        if alike and mine is None and theirs not in addresses[0]:
            continue
        del pairs.forth[a], pairs.back[b]


@dataclass(slots=True, eq=False)
class _Bodies:
    """Two graphs whose nodes are being paired."""

    one: Anatomy
    other: Anatomy
    a: Body
    b: Body
    pairs: Pairs
    left: list[Sequence[ir.Node]] = field(init=False)  # of either, those without a counterpart

    def __post_init__(self) -> None:
        self.left = [self.a.nodes, self.b.nodes]

    def run(self) -> None:
        forward, formal_forward = (_number("forward", level) for level in (0, 1))
        backward, formal_backward = (_number("backward", level) for level in (0, 1))
        label, formal_label = (_number("label", level) for level in (0, 1))
        self._by(forward, backward, uneven=True)
        self._by(forward, uneven=True)
        self._by(formal_forward, formal_backward, _names, named=True)
        self._by(formal_forward, formal_backward)
        self._by(backward)
        self._by(label, only=_is_telling)
        self._by(label, _names, named=True)
        self._by(formal_label, _names, named=True, only=_has_character)
        self._by(formal_forward)
        self._by(formal_backward)
        self._spread(self.one, self.other)
        self._by(_operators, _names, named=True)
        self._by(_operators, _outputs, named=True)
        self._spread(self.one, self.other)

    def _by(
        self,
        *keys: Column,
        uneven: bool = False,
        named: bool = False,
        only: Callable[[ir.Node], bool] | None = None,
    ) -> None:
        """Pair nodes with the same keys, where as many on both sides have them, or more on one side if `uneven`."""
        nodes: list[Sequence[ir.Node]] = []
        found: list[list[Hashable]] = []
        for side, (seen, taken) in enumerate(((self.one, self.pairs.forth), (self.other, self.pairs.back))):
            self.left[side] = [node for node in self.left[side] if node not in taken]
            asked = [node for node in self.left[side] if node.name] if named else self.left[side]
            nodes.append(asked if only is None else [node for node in asked if only(node)])
            found.append(list(zip(*(key(seen, nodes[side]) for key in keys), strict=True)))
        # Keys are often all others, which sets see sooner than lists of nodes are made for each of them.
        common = set(found[0]).intersection(found[1])
        sides: list[dict[Hashable, list[ir.Node]]] = [defaultdict(list), defaultdict(list)]
        for groups, some, which in zip(sides, nodes, found, strict=True):
            for node, key in zip(some, which, strict=True) if common else ():
                if key in common:
                    groups[key].append(node)
        for key, before in sides[0].items():
            after = sides[1][key]
            if len(before) == len(after) == 1:
                self.pairs.add(before[0], after[0])
            elif uneven or len(before) == len(after):
                self._pair_equals(before, after)

    def _pair_equals(self, before: list[ir.Node], after: list[ir.Node]) -> None:
        names = {node.name: node for node in after if node.name}
        for node in before:
            if node.name in names and names[node.name] not in self.pairs.back:
                self.pairs.add(node, names.pop(node.name))
        left = (node for node in after if node not in self.pairs.back)
        for node, twin in zip((node for node in before if node not in self.pairs.forth), left, strict=False):
            self.pairs.add(node, twin)

    def _spread(self, one: Anatomy, other: Anatomy) -> None:
        """Pair what stands in the same way to nodes that are paired, and what stands so to these."""
        lone = _beside(node for node in self.a.nodes if node not in self.pairs.forth)
        alone = _beside(node for node in self.b.nodes if node not in self.pairs.back)
        pairs = ((node, self.pairs.forth.get(node)) for node in self.a.nodes if node in lone)
        waiting = deque((node, twin) for node, twin in pairs if twin is not None and twin in alone)
        ways: Iterable[tuple[list[ir.Node], list[ir.Node]]] = list(self._borders())
        while waiting or ways:
            if not ways:
                ways = _neighbours(*waiting.popleft())
            for before, after in ways:
                mine = [n for n in before if n not in self.pairs.forth and one.home.get(n) is self.a]
                theirs = [n for n in after if n not in self.pairs.back and other.home.get(n) is self.b]
                for node, twin in self._likely(mine, theirs):
                    self.pairs.add(node, twin)
                    waiting.append((node, twin))
            ways = []

    def _borders(self) -> Iterable[tuple[list[ir.Node], list[ir.Node]]]:
        """Lists of nodes that make one output, or that read one input at one slot."""
        ports = [(body.scope.graph.inputs, body.outputs) for body in (self.a, self.b)]
        for u, v in _same_ports(ports[0][1], ports[1][1], self.a.is_main):
            makers = u.producer(), v.producer()
            if makers[0] is not None and makers[1] is not None and operator(makers[0]) == operator(makers[1]):
                yield [makers[0]], [makers[1]]
        for u, v in _same_ports(ports[0][0], ports[1][0], self.a.is_main):
            yield from _readers(u, v)

    def _likely(self, mine: list[ir.Node], theirs: list[ir.Node]) -> list[tuple[ir.Node, ir.Node]]:
        if not mine or not theirs:
            return []
        if len(mine) == len(theirs) == 1:
            return [(mine[0], theirs[0])]
        found = []
        for key in (
            lambda s, n: (n.name, s.label[1][n]),
            lambda s, n: s.label[0][n],
            lambda s, n: s.label[1][n],
        ):
            ours = _alone(mine, lambda n, k=key: k(self.one, n))  # type: ignore[misc]
            others = _alone(theirs, lambda n, k=key: k(self.other, n))  # type: ignore[misc]
            new = [(ours[which], others[which]) for which in ours.keys() & others.keys()]
            found += sorted(new, key=lambda pair: self.one.addresses[pair[0]])
            taken = {node for pair in found for node in pair}
            mine = [node for node in mine if node not in taken]
            theirs = [node for node in theirs if node not in taken]
        return found


def _number(what: Literal["label", "forward", "backward"], level: int) -> Column:
    """The numbers of nodes of one kind."""
    return lambda seen, nodes: map(getattr(seen, what)[level].__getitem__, nodes)


def _names(_: Anatomy, nodes: Sequence[ir.Node]) -> Iterable[Hashable]:
    return [node.name for node in nodes]


def _operators(_: Anatomy, nodes: Sequence[ir.Node]) -> Iterable[Hashable]:
    return map(operator, nodes)


def _outputs(_: Anatomy, nodes: Sequence[ir.Node]) -> Iterable[Hashable]:
    return [tuple(value.name for value in node.outputs) for node in nodes]


def _beside(nodes: Iterable[ir.Node]) -> set[ir.Node]:
    """The makers of what some nodes read, and the readers of what they make."""
    found: set[ir.Node] = set()
    for node in nodes:
        for value in node.inputs:
            if value is not None and (maker := value.producer()) is not None:
                found.add(maker)
        for value in node.outputs:
            found.update(reader for reader, _ in value.uses())
    return found


def _alone(nodes: Iterable[ir.Node], key: Callable[[ir.Node], Hashable]) -> dict[Hashable, ir.Node]:
    """Nodes by key, those whose key no other of them has."""
    groups: dict[Hashable, list[ir.Node]] = defaultdict(list)
    for node in nodes:
        groups[key(node)].append(node)
    return {which: some[0] for which, some in groups.items() if len(some) == 1}


def _neighbours(a: ir.Node, b: ir.Node) -> Iterable[tuple[list[ir.Node], list[ir.Node]]]:
    """Lists of nodes that stand in one way to two nodes: makers of an operand, readers of an output at a slot."""
    for u, v in zip(operands(a), operands(b), strict=False):
        before, after = (value.producer() if value is not None else None for value in (u, v))
        if before is None or after is None or u is None or v is None:
            continue
        if operator(before) == operator(after) and u.index() == v.index():
            yield [before], [after]
    for u, v in zip(a.outputs, b.outputs, strict=False):
        yield from _readers(u, v)


def _readers(u: ir.Value, v: ir.Value) -> Iterable[tuple[list[ir.Node], list[ir.Node]]]:
    """Readers of two values by operator and slot."""
    readers: dict[Hashable, tuple[list[ir.Node], list[ir.Node]]] = defaultdict(lambda: ([], []))
    for side, value in enumerate((u, v)):
        for node, slot in value.uses():
            readers[operator(node), slot][side].append(node)
    return readers.values()


def _same_ports(
    mine: Sequence[ir.Value], theirs: Sequence[ir.Value], named: bool
) -> Iterable[tuple[ir.Value, ir.Value]]:
    """Inputs or outputs of two graphs that are the same: by name those of the model, by place all others."""
    if not named:
        return zip(mine, theirs, strict=False)
    known = {value.name: value for value in theirs}
    found = [(value, known[value.name]) for value in mine if value.name in known]
    names = {value.name for value in mine}
    both = zip(mine, theirs, strict=False)
    return found + [(u, v) for u, v in both if u.name not in known and v.name not in names]


def _is_telling(node: ir.Node) -> bool:
    """Whether a node has a constant that hardly another one has."""
    tensors = [constant_of(value) for value in node.inputs if value is not None]
    return any(tensor is not None and math.prod(tensor.shape.numpy()) >= TELLING for tensor in tensors)


def _has_character(node: ir.Node) -> bool:
    """Whether a node has attributes or constants: a name alone may be a number that moved on."""
    return bool(node.attributes) or any(value is not None and constant_of(value) is not None for value in node.inputs)


def _across(one: Anatomy, other: Anatomy, pairs: Pairs) -> None:
    """Pair nodes that left their graph for another, each alone with its name and form, or with its constants."""
    for key, only in (
        (lambda s, n: (n.name, s.label[0][n]), lambda n: bool(n.name)),
        (lambda s, n: s.label[0][n], _is_telling),
    ):
        mine = [node for node in one.home if node not in pairs.forth and only(node)]
        theirs = [node for node in other.home if node not in pairs.back and only(node)]
        ours = _alone(mine, lambda n, k=key: k(one, n))  # type: ignore[misc]
        others = _alone(theirs, lambda n, k=key: k(other, n))  # type: ignore[misc]
        for which in [which for which in ours if which in others]:
            pairs.add(ours[which], others[which])
