"""Which constants of the first model a new one of the second may come from: those around the nodes that read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...ir.onnx_ir import onnx_ir as ir
from .model_constants import (
    Held,
    constants_behind,
)
from .node_groups import Group
from .node_matching import Pairs
from .value_numbering import Anatomy, operands

__all__ = ["MOST_SOURCES", "Sources"]

NAMED = 8  # nodes that a constant is said to be made for
MOST_SOURCES = 1000  # constants of a group that others of it may come from


@dataclass(slots=True, eq=False)
class Sources:
    """Called with a constant of the second model: candidates for where it comes from, and who it was made for.

    first model                second model
    x ── MatMul ── Add         x ── Gather ── MatMul ── Concat       the readers of V stand for MatMul and Add (a
           │        │                            │                   group of a rewrite), so V may be a part of W
           W        b                            V                   or of b, whichever of them is larger first
    """

    one: Anatomy
    pairs: Pairs
    groups: Sequence[Group]
    known: Mapping[ir.Value, Held]  # the constants of the first model
    _served: dict[ir.Node, int] = field(init=False)  # the number of the group of nodes without a counterpart
    _standing: dict[str, ir.Node] = field(init=False)  # nodes of the first model by address
    _near: dict[int, tuple[list[Held], list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._served = {node: number for number, group in enumerate(self.groups) for node in group[1]}
        self._standing = {address: node for node, address in self.one.addresses.items()}

    def __call__(self, held: Held) -> tuple[list[Held], list[str]]:
        """Constants that the nodes read which the readers of a constant stand for, and these nodes' addresses."""
        origin: dict[str, None] = {}
        each: dict[int, list[Held]] = {}  # those of a group are one list, whichever of its nodes reads the constant
        for node in held.readers:
            if node in self._served:
                sources, names = self._of_group(self._served[node])
            else:
                folded = self._folded(node, held)
                sources, names = self._behind(folded), [self.one.addresses[old] for old in folded]
            origin |= dict.fromkeys(names)
            if sources:
                each[id(sources)] = sources
        return _ranked(list(each.values())), list(origin)[:NAMED]

    def _of_group(self, number: int) -> tuple[list[Held], list[str]]:
        """Constants that nodes of the first model in a group read, and the addresses of the first of these nodes."""
        if number not in self._near:
            before, _, became = self.groups[number]
            kept = (self._standing[address] for address in became.of if address in self._standing)
            names = [*(at.address for at in became.before[:NAMED]), *became.of[:NAMED]]
            self._near[number] = self._behind([*before, *kept]), names
        return self._near[number]

    def _behind(self, nodes: Iterable[ir.Node]) -> list[Held]:
        found = dict.fromkeys(constants_behind(nodes))
        ranked = sorted((self.known[v] for v in found if v in self.known), key=lambda other: -other.size)
        return ranked[:MOST_SOURCES]

    def _folded(self, node: ir.Node, held: Held) -> list[ir.Node]:
        """Nodes of the first model that made what a paired node now reads as a constant."""
        twin = self.pairs.back.get(node)
        if twin is None:
            return []
        both = zip(operands(twin), operands(node), strict=False)
        makers = [u.producer() for u, v in both if v is held.value and u is not None]
        return [maker for maker in makers if maker is not None and maker not in self.pairs.forth]


def _ranked(each: Sequence[list[Held]]) -> list[Held]:
    """The constants of several lists, each once, the largest first; a list that is alone is in this order already."""
    if len(each) == 1:
        return each[0]
    found = {source.value: source for some in each for source in some}
    return sorted(found.values(), key=lambda other: -other.size)
