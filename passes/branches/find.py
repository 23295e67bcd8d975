"""Branches of a model that pay as one: those that begin at one value or at pieces of one value."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ...ir.errors import ModelError
from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Scope, scopes
from ...ir.graph.node import leaf_shape, size
from ...ir.graph.operators import CONTRACTING, CUTTING
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.merged_branches import MergedBranches
from ...ir.plan.preparation import Refused
from ...ir.plural import counted
from ...ir.provenance import ORIGIN
from ...ir.reason import Cause, Reason
from ..connectivity.bipartite import components
from ..lowering.prices import MARGIN
from ..lowering.target import Target
from .cost import merged_seconds, separate_seconds
from .digest import digest
from .merging import BranchSite, Merged, merged
from .packing.packed import Packed
from .packing.piece import CutOut
from .packing.signature import Signatures
from .rules.rules import rule_of

__all__ = ["find_branches", "site_of"]

FEWEST = 2
MATRIX = 2  # dimensions of a weight that may fall apart
SAMPLED = 8  # weights of a place that are looked into
WAYS = (False, True)  # in which branches are followed: with matrices as they are, or transposed
SMALL = 1 << 18  # entries of weights: merging products with larger ones of their own saves next to nothing


def find_branches(
    model: ir.Model,
    target: Target,
    sized: Callable[[], tuple[Setting, ...]],
    *,
    look: Callable[[ir.Model], View] = view,
) -> tuple[MergedBranches | Refused, ...]:
    """The branches of the model's graphs that are predicted to gain as one, none of which shares a node with another,
    and those that stay apart.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any.
    Changes nothing.
    """
    constants = Constants(model)
    worth = {scope.path for scope in scopes(model) if not scope.in_function and _worth_a_look(scope, constants)}
    if not worth:
        return ()
    seen = look(model)
    constants, activations = seen.found.constants, Activations(seen.model, sized)
    found: list[MergedBranches | Refused] = []
    for scope in scopes(seen.model):
        if scope.in_function or scope.path not in worth:
            continue
        site = site_of(scope, constants)
        if site is not None:
            found += _found(_Finder(site, scope, activations, target))
    return tuple(found)


def _found(finder: _Finder) -> list[MergedBranches | Refused]:
    """What is found in one graph."""
    taken: set[ir.Node] = set()
    found: list[MergedBranches | Refused] = []
    refused: list[Refused] = []
    for start in _starts(finder.site):
        if len(start) < FEWEST or not taken.isdisjoint(start):
            continue
        best = finder.best(start, taken)
        if isinstance(best, Refused):
            refused.append(best)
        elif best is not None:
            found.append(best[0])
            taken.update(best[1].replaced)
    told = {name for one in found for name in one.nodes}
    for one in refused:  # each is told once, and not where it was found to be a part of others
        if not told.issuperset(one.nodes):
            found.append(one)
            told.update(one.nodes)
    return found


def site_of(scope: Scope, constants: Constants) -> BranchSite | None:
    """A graph as branches are looked for in; None where its nodes are not in the order of their results."""
    positions = {node: index for index, node in enumerate(scope.graph)}
    for node, index in positions.items():
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None and positions.get(producer, -1) >= index:
                return None
    return BranchSite(positions, constants, Signatures(scope, constants), scope.opset)


def _worth_a_look(scope: Scope, constants: Constants) -> bool:
    """Whether products that are alike follow on one value, or on pieces of one: told without any shapes."""
    if sum(node.op_type in CONTRACTING for node in scope.graph) < FEWEST:
        return False
    signatures = Signatures(scope, constants)
    roots = {node: root for node in scope.graph if (root := _root(node, constants)) is not None}
    readers = Counter(roots.values())
    seen: dict[tuple[ir.Value, int], ir.Node] = {}
    for node, root in roots.items():
        # What follows on a node is asked only where another one begins at the same value: hardly ever in a long chain.
        product = signatures.product(node) if readers[root] >= FEWEST else None
        if product is None:
            continue
        for key in {signatures.deep(node), signatures.local(node) if product is node else -1} - {-1}:
            other = seen.setdefault((root, key), product)
            if other is not product and (_is_small(product, constants) or _are_equal(other, product, signatures)):
                return True
    return False


def _root(node: ir.Node, constants: Constants) -> ir.Value | None:
    """The value that a node reads, or whose piece it may read; None where it cuts one out, or reads several."""
    read = {value for value in node.inputs if value is not None and value not in constants}
    if len(read) != 1 or node.op_type in CUTTING or rule_of(node) is None:
        return None
    (value,) = read
    while (maker := value.producer()) is not None and maker.op_type in CUTTING and maker.inputs[0] is not None:
        value = maker.inputs[0]
    return value


def _is_small(product: ir.Node, constants: Constants) -> bool:
    """Whether running a product costs something beside the product itself, whatever it is."""
    held = (value for value in product.inputs if value is not None and value in constants)
    return all(size(leaf_shape(leaf)) <= SMALL for value in held for leaf in constants.leaves(value))


def _are_equal(one: ir.Node, other: ir.Node, signatures: Signatures) -> bool:
    pairs = [(a, b) for a, b in zip(one.inputs, other.inputs, strict=False) if a is not None and b is not None]
    return any(a is b or signatures.same(a, b) for a, b in pairs)


def _starts(site: BranchSite) -> Iterator[tuple[ir.Node, ...]]:
    """Nodes that branches may begin with, one each: of one signature, reading one value or pieces of one value alike.

    Those that go on alike come first, then those that are alike only by themselves.
    """
    roots: dict[ir.Value, None] = {}
    pieces: dict[ir.Value, dict[ir.Value, CutOut]] = {}
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


def _grouped(site: BranchSite, values: Sequence[tuple[ir.Value, CutOut | None]]) -> list[tuple[ir.Node, ...]]:
    readers = []
    for value, piece in values:
        form = None if piece is None else (piece.axis, piece.size, piece.squeezed)
        place = -1 if piece is None else piece.start
        for node, slot in value.uses():
            # What cuts a piece out is told by the piece.
            ours = ORIGIN in node.metadata_props  # written by an earlier plan, which chose how
            if node in site.positions and not ours and rule_of(node) and site.piece(node.outputs[0]) is None:
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

    site: BranchSite
    scope: Scope
    activations: Activations
    target: Target

    def best(
        self, start: tuple[ir.Node, ...], taken: Collection[ir.Node]
    ) -> tuple[MergedBranches, Merged] | Refused | None:
        """The branches that begin with these nodes in the way that is predicted to gain most, or why they stay apart;
        None where they have no product, so that they are none."""
        options = []
        for turns in WAYS:
            one = merged(replace(self.site, turns=turns), start, taken)
            if isinstance(one, Reason):
                if self.site.signatures.product(start[0]) is None:
                    return None
                return self._refused(start, one.told(f"{self._what(start, 1)} stay apart: {one}"))
            if not any(pack[0].op_type in CONTRACTING for pack in one.packs):
                return None
            options.append((self._gain(one), turns, one))
        gain, turns, one = max(options, key=lambda option: (option[0], not option[1]))
        what = self._what(one.packs[0], len(one.packs))
        if gain < MARGIN:
            why = Reason(Cause.NO_GAIN, f"{what} gain nothing as one: {gain:.2f}x is predicted")
            return self._refused(one.replaced, why, gain)
        for pack in one.packs:
            if pack[0].op_type in CONTRACTING and (own := self._splits(pack)) is not None:
                return self._refused(one.replaced, own.told(f"{what} stay apart: {own}"), gain)
        return self._step(one, gain, turns), one

    def _what(self, start: Sequence[ir.Node], places: int) -> str:
        operators = counted(places, "operator")
        return f"{len(start)} branches of {operators} that are alike, from {self.scope.addresses[start[0]]} on,"

    def _refused(self, nodes: Sequence[ir.Node], reason: Reason, gain: float | None = None) -> Refused:
        names = tuple(self.scope.addresses[node] for node in nodes)
        return Refused(kind=MergedBranches.kind, nodes=names, gain=gain, reason=reason)

    def _step(self, one: Merged, gain: float, turns: bool) -> MergedBranches:
        names = self.scope.addresses
        products = [pack for pack in one.packs if pack[0].op_type in CONTRACTING]
        return MergedBranches(
            nodes=tuple(names[node] for node in one.replaced),
            branches=tuple(tuple(names[node] for node in pack) for pack in one.packs),
            turned=turns,
            sha256=digest(one, self.site.constants),
            gain=gain,
            reason=Reason(
                Cause.BRANCHES,
                f"{self._what(one.packs[0], len(one.packs))} {self._how(products)}: {gain:.1f}x is predicted",
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
            shape_of = functools.cache(functools.partial(self.activations.shape, place=place))
            for prices in self.target.prices:
                before = separate_seconds(one, shape_of, constants, prices)
                gains.append(before / merged_seconds(one, shape_of, constants, prices))
        return min(gains)

    def _splits(self, pack: tuple[ir.Node, ...]) -> Reason | None:
        """Why some products are better off by themselves: weights that fall apart into blocks are worth more there."""
        weights = _weight(pack, self.site.constants)
        if weights is None or self.site.pack(pack).equal(weights):
            return None
        try:
            arrays = [self.site.constants.read(value) for value in weights.values[:SAMPLED]]
        except ModelError as error:
            return Reason(Cause.UNREADABLE, str(error))
        if any(array.ndim == MATRIX and components(array).count > 1 for array in arrays):
            return Reason(Cause.COMPONENTS, "their weights fall apart into blocks, which gain more by themselves")
        return None


def _weight(nodes: tuple[ir.Node, ...], constants: Constants) -> Packed | None:
    """The constant factors of some products."""
    for slot in (1, 0):
        values = tuple(value for node in nodes if (value := node.inputs[slot]) is not None and value in constants)
        if len(values) == len(nodes):
            return Packed(values, "fixed")
    return None
