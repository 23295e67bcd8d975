"""The parts of a model that run by themselves, from its inputs to its outputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...ir.disjoint_sets import DisjointSets
from ...ir.errors import ModelError
from ...ir.graph.operators import DRAWING, FUNCTIONS_OF_SIZES, MEASURING, is_one_of
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.parts.share import Share, share_of, whole
from ...ir.reason import Cause, Reason
from ..channels.bounds.forward import facts_of
from ..channels.negligible import Negligible
from ..channels.relations import Relations, relations_of
from ..channels.sums import WeighedSum
from .narrowing import Narrowing, narrow
from .proposal import proposed
from .rows import Rows, rows_of

__all__ = ["Analysed", "SubModel", "analysed", "find", "in_pieces", "undivided"]

FEWEST = 2
MOST = 512  # parts that a model is cut into; services are not worth more


@dataclass(frozen=True, slots=True, eq=False)
class Analysed:
    """A model as parts are looked for in it: a copy with shapes inferred, and what holds between its axes."""

    seen: View
    relations: Relations
    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class SubModel:
    """A part of a model: what it reads of the inputs, what it writes of the outputs, and the multiply-adds of its
    products with constants, for one row.

    whole: the model as the part was found in it, the same for all of its parts; needed: what of it the part needs;
    rows: the inputs that it reads of which each row, along the first axis, makes the same row of all that it writes,
    whatever the others hold; none where it is not so.
    """

    whole: Analysed
    needed: Narrowing
    reads: tuple[Share, ...]
    writes: tuple[Share, ...]
    macs: int
    rows: tuple[str, ...]


def analysed(model: ir.Model) -> Analysed:
    """What holds between the axes of a main graph of which nothing has to stay whole.

    Raises ModelError when a weight cannot be read.
    """
    seen = view(model)
    free = {*seen.model.graph.inputs, *seen.model.graph.outputs}
    facts = facts_of(seen.model, seen.found.constants)
    relations = relations_of(seen.model, facts, Negligible(exact=True), free)
    return Analysed(seen, relations, rows_of(seen.model.graph, facts.rules, facts.sizes))


def find(model: ir.Model) -> tuple[SubModel, ...] | Reason:
    """The parts that share no product, or why there are none; changes nothing.

    Raises ModelError when a weight cannot be read.
    """
    if (why := _unfit(model)) is not None:
        return why
    try:
        work = analysed(model)
        graph, relations = work.seen.model.graph, work.relations
        found: list[Narrowing] = []
        for shared in (False, True):
            groups = proposed(relations, list(graph.outputs), shared=shared)
            found = _apart(relations, graph, groups if len(groups) <= MOST else _bundled(groups))
            if len(found) >= FEWEST:
                break
    except (ValueError, IndexError, TypeError) as error:  # of an invalid node nothing is known
        if isinstance(error, ModelError):
            raise
        return Reason(Cause.UNSUPPORTED, "it has an operator or an axis of which nothing is known")
    if len(found) < FEWEST:
        return Reason(Cause.CONNECTED, "every output needs products that all the others need as well")
    return tuple(_described(one, work) for one in found)


def undivided(model: ir.Model) -> SubModel | None:
    """All of a model as one part; None where nothing is known of it. Raises ModelError when a weight cannot be read."""
    if _unfit(model) is not None:
        return None
    try:
        work = analysed(model)
        graph = work.seen.model.graph
        return _described(narrow(work.relations, graph, [whole(value.name or "") for value in graph.outputs]), work)
    except (ValueError, IndexError, TypeError) as error:  # of an invalid node nothing is known
        if isinstance(error, ModelError):
            raise
        return None


def in_pieces(model: ir.Model, pieces: Sequence[Share]) -> tuple[SubModel, ...] | None:
    """A part for each of these shares of outputs; None where two of them need the same product, or one needs none.

    Raises ModelError when a weight cannot be read.
    """
    try:
        work = analysed(model)
        graph = work.seen.model.graph
        found = [narrow(work.relations, graph, [piece]) for piece in pieces]
        keys = [{key for key in _needed(one) if not _is_of_sizes(key)} for one in found]
        if sum(map(len, keys)) > len(set.union(*keys)):
            return None
        made = tuple(_described(one, work) for one in found)
    except (ValueError, IndexError, TypeError) as error:  # of an invalid node nothing is known
        if isinstance(error, ModelError):
            raise
        return None
    return made if all(one.macs for one in made) else None


def _unfit(model: ir.Model) -> Reason | None:
    """Why a model is not cut, whatever is in it."""
    graph = model.graph
    names = [value.name for value in graph.outputs]
    if len(set(names)) < len(names):
        return Reason(Cause.UNSUPPORTED, "it has an output twice")
    if any(value.producer() is None for value in graph.outputs):
        return Reason(Cause.UNSUPPORTED, "one of its outputs is an input or a constant")
    if any(value.const_value is not None for value in graph.inputs) and (model.ir_version or 0) >= 4:
        return Reason(Cause.UNSUPPORTED, "one of its inputs has a default value")
    if any(not isinstance(value.type, ir.TensorType) for value in graph.inputs):
        return Reason(Cause.UNSUPPORTED, "one of its inputs is no tensor")
    nodes = [*graph.all_nodes(), *(node for one in model.functions.values() for node in one.all_nodes())]
    if any(node.op_type in DRAWING for node in nodes):
        return Reason(Cause.UNSUPPORTED, "it draws random numbers, of which parts would draw others")
    return None


def _bundled(groups: list[list[Share]]) -> list[list[Share]]:
    """Not more groups than parts may be, those next to one another together."""
    return [merged([share for group in some for share in group]) for some in _pieces(groups)]


def _pieces(groups: list[list[Share]]) -> list[list[list[Share]]]:
    ends = np.linspace(0, len(groups), MOST + 1).astype(int)
    return [groups[a:b] for a, b in itertools.pairwise(ends) if b > a]


def merged(shares: Sequence[Share]) -> list[Share]:
    """Shares of values, all of one value as one."""
    masks: dict[str, dict[int, np.ndarray]] = {}
    for share in shares:
        own = masks.setdefault(share.value, {})
        for axis, places in share.places.items():
            own.setdefault(axis, np.zeros(share.size[axis], bool))[places] = True
    return [share_of(value, cut) for value, cut in masks.items()]


def _apart(relations: Relations, graph: ir.Graph, groups: list[list[Share]]) -> list[Narrowing]:
    """What groups of shares need, those together that need the same product."""
    found = [narrow(relations, graph, group) for group in groups]
    while len(found) > 1:
        sets = _sharing(found)
        if len(sets) == len(found):
            break
        found = [
            some[0] if len(some) == 1 else narrow(relations, graph, merged([s for one in some for s in one.wanted]))
            for some in sets
        ]
    return found


def _sharing(found: Sequence[Narrowing]) -> list[list[Narrowing]]:
    """Those together that need the same results of a product, or an operator of which nothing is known."""
    together = DisjointSets[int]()
    owners: dict[object, int] = {}
    for index, one in enumerate(found):
        together.root(index)
        for key in _needed(one):
            other = owners.setdefault(key, index)
            if other != index:
                together.join(index, other)
    return [[found[index] for index in members] for members in together.groups().values()]


def _needed(one: Narrowing) -> set[object]:
    """What a part computes that others would have to compute as well: places of products, whole unknown operators."""
    removal = one.removal
    relations, masks = removal.relations, removal.masks
    keys: set[object] = set()
    for product in relations.contractions:
        if product.node in one.live:
            root = masks.classes.sets.root(product.outer)
            keys.update((product.node, root, int(place)) for place in np.flatnonzero(masks.of(product.outer)))
    for weighed in _weighed(relations, one):
        sides = [(axis, masks.of((weighed.weight, axis))) for _, axis in weighed.outer]
        cut = [(axis, mask) for axis, mask in sides if not mask.all()] or sides
        keys.update((weighed.weight, axis, int(place)) for axis, mask in cut for place in np.flatnonzero(mask))
    told = {product.node for product in relations.contractions}
    keys.update(node for node in one.live if isinstance(relations.facts.rules[node], str) and node not in told)
    return keys


def _is_of_sizes(key: object) -> bool:
    """Whether what parts compute is an operator on sizes alone, which each of them may have for itself."""
    return isinstance(key, ir.Node) and is_one_of(key, MEASURING | FUNCTIONS_OF_SIZES)


def _weighed(relations: Relations, one: Narrowing) -> list[WeighedSum]:
    """The sums over an axis of a constant of any number of axes, in nodes that run."""
    return [s for node in one.live for s in relations.own[node] if isinstance(s, WeighedSum)]


def _described(one: Narrowing, work: Analysed) -> SubModel:
    removal, graph = one.removal, work.seen.model.graph
    read = {
        value: None for node in one.live for index in one.operands(node) if (value := node.inputs[index]) is not None
    }
    inputs = [
        value for value in graph.inputs if value in read or any(use.node.graph is not graph for use in value.uses())
    ]
    reads = tuple(share_of(value.name or "", one.cut(value)) for value in inputs)
    products = [product for product in removal.relations.contractions if product.node in one.live]
    macs = [math.prod(product.extents(removal.masks)[2:]) for product in products]
    for weighed in _weighed(removal.relations, one):
        rank = len(removal.relations.facts.sizes.of(weighed.weight) or ())
        macs.append(math.prod(int(removal.masks.of((weighed.weight, axis)).sum()) for axis in range(rank)))
    rowed = work.rows.inputs(graph, one.ends)
    rows = tuple(share.value for share in reads if share.value in rowed)
    return SubModel(work, one, reads, one.wanted, sum(macs), rows)
