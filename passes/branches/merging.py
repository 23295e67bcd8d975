"""Branches followed from where they begin to where they end, as long as they agree, and what they come to together."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...ir.graph.constants import Constants
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.reason import Cause, Reason
from .ends import End, across, ended, ends_of, left
from .entry import entered, of_one_root
from .packing.packed import Pack, Packed, result_of
from .packing.piece import CutOut, piece_of
from .packing.recipe import Ref
from .packing.signature import Signatures
from .rules.rules import rule_of

__all__ = ["BranchSite", "Merged", "merged"]

Values = tuple["ir.Value | None", ...]


@dataclass(frozen=True, slots=True, eq=False)
class BranchSite:
    """The graph that branches lie in: its nodes by position, its constants, what its nodes are like, its opset.

    turns: whether branches are followed with their matrices transposed.
    """

    positions: Mapping[ir.Node, int]
    constants: Constants
    signatures: Signatures
    opset: int
    turns: bool = False
    pieces: dict[ir.Value, CutOut | None] = field(default_factory=dict)

    def piece(self, value: ir.Value) -> CutOut | None:
        """Of what a value is a piece, found once."""
        if value not in self.pieces:
            self.pieces[value] = piece_of(value, self.constants)
        return self.pieces[value]

    def pack(self, nodes: tuple[ir.Node, ...]) -> Pack:
        """Nodes that are alike, one of each branch."""
        return Pack(nodes, self.constants, self.signatures, self.opset, self.turns)


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """What branches come to.

    packs: the nodes of all branches, place by place; ends: what joins their results; results: what takes the place of
    which value; replaced: all nodes that go.
    """

    packs: tuple[tuple[ir.Node, ...], ...]
    ends: tuple[End, ...]
    results: Mapping[ir.Value, Ref]
    replaced: tuple[ir.Node, ...]


def merged(
    site: BranchSite, start: tuple[ir.Node, ...], taken: Collection[ir.Node] = frozenset(), *, ordered: bool = False
) -> Merged | Reason:
    """Follow the branches that begin with these nodes, one each; why not, where they cannot be merged even there.

    taken: nodes that are merged with others; ordered: whether the branches are in the order that their ends read them
    in, else they are followed once more in that order where it is another one.
    """
    work = _Work(site, start, taken)
    if len({site.signatures.local(node) for node in start}) > 1:
        return Reason(Cause.UNRELATED, "their operators are not alike")
    if (why := work.add(start)) is not None:
        return why
    work.grow()
    if not ordered and work.wanted is not None and len(work.wanted) == len(start):
        again = merged(site, tuple(start[lane] for lane in work.wanted), taken, ordered=True)
        if isinstance(again, Merged):
            return again
    return work.finish()


class _Work:
    """Branches in the making."""

    def __init__(self, site: BranchSite, start: tuple[ir.Node, ...], taken: Collection[ir.Node]) -> None:
        self.site = site
        self.first = min(site.positions[node] for node in start)
        self.taken = set(taken)
        self.packs: list[tuple[ir.Node, ...]] = []
        self.ends: list[End] = []
        self.known: dict[Values, Packed] = {}
        self.wanted: tuple[int, ...] | None = None  # the order in which ends read the branches
        self.results: dict[ir.Value, Ref] = {}
        self._queue: list[tuple[int, int, tuple[ir.Node, ...]]] = []

    def grow(self) -> None:
        """Add what reads what is packed, earliest first, as long as there is anything."""
        while self._queue:
            _, _, nodes = heapq.heappop(self._queue)
            if self.taken.isdisjoint(nodes):
                self.add(nodes)

    def add(self, nodes: tuple[ir.Node, ...]) -> Reason | None:
        """Take these nodes into the branches, one each; None where they are, else why they cannot be."""
        rule = rule_of(nodes[0])
        if rule is None or len(set(nodes)) < len(nodes):
            return _no_rule(nodes[0])
        pack = self.site.pack(nodes)
        operands: list[Packed | None] = []
        count = max(len(node.inputs) for node in nodes)
        for slot in range(count):
            values = tuple(node.inputs[slot] if slot < len(node.inputs) else None for node in nodes)
            operand = self._operand(pack, values)
            if operand is None and any(value is not None for value in values):
                what = f"what {nodes[0].op_type} reads in each of them is no piece of one value"
                return Reason(Cause.UNRELATED, what)
            operands.append(operand)
        try:
            found = rule(pack, operands)
        except IndexError:  # an axis that is not there: the model does not run
            return _no_rule(nodes[0])
        if found is None or found[0] is None:
            return _no_rule(nodes[0])
        self.packs.append(nodes)
        self.taken.update(nodes)
        self._learn(pack, Packed(tuple(map(result_of, nodes)), found[1], found[0]))
        return None

    def _operand(self, pack: Pack, values: Values) -> Packed | None:
        """What these values are together; None where branches read what has nothing to do with one another."""
        present = tuple(value for value in values if value is not None)
        if len(present) < len(values):
            return None
        constant = [value in self.site.constants for value in present]
        if all(constant):
            return Packed(present, "fixed")
        if any(constant):
            return None
        if values in self.known:
            return self.known[values]
        if len(set(present)) == 1:
            return Packed(present, "same", present[0]) if self._is_before(present[0]) else None
        pieces = [self.site.piece(value) for value in present]
        cut = [piece for piece in pieces if piece is not None]
        if not of_one_root(pieces) or not self._is_before(cut[0].root):
            return None
        found = entered(pack, present, cut)
        if found is not None:
            self.known[values] = found
        return found

    def _is_before(self, value: ir.Value) -> bool:
        """Whether a value is there before all branches begin."""
        producer = value.producer()
        return producer is None or self.site.positions.get(producer, -1) < self.first

    def _learn(self, pack: Pack, packed: Packed) -> None:
        """Remember a packed value, and queue what reads it."""
        values = packed.values
        self.known[values] = packed
        for nodes in self._readers(values):
            heapq.heappush(self._queue, (self.site.positions[nodes[0]], len(self.packs), nodes))
        ends = [end for end in ends_of(values, self.site.positions) if self.taken.isdisjoint(end.nodes)]
        for chosen in _even(ends, len(values)):
            self._end(pack, packed, chosen)

    def _end(self, pack: Pack, packed: Packed, chosen: Sequence[End]) -> None:
        order = tuple(lane for end in chosen for lane in end.lanes)
        found = ended(pack, packed, chosen)
        if found is None:
            return
        reduced = all(end.op != "Concat" for end in chosen)
        ordered = reduced and (len(chosen) == 1 or across(order, len(chosen), len(chosen[0].lanes)))
        if not ordered and order != tuple(range(len(order))) and self.wanted is None:
            self.wanted = order
        self.ends += chosen
        self.taken.update(node for end in chosen for node in end.nodes)
        if len(chosen) == 1:
            self.results[found.values[0]] = found.ref
        else:
            self._learn(self.site.pack(tuple(end.node for end in chosen)), found)

    def _readers(self, values: tuple[ir.Value, ...]) -> Iterator[tuple[ir.Node, ...]]:
        """Nodes that read the value of each branch in the same way, one of each branch."""
        by_lane: list[dict[tuple[int, int], list[ir.Node]]] = []
        for value in values:
            own: dict[tuple[int, int], list[ir.Node]] = {}
            for node, slot in value.uses():
                if node in self.site.positions and node not in self.taken:
                    own.setdefault((self.site.signatures.local(node), slot), []).append(node)
            if not own:
                return
            by_lane.append(own)
        for key, nodes in by_lane[0].items():
            if all(len(own.get(key, ())) == len(nodes) for own in by_lane):
                ranked = [sorted(own[key], key=lambda node: self.site.positions[node]) for own in by_lane]
                yield from zip(*ranked, strict=True)

    def finish(self) -> Merged | Reason:
        """What takes the place of what; why not where a value of one branch cannot be had by itself."""
        gone = {node for pack in self.packs for node in pack} | {node for end in self.ends for node in end.nodes}
        for packed in self.known.values():
            pack: Pack | None = None
            for lane, value in enumerate(packed.values):
                producer = value.producer()
                if producer not in gone or value in self.results:
                    continue
                if value.is_graph_output() or any(reader not in gone for reader, _ in value.uses()):
                    pack = pack or self.site.pack(tuple(self.packs[0]))
                    own = left(pack, packed, lane)
                    if own is None:
                        what = f"{value.name!r} of one of them is read by itself, and has no shape that is known enough"
                        return Reason(Cause.OUT_OF_REACH, what)
                    self.results[value] = own
        if not self.results:
            return Reason(Cause.OUT_OF_REACH, "nobody reads what they come to")
        replaced = sorted({*gone, *self._unread(gone)}, key=lambda node: self.site.positions[node])
        return Merged(tuple(self.packs), tuple(self.ends), self.results, tuple(replaced))

    def _unread(self, gone: set[ir.Node]) -> list[ir.Node]:
        """The nodes that cut pieces out which nobody reads any more."""
        found: dict[ir.Node, None] = {}
        for values in self.known:
            for value in values:
                piece = None if value is None else self.site.pieces.get(value)
                for node in reversed(piece.nodes if piece is not None else ()):
                    if node not in self.site.positions:  # of a graph outside of this one
                        break
                    outputs = [reader for output in node.outputs for reader in output.consumers()]
                    if any(output.is_graph_output() for output in node.outputs) or node in gone:
                        break
                    if any(reader not in gone and reader not in found for reader in outputs):
                        break
                    found[node] = None
        return list(found)


def _even(ends: Sequence[End], lanes: int) -> Iterator[list[End]]:
    """The ends that each join all branches; else those of one kind that share all of them out evenly."""
    whole = [[end] for end in ends if len(end.lanes) == lanes]
    if whole:
        yield from whole
        return
    kinds = dict.fromkeys((end.op, len(end.lanes)) for end in ends)
    for op, each in kinds:
        own = [end for end in ends if (end.op, len(end.lanes)) == (op, each)]
        if sorted(lane for end in own for lane in end.lanes) == list(range(lanes)):
            yield own
            return


def _no_rule(node: ir.Node) -> Reason:
    return Reason(Cause.UNSUPPORTED, f"{node.op_type} has no form here that holds several branches")
