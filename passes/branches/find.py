"""Branches of a model that pay as one: those that begin at one value or at pieces of one value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Scope, scopes
from ...ir.graph.operators import PRODUCTS
from ...ir.graph.sizes import Setting
from ...ir.graph.view import view
from ...ir.io.load import ModelError
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.merged_branches import MergedBranches
from ...ir.reason import Cause, Reason
from ..connectivity.bipartite import components
from ..lowering.prices import MARGIN
from ..lowering.target import Target
from .cost import merged_seconds, separate_seconds
from .digest import digest
from .merging import Merged, Site, merged
from .packing.packed import Packed
from .packing.piece import Piece
from .packing.signature import Signatures
from .rules.rules import rule_of

__all__ = ["find_branches", "site_of"]

FEWEST = 2


def find_branches(
    model: ir.Model, target: Target, sized: Callable[[], tuple[Setting, ...]]
) -> tuple[MergedBranches, ...]:
    """The branches of the main graph that are predicted to gain as one, none of which shares a node with another.

    sized: finds the sizes that they are predicted for. Shapes are inferred only where there may be any. Changes
    nothing.
    """
    if not _worth_a_look(model):
        return ()
    seen = view(model)
    scope = next(scopes(seen.model))
    site = site_of(scope, seen.found.constants)
    if site is None:
        return ()
    finder = _Finder(site, scope, Activations(seen.model, sized), target)
    taken: set[ir.Node] = set()
    found = []
    for start in _starts(site):
        if len(start) < FEWEST or not taken.isdisjoint(start):
            continue
        one = merged(site, start, taken)
        if one is not None and (step := finder.step(one)) is not None:
            taken.update(one.replaced)
            found.append(step)
    return tuple(found)


def site_of(scope: Scope, constants: Constants) -> Site | None:
    """The main graph as branches are looked for in; None where its nodes are not in the order of their results."""
    positions = {node: index for index, node in enumerate(scope.graph)}
    for node, index in positions.items():
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None and positions.get(producer, -1) >= index:
                return None
    return Site(positions, constants, Signatures(scope, constants), scope.opset)


def _worth_a_look(model: ir.Model) -> bool:
    """Whether two nodes that are alike read one value, or pieces of one, and products follow: without any shapes."""
    scope = next(scopes(model))
    constants = Constants(model)
    signatures = Signatures(scope, constants)
    if sum(node.op_type in PRODUCTS for node in scope.graph) < FEWEST:
        return False
    for value in _roots(scope.graph):
        seen: set[int] = set()
        for node in value.consumers():
            if node.graph is not scope.graph or (rule_of(node) is None and node.op_type != "Split"):
                continue
            key = signatures.local(node) if node.op_type in PRODUCTS else _cutting(node)
            if key in seen or (node.op_type == "Split" and len(node.outputs) > 1):
                return True
            seen.add(key)
    return False


def _cutting(node: ir.Node) -> int:
    return -1 if node.op_type in ("Slice", "Gather") else -2 - id(node)


def _roots(graph: ir.Graph | ir.Function) -> Iterator[ir.Value]:
    yield from (value for value in graph.inputs if value.const_value is None)
    for node in graph:
        yield from node.outputs


def _starts(site: Site) -> Iterator[tuple[ir.Node, ...]]:
    """Nodes that branches may begin with, one each: of one signature, reading one value or pieces of one value alike.

    Those that go on alike come first, then those that are alike only by themselves.
    """
    roots: dict[ir.Value, None] = {}
    pieces: dict[ir.Value, dict[ir.Value, Piece]] = {}
    for node in site.positions:
        for value in (*node.inputs, *node.outputs):
            if value is None or value in roots or value in site.constants:
                continue
            roots[value] = None
            piece = site.piece(value)
            if piece is not None:
                pieces.setdefault(piece.root, {})[value] = piece
    for root in roots:
        groups = [*_grouped(site, [(root, None)])]
        if root in pieces:
            groups += _grouped(site, list(pieces[root].items()))
        yield from groups


def _grouped(site: Site, values: Sequence[tuple[ir.Value, Piece | None]]) -> list[tuple[ir.Node, ...]]:
    readers = []
    for value, piece in values:
        form = None if piece is None else (piece.axis, piece.size, piece.squeezed)
        place = -1 if piece is None else piece.start
        for node, slot in value.uses():
            # What cuts a piece out is told by the piece.
            if node in site.positions and rule_of(node) is not None and site.piece(node.outputs[0]) is None:
                readers.append((form, place, site.positions[node], slot, node))
    if len(readers) < FEWEST:
        return []
    found: list[tuple[ir.Node, ...]] = []
    for key in (site.signatures.deep, site.signatures.local):
        groups: dict[object, list[tuple[int, int, ir.Node]]] = {}
        for form, place, position, slot, node in readers:
            groups.setdefault((form, slot, key(node)), []).append((place, position, node))
        for group in groups.values():
            ordered = tuple(node for *_, node in sorted(group, key=lambda one: one[:2]))
            if len(ordered) >= FEWEST and ordered not in found:
                found.append(ordered)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Finder:
    """What decides whether branches pay, and says why."""

    site: Site
    scope: Scope
    activations: Activations
    target: Target

    def step(self, one: Merged) -> MergedBranches | None:
        """The branches as a step of the plan; None where they are not predicted to gain, or hold other structure."""
        products = [pack for pack in one.packs if pack[0].op_type in PRODUCTS]
        if not products:
            return None
        gain = self._gain(one)
        if gain < MARGIN or any(self._splits(pack) for pack in products):
            return None
        lanes, places = len(one.packs[0]), len(one.packs)
        names = self.scope.addresses
        return MergedBranches(
            nodes=tuple(names[node] for node in one.replaced),
            branches=tuple(tuple(names[node] for node in pack) for pack in one.packs),
            sha256=digest(one, self.site.constants),
            gain=gain,
            reason=Reason(
                Cause.BRANCHES,
                f"{lanes} branches of {places} operators that are alike, from {names[one.packs[0][0]]} on, "
                f"{self._how(products)}: {gain:.1f}x is predicted",
            ),
        )

    def _how(self, products: Sequence[tuple[ir.Node, ...]]) -> str:
        packs = [self.site.pack(pack) for pack in products]
        same = all(
            pack.equal(operand) for pack in packs if (operand := _weight(pack.nodes, self.site.constants)) is not None
        )
        return "with the same weights, as one of a longer batch" if same else "with weights of their own, as stacks"

    def _gain(self, one: Merged) -> float:
        constants = self.site.constants
        gains = []
        for place in range(len(self.activations.settings)):

            def shape_of(value: ir.Value, place: int = place) -> tuple[int, ...]:
                return self.activations.shape(value, place)

            for prices in self.target.prices:
                before = separate_seconds(one, shape_of, constants, prices)
                gains.append(before / merged_seconds(one, shape_of, constants, prices))
        return min(gains)

    def _splits(self, pack: tuple[ir.Node, ...]) -> bool:
        """Whether weights fall apart into blocks, which are worth more than what is gained here."""
        weights = _weight(pack, self.site.constants)
        if weights is None or self.site.pack(pack).equal(weights):
            return False
        try:
            array = self.site.constants.read(weights.values[0])
        except ModelError:
            return True
        return array.ndim == 2 and components(array).count > 1


def _weight(nodes: tuple[ir.Node, ...], constants: Constants) -> Packed | None:
    """The constant factors of some products."""
    for slot in (1, 0):
        values = tuple(value for node in nodes if (value := node.inputs[slot]) is not None and value in constants)
        if len(values) == len(nodes):
            return Packed(values, "fixed")
    return None
