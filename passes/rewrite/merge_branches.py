"""Branches that are alike as one: a longer batch where weights are equal, stacks of products where they are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...ir.axes.region import Inner
from ...ir.graph.constants import Constants
from ...ir.graph.functions import inline
from ...ir.graph.linear import Scope, scopes
from ...ir.graph.operators import NO_TRANSPOSE_PASSES
from ...ir.graph.shapes import correct_shapes, infer_shapes, shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.merged_branches import MergedBranches
from ...ir.plan.plan import PlanError
from ...ir.provenance import BRANCHES
from ...ir.reason import Reason
from ..branches.digest import digest
from ..branches.find import site_of
from ..branches.merging import BranchSite, Merged, merged
from ..branches.packing.recipe import Fixed, Made, Ref, in_order
from ..lowering.nodes.emitter import Emitter, Names
from ..lowering.nodes.kept_apart import feeds_vector, kept_apart
from ..lowering.nodes.sharing import Sharing
from .edit import drop_unread, inherit, register

__all__ = ["merge_branches"]

STAYING_BEHIND = NO_TRANSPOSE_PASSES | {"Reshape"}  # before these a Transpose stays where it is


def merge_branches(model: ir.Model, found: Sequence[MergedBranches]) -> ir.Model:
    """A copy of the model in which branches of a graph are one each; interfaces and other nodes stay.

    Raises PlanError when the model has no such branches, or their weights are others.
    """
    copy, _ = inline(model, ())
    infer_shapes(copy)
    every = [scope for scope in scopes(copy) if not scope.in_function]
    homes = {address: scope for scope in every for address in scope.addresses.values()}
    constants = Constants(copy)
    sites: dict[Scope, BranchSite] = {}
    # All are followed through the graph as it is before any is written.
    taken: set[ir.Node] = set()
    followed = []
    for one in found:
        scope = homes.get(one.branches[0][0], every[0])
        site = sites.get(scope) or site_of(scope, constants)
        if site is None:
            raise PlanError(f"{one.nodes[0]}: the nodes of its graph are not in order; make a new plan for this model")
        sites[scope] = site
        followed.append((_followed(one, site, scope, taken), scope))
        taken.update(followed[-1][0].replaced)
    names, sharing = Names(copy), Sharing()
    now: dict[ir.Value, ir.Value] = {}
    for each, scope in followed:
        _write(copy, each, sites[scope], Emitter(_origin(each, scope), names), sharing, now)
    correct_shapes(copy)
    return copy


def _followed(one: MergedBranches, site: BranchSite, scope: Scope, taken: set[ir.Node]) -> Merged:
    """The branches of a plan in the model; raises PlanError where they are none there."""
    nodes = {address: node for node, address in scope.addresses.items()}
    if missing := [address for place in one.branches for address in place if address not in nodes]:
        raise PlanError(f"{missing[0]}: the model has no such operator; make a new plan for this model")
    start = tuple(nodes[address] for address in one.branches[0])
    again = merged(replace(site, turns=one.turned), start, taken, ordered=True)
    packs = () if isinstance(again, Reason) else again.packs
    places = tuple(tuple(scope.addresses[node] for node in pack) for pack in packs)
    if isinstance(again, Reason) or places != one.branches:
        raise PlanError(f"{one.nodes[0]}: its branches are not alike as the plan says; make a new plan for this model")
    if digest(again, site.constants) != one.sha256:
        raise PlanError(f"{one.nodes[0]}: the weights of its branches have changed; make a new plan for this model")
    return again


def _origin(one: Merged, scope: Scope) -> Inner:
    """The node that new ones are named after."""
    first = one.packs[0][0]
    return Inner(first, scope.address(first), scope.opset)


def _write(
    model: ir.Model, one: Merged, site: BranchSite, emitter: Emitter, sharing: Sharing, now: dict[ir.Value, ir.Value]
) -> None:
    """Put new nodes in the place of some branches; now: what has taken the place of a value."""
    anchor = min(one.packs[0], key=lambda node: site.positions[node])
    graph = anchor.graph
    assert isinstance(graph, ir.Graph)
    read = dict.fromkeys(value for node in one.replaced for value in node.inputs if value is not None)
    held = [value for value in read if value in site.constants]
    results = _results(emitter, one, now)
    register(model, None, graph, emitter.constants, emitter.names, sharing)
    graph.insert_before(anchor, emitter.nodes)
    for old, new in results.items():
        now[old] = new
        inherit(new, old)
        new.name, new.type, new.shape = old.name, old.type or new.type, old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(one.replaced, safe=True)
    for value in held:
        drop_unread(model, value)


def _results(emitter: Emitter, one: Merged, now: Mapping[ir.Value, ir.Value]) -> dict[ir.Value, ir.Value]:
    """A new value for each that branches had and somebody else reads."""
    values: dict[Ref, ir.Value] = {}
    for made in in_order(one.results.values()):
        if isinstance(made, Fixed):
            values[made] = emitter.constant(made.make(), f"{BRANCHES}/{made.role}")
            continue
        inputs = [None if ref is None else _standing(ref, values, now) for ref in made.inputs]
        if made.op == "MatMul":
            rank = len(shape_of(made.like) or ()) + 1
            inputs = [_unmerged(emitter, one, other, rank) for one, other in zip(inputs, inputs[::-1], strict=True)]
        unread = range(made.slot)
        values[made] = emitter.node(
            made.op, inputs, BRANCHES, dict(made.attributes), made.slot + 1, domain=made.domain, unused=unread
        )[made.slot]
        values[made].type = made.like.type if made.lanes else ir.TensorType(ir.DataType.INT64)
    results: dict[ir.Value, ir.Value] = {}
    for old, ref in one.results.items():
        assert ref is not None
        value = _standing(ref, values, now)
        if not isinstance(ref, Made) or value in results.values():  # it has a name of its own already
            value = emitter.one("Identity", [value], BRANCHES)
        elif feeds_vector(old):  # ONNX Runtime moves a Transpose behind what reduces it, too
            value = kept_apart(emitter, value, BRANCHES)
        results[old] = value
    return results


# Of a stack that a Transpose made of the first axis, and that is multiplied by another:
#
#     x (n, B, k) ── Transpose 1 0 2 ── (B, n, k) ── MatMul (B, k, m)      also 1 2 0, and the same of more axes
#
# ONNX Runtime (1.31) merges the Transpose into the product, which divides by zero where n is 0, and ends the process.


def _unmerged(emitter: Emitter, factor: ir.Value | None, other: ir.Value | None, rank: int) -> ir.Value | None:
    """A factor of so many axes behind a view, where it is such a stack whose first axis may be empty; else itself."""
    beside = shape_of(other) if other is not None else None
    if factor is None or (beside is not None and len(beside) < 3) or not _may_end(factor):
        return factor
    same = emitter.one("Reshape", [factor, emitter.integers([0] * rank, f"{BRANCHES}/same")], BRANCHES)
    same.type = factor.type
    return same


def _may_end(factor: ir.Value) -> bool:
    """Whether a Transpose of an axis that may be empty may be merged into the product that reads this."""
    seen: set[ir.Node] = set()
    stack = [factor]
    while stack:
        value = stack.pop()
        node = value.producer()
        if node is None or node in seen or node.op_type in STAYING_BEHIND:
            continue
        seen.add(node)
        if node.op_type != "Transpose" or node.inputs[0] is None:
            stack += [one for one in node.inputs if one is not None]
            continue
        perm = list(node.attributes.get_ints("perm", ()))
        last, source = len(perm) - 1, shape_of(node.inputs[0])
        rotated = last > 1 and perm[:-2] == [*range(1, last)] and set(perm[-2:]) == {0, last}
        filled = source is not None and isinstance(source[0], int) and source[0] > 0
        # What lies between may take axes away: which is the first then is not asked.
        if not filled and (rotated or (value is not factor and last > 1)):
            return True
    return False


def _standing(
    ref: ir.Value | Fixed | Made, values: Mapping[Ref, ir.Value], now: Mapping[ir.Value, ir.Value]
) -> ir.Value:
    """What stands for a value, or is made."""
    return now.get(ref, ref) if isinstance(ref, ir.Value) else values[ref]
