"""Single features through one operator: the labels of its results from those of its operands, and what it ties.

The second reading of the table of axis rules. Labels go on along the axes that a rule calls the same; what it calls
mixed is tied; through axes that are cut or regrouped they go where the elements go.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..graph.node import NodeView
from ..graph.operators import BLOCKWISE, JOINING, QUANTISING, REDUCING, is_one_of
from ..onnx_ir import onnx_ir as ir
from .axis_rule import AxisRule, Cut, Sizes, Taken
from .axis_rules import axis_rule, is_pointwise
from .regrouping import Extents, Labels, realign

__all__ = ["Followed", "Tie", "follow"]

Tie: TypeAlias = "tuple[Labels, Labels]"
Followed: TypeAlias = "tuple[list[Labels | None], list[Tie]]"


def follow(node: ir.Node, labels: Mapping[ir.Value, Labels], sizes: Sizes) -> Followed | None:
    """The labels of each output of a node of whose operands some have labels, and what it ties; None where it is not
    understood, or cannot be computed for one block of features alone.

    Ties are pairs of arrays of one shape, entries at the same place naming features that belong together. May rely on
    nothing that it cannot see: an unknown rank or extent where features lie is a reason to return None. Raises
    ModelError, IndexError or ValueError where the node is invalid.
    """
    own = {index: labels[value] for index, value in enumerate(node.inputs) if value is not None and value in labels}
    if len(node.outputs) == 1 and is_pointwise(node, sizes):
        return _elementwise(node, sizes, own)
    view = NodeView(node, sizes.constants)
    if not is_one_of(node, BLOCKWISE) or _stays_whole(view, sizes, own):
        return None
    rule = axis_rule(node, sizes)
    if isinstance(rule, str):
        return None
    try:
        found = _Reading(view, rule, sizes, own).outputs()
    except _LostError:
        return None
    sizes.learn(node, rule)
    return found


def _elementwise(node: ir.Node, sizes: Sizes, own: Mapping[int, Labels]) -> Followed | None:
    """The same as `_Reading` of what computes element by element, which most nodes of long chains do: whether labels go
    on, and over which extents, is asked once for all nodes whose operands look alike."""
    operands = tuple(None if value is None else (sizes.of(value),) for value in node.inputs)
    extents = _broadcast(operands, tuple((index, labels.shape) for index, labels in own.items()))
    if extents is None:
        return None
    if not sizes.is_settled(node.outputs[0]) and not isinstance(rule := axis_rule(node, sizes), str):
        sizes.learn(node, rule)
    first, *others = (
        labels if labels.shape == extents else np.broadcast_to(labels, extents) for labels in own.values()
    )
    return [first], [(first, other) for other in others if other is not first]


@functools.lru_cache(1 << 12)
def _broadcast(
    operands: tuple[tuple[Extents | None] | None, ...], told: tuple[tuple[int, tuple[int, ...]], ...]
) -> tuple[int, ...] | None:
    """The extents of the labels of a result, of operands of these extents that broadcast, None where one is left out.

    told: which of them have labels, and of which shape. None where one has no known rank, or along an axis that tells
    features apart neither labels nor as many entries, or one.
    """
    present = {index: one[0] for index, one in enumerate(operands) if one is not None}
    known = {index: extents for index, extents in present.items() if extents is not None}
    if len(known) < len(present) or any(len(shape) != len(known[index]) for index, shape in told):
        return None
    # Labels of fewer axes line up from the last one on, as what they are labels of does.
    rank = max(map(len, known.values()))
    placed = {index: (1,) * (rank - len(shape)) + shape for index, shape in told}
    try:
        found = np.broadcast_shapes(*placed.values())
    except ValueError:
        return None
    # An operand without labels may be spread over features, but not tell other ones apart.
    for index, extents in known.items():
        lead = rank - len(extents)
        for axis, extent in enumerate(extents, lead):
            apart = index in placed and placed[index][axis] > 1
            if found[axis] > 1 and not apart and extent not in (1, found[axis]):
                return None  # also where the extent is not known
    return found


def _stays_whole(view: NodeView, sizes: Sizes, own: Mapping[int, Labels]) -> bool:
    """Whether a node is one that no block of features can be computed of alone, whatever its rule says."""
    node, op = view.node, view.node.op_type
    if op not in JOINING and own.keys() - {0}:
        return True  # an axis, a place or a shape that is computed from features
    if op != "Split" and any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return True
    if op in QUANTISING:  # a scale for each index of an axis does not broadcast from the last one on
        scales = [sizes.of(value) for value in node.inputs[1:] if value is not None]
        return bool(own.keys() - {0}) or any(extents not in ((), (1,)) for extents in scales)
    if op in REDUCING:  # blocks that are stacked have one axis more, which "all axes" would take in
        return not view.integers("axes", 1)
    if op == "MatMul":  # of two values: with a constant, it is a linear or nothing that is understood
        ranks = [len(sizes.of(value) or ()) for value in node.inputs if value is not None]
        return min(ranks) < 2 or any(value in view.constants for value in node.inputs if value is not None)
    return False


class _LostError(Exception):
    """Where features go cannot be told."""


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """One node, its rule, and the labels of those operands that have some."""

    view: NodeView
    rule: AxisRule
    sizes: Sizes
    own: Mapping[int, Labels]

    def outputs(self) -> Followed:
        """The labels of all results; of others than the first only where a Split makes them."""
        results = range(len(self.view.node.outputs) if self.view.node.op_type == "Split" else 1)
        found: list[Labels | None] = [None] * len(self.view.node.outputs)
        ties: list[Tie] = []
        bound = {index: self._bound(index, ties) for index in self.own}
        for result in results:
            found[result] = self._result(result, bound, ties)
        return found, ties

    def _bound(self, index: int, ties: list[Tie]) -> Labels:
        """The labels of an operand with what the rule mixes tied together; one label for all where that ends there."""
        #     Softmax of 0 1 2 3      ties 0-0 1-0 2-0 3-0, labels 0 1 2 3: each result depends on all, features go on
        #     ReduceSum of 0 1 2 3    the same ties,        label 0:        there is one result for all
        labels = self.own[index]
        axes = [ref.axis for ref in self.rule.mixed if (ref.is_result, ref.slot) == (False, index)]
        going_on = set(self._sources(index, 0).values())
        tied = ended = labels
        for axis in axes:
            tied = np.take(tied, [0], axis)
            if axis not in going_on:
                ended = np.take(ended, [0], axis)
        if tied.size != labels.size:
            ties.append((labels, np.broadcast_to(tied, labels.shape)))
        return ended

    def _sources(self, index: int, result: int) -> dict[int, int]:
        """For axes of a result: the axis of an operand that the rule says is the same."""
        found: dict[int, int] = {}
        for group in self.rule.same:
            targets = [ref.axis for ref in group if (ref.is_result, ref.slot) == (True, result)]
            sources = [ref.axis for ref in group if (ref.is_result, ref.slot) == (False, index)]
            if targets and sources:
                found[targets[0]] = sources[0]
        return found

    def _result(self, result: int, bound: Mapping[int, Labels], ties: list[Tie]) -> Labels:
        """The labels of one result, from those of all operands; what broadcasts against one another is tied."""
        if self.rule.regrouped is not None:
            moved = realign(bound[0], self.rule.regrouped)
            if moved is None:
                raise _LostError
            return moved
        placed = {index: self._placed(index, result, labels) for index, labels in bound.items()}
        for cut in self.rule.cuts:
            axis = cut.target.axis if cut.target is not None and len(cut.pieces) > 1 else None
            if axis is not None and any(labels.shape[axis] > 1 for labels in placed.values()):
                return self._joined(cut, axis, placed)
        return self._together(result, placed, ties)

    def _placed(self, index: int, result: int, labels: Labels) -> Labels:
        """The labels of an operand along the axes of a result, of extent 1 on those that are none of its own."""
        sources = self._sources(index, result)
        for cut in self.rule.cuts:
            if cut.target is not None and cut.target.slot != result:
                continue  # what another result of a Split takes
            for source, taken in cut.pieces:
                if source.slot != index:
                    continue
                labels = _taken(labels, source.axis, taken)
                if cut.target is not None:
                    sources[cut.target.axis] = source.axis
        # `sources` now says where each axis of the result comes from, as in y = x.transpose(2, 0)[:, :, None].
        # Turn the axes into the order of the result, those that end there last, and put 1 where it has more.
        ending = [axis for axis in range(labels.ndim) if axis not in sources.values()]
        if any(labels.shape[axis] > 1 for axis in ending):
            raise _LostError
        turned = labels.transpose([*(sources[axis] for axis in sorted(sources)), *ending])
        rank = self.rule.ranks[result]
        return turned.reshape([labels.shape[sources[axis]] if axis in sources else 1 for axis in range(rank)])

    def _joined(self, cut: Cut, axis: int, placed: Mapping[int, Labels]) -> Labels:
        """Labels one after another along an axis, where all operands tell all their features along it apart."""
        if len(placed) < len(cut.pieces):
            raise _LostError
        parts = [placed[source.slot] for source, _ in cut.pieces]
        extents = [self._extents(source.slot)[source.axis] for source, _ in cut.pieces]
        if any(part.shape[axis] != extent for part, extent in zip(parts, extents, strict=True)):
            raise _LostError
        # Along the other axes the parts need not be tied: each place of the result comes from one of them alone.
        rest = np.broadcast_shapes(*((*part.shape[:axis], 1, *part.shape[axis + 1 :]) for part in parts))
        full = [np.broadcast_to(part, (*rest[:axis], part.shape[axis], *rest[axis + 1 :])) for part in parts]
        return np.concatenate(full, axis=axis)

    def _together(self, result: int, placed: Mapping[int, Labels], ties: list[Tie]) -> Labels:
        """The labels of what is computed element by element from operands that broadcast to a result.

        An operand without labels has to have, along an axis that tells features apart, as many entries or one.
        """
        try:
            extents = np.broadcast_shapes(*(labels.shape for labels in placed.values()))
        except ValueError:
            raise _LostError from None
        for index, value in enumerate(self.view.node.inputs):
            sources = {} if value is None else self._sources(index, result)
            for axis, source in sources.items():
                told = index in placed and placed[index].shape[axis] > 1
                if extents[axis] > 1 and not told and self._extents(index)[source] not in (1, extents[axis]):
                    raise _LostError  # also where the extent is not known
        # One element is computed from one of each operand, so that these belong together.
        first, *others = (np.broadcast_to(labels, extents) for labels in placed.values())
        ties += [(first, other) for other in others]
        return first

    def _extents(self, index: int) -> Extents:
        value = self.view.node.inputs[index]
        extents = None if value is None else self.sizes.of(value)
        if extents is None:
            raise _LostError
        return extents


def _taken(labels: Labels, axis: int, taken: Taken) -> Labels:
    """The labels of what is taken along an axis; an axis that goes is left with an extent of 1."""
    if labels.shape[axis] == 1:
        return labels  # whatever is taken there, no feature is told apart
    if taken is None:
        raise _LostError
    if isinstance(taken, int):
        return np.take(labels, [taken], axis)
    found = labels[(slice(None),) * axis + (taken,)] if isinstance(taken, slice) else np.take(labels, taken, axis)
    if not found.size:
        raise _LostError
    return found
