"""What each operator does to features: the labels of its outputs from those of its operands, and what it ties.

A rule returns (labels of each output, ties), or None where it does not understand the node. It may rely on nothing
that it cannot see: an unknown rank or extent where features lie is a reason to return None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..graph.constants import Constants
from ..graph.operators import JOINING, NORMS, POINTWISE, QUANTISING, REDUCING, RESHAPING, SOFTMAX, is_one_of
from ..onnx_ir import onnx_ir as ir

__all__ = [
    *("RULES", "Found", "Labels", "Operand", "Seen", "follow", "realign"),
]

Labels: TypeAlias = npt.NDArray[np.int64]
Extents: TypeAlias = tuple[Any, ...]
Found: TypeAlias = "tuple[list[Labels | None], list[tuple[Labels, Labels]]] | None"

SMALL = 1 << 20  # entries of index constants that are read


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand as a rule sees it: its labels, None where it tells no features apart; its extents, None where not even
    their number is known; the constants that it is among, None where it is dynamic."""

    value: ir.Value
    labels: Labels | None
    shape: Extents | None
    constants: Constants | None

    @property
    def rank(self) -> int | None:
        """Number of dimensions."""
        return None if self.shape is None else len(self.shape)

    def read(self) -> npt.NDArray[Any] | None:
        """What a small constant holds; None for anything else."""
        if self.constants is None or self.shape is None or int(np.prod(self.shape)) > SMALL:
            return None
        return self.constants.read(self.value)


@dataclass(frozen=True, slots=True)
class Seen:
    """A node as a rule sees it: its operands, None where left out, and the extents of its first output."""

    node: ir.Node
    operands: tuple[Operand | None, ...]
    shape: Extents | None

    @property
    def first(self) -> Operand:
        """The first operand, which every rule but those for several operands is about."""
        operand = self.operands[0]
        assert operand is not None
        return operand

    @property
    def labels(self) -> Labels:
        """The labels of the first operand, which those rules are only asked about where it has some."""
        assert self.first.labels is not None
        return self.first.labels

    def axis(self, default: int | None = None) -> int:
        """The attribute 'axis' of an operator on the first operand, counted from the first dimension."""
        return int(self.attribute("axis", default)) % self.labels.ndim

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.value

    def fixed(self, index: int, name: str) -> list[int] | None:
        """Integers from an operand, or before it was one from an attribute; None where they are not known."""
        if index < len(self.operands) and (operand := self.operands[index]) is not None:
            array = operand.read()
            return None if array is None else [int(v) for v in array.reshape(-1)]
        values = self.attribute(name)
        return None if values is None else [int(v) for v in values]


def follow(seen: Seen) -> Found:
    """The labels of the outputs of a node of whose operands some have labels, and what it ties; None where it is not
    understood. Raises ModelError, IndexError or ValueError where it is invalid.
    """
    node = seen.node
    rule = RULES[node.op_type] if is_one_of(node, RULES) else None
    # Before operator set 7 'broadcast' went with an attribute that told which axes line up.
    if rule is None or any(
        attribute.is_ref() or attribute.name == "broadcast" for attribute in node.attributes.values()
    ):
        return None
    if node.op_type not in JOINING and any(o is not None and o.labels is not None for o in seen.operands[1:]):
        return None  # an axis, a place or a shape that is computed from features
    return rule(seen)


def _pointwise(seen: Seen) -> Found:
    operands = [operand for operand in seen.operands if operand is not None]
    if any(operand.shape is None for operand in operands) or _used_beside_first(seen.node):
        return None
    if seen.node.op_type == "Dropout" and _draws(seen):
        return None
    if seen.node.op_type in QUANTISING and any(
        operand.labels is not None or operand.shape not in ((), (1,)) for operand in operands[1:]
    ):
        return None
    labels, ties = _together(operands)
    return None if labels is None else ([labels, *[None] * (len(seen.node.outputs) - 1)], ties)


def _draws(seen: Seen) -> bool:
    """Whether a Dropout draws random numbers, for all that is known."""
    training = seen.operands[2] if len(seen.operands) > 2 else None
    fixed = None if training is None else training.read()
    return training is not None and (fixed is None or bool(fixed.any()))


def _together(operands: Sequence[Operand]) -> tuple[Labels | None, list[tuple[Labels, Labels]]]:
    """The labels of what is computed element by element from operands that broadcast, and the ties between them."""
    rank = max(len(operand.shape or ()) for operand in operands)
    labelled = [_padded(o.labels, rank) for o in operands if o.labels is not None]
    try:
        extents = np.broadcast_shapes(*(labels.shape for labels in labelled))
    except ValueError:
        return None, []
    for operand in operands:
        shape = (1,) * (rank - len(operand.shape or ())) + tuple(operand.shape or ())
        for extent, features in zip(shape, extents, strict=True):
            if features > 1 and extent not in (1, features):  # also where the extent is not known
                return None, []
    first = np.broadcast_to(labelled[0], extents)
    return first, [(first, np.broadcast_to(other, extents)) for other in labelled[1:]]


def _padded(labels: Labels, rank: int) -> Labels:
    return labels.reshape((1,) * (rank - labels.ndim) + labels.shape)


def _used_beside_first(node: ir.Node) -> bool:
    return any(output.uses() or output.is_graph_output() for output in node.outputs[1:])


def _transpose(seen: Seen) -> Found:
    perm = seen.attribute("perm")
    return [seen.labels.transpose([int(a) for a in perm] if perm is not None else None)], []


def _reshape(seen: Seen) -> Found:
    first = seen.first
    if first.shape is None or seen.shape is None:
        return None
    labels = realign(seen.labels, first.shape, seen.shape)
    return None if labels is None else ([labels], [])


def _expand(seen: Seen) -> Found:
    """Axes that tell features apart stay as long as they are, whatever happens to those of extent 1."""
    rank = None if seen.shape is None else len(seen.shape)
    return None if rank is None or rank < seen.labels.ndim else ([_padded(seen.labels, rank)], [])


def realign(labels: Labels, before: Extents, after: Extents) -> Labels | None:
    """The labels of a value whose elements take other extents in the same order; None where that is not clear.

    Extents are matched from the last one on, in groups of equal product. Groups that tell features apart must be of
    known extents on both sides.

    >>> realign(np.arange(6).reshape(1, 1, 6), ("batch", "length", 6), ("rows", 2, 3)).shape
    (1, 2, 3)
    """
    i, j = len(before), len(after)
    source: list[int] = []
    target: list[int] = []
    while i or j:
        if i and before[i - 1] == 1:
            i -= 1
            source.append(1)
            continue
        if j and after[j - 1] == 1:
            j -= 1
            target.append(1)
            continue
        if i and j and labels.shape[i - 1] == 1 and before[i - 1] is not None and before[i - 1] == after[j - 1]:
            i, j = i - 1, j - 1
            source.append(1)
            target.append(1)
            continue
        if all(extent == 1 for extent in labels.shape[:i]):  # no features are left: whatever happens, happens beside
            source += [1] * i
            target += [1] * j
            break
        group = _group(before[:i], after[:j])
        if group is None:
            return None
        told = any(extent > 1 for extent in labels.shape[i - group[0] : i])
        source += list(before[i - group[0] : i])[::-1] if told else [1] * group[0]
        target += list(after[j - group[1] : j])[::-1] if told else [1] * group[1]
        i, j = i - group[0], j - group[1]
    full = np.broadcast_to(labels, tuple(reversed(source)))
    return full.reshape(tuple(reversed(target)))


def _group(before: Extents, after: Extents) -> tuple[int, int] | None:
    """How many of the last extents on either side make up the same product."""
    i = j = 0
    left = right = 1
    while not i or left != right:
        take = before if left <= right else after
        count = i if left <= right else j
        if count == len(take) or not isinstance(take[-1 - count], int) or not take[-1 - count]:
            return None
        if left <= right:
            left *= take[-1 - i]
            i += 1
        else:
            right *= take[-1 - j]
            j += 1
    return i, j


def _split(seen: Seen) -> Found:
    labels, axis, outputs = seen.labels, seen.axis(0), len(seen.node.outputs)
    if labels.shape[axis] == 1:
        return [labels] * outputs, []
    sizes = seen.fixed(1, "split")
    if sizes is None:
        each = -(-labels.shape[axis] // outputs)
        sizes = [min(each, max(0, labels.shape[axis] - each * index)) for index in range(outputs)]
    if len(sizes) != outputs or sum(sizes) != labels.shape[axis] or min(sizes) < 1:
        return None
    return [*np.split(labels, np.cumsum(sizes)[:-1], axis=axis)], []


def _concat(seen: Seen) -> Found:
    operands = [operand for operand in seen.operands if operand is not None]
    rank, axis = seen.first.rank, seen.attribute("axis")
    if rank is None or axis is None or any(operand.rank != rank for operand in operands):
        return None
    axis = int(axis) % rank
    labelled = [operand for operand in operands if operand.labels is not None]
    along = [operand.labels.shape[axis] for operand in labelled if operand.labels is not None]
    if max(along) == 1:  # operands stand beside one another on an axis without features
        rest = [_without(operand, axis) for operand in operands]
        labels, ties = _together(rest)
        return None if labels is None else ([labels], ties)
    if len(labelled) < len(operands) or any(
        operand.labels is None or operand.shape is None or operand.labels.shape[axis] != operand.shape[axis]
        for operand in operands
    ):
        return None
    parts = [operand.labels for operand in operands if operand.labels is not None]
    other = [
        np.broadcast_shapes(*(part.shape[d : d + 1] for part in parts))[0] if d != axis else 0 for d in range(rank)
    ]
    full = [np.broadcast_to(part, [*other[:axis], part.shape[axis], *other[axis + 1 :]]) for part in parts]
    return [np.concatenate(full, axis=axis)], []


def _without(operand: Operand, axis: int) -> Operand:
    """The same operand with an extent of 1 on one axis."""
    assert operand.shape is not None
    return replace(operand, shape=(*operand.shape[:axis], 1, *operand.shape[axis + 1 :]))


def _slice(seen: Seen) -> Found:
    labels, rank = seen.labels, seen.labels.ndim
    starts, ends = seen.fixed(1, "starts"), seen.fixed(2, "ends")
    axes = seen.fixed(3, "axes")
    if axes is None:
        if (len(seen.operands) > 3 and seen.operands[3] is not None) or starts is None:
            return None
        axes = list(range(len(starts)))
    axes = [axis % rank for axis in axes]
    if all(labels.shape[axis] == 1 for axis in axes):
        return [labels], []
    steps = seen.fixed(4, "steps") if len(seen.operands) > 4 else [1] * len(axes)
    if starts is None or ends is None or steps is None or any(step < 1 for step in steps):
        return None
    window = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if labels.shape[axis] > 1:
            window[axis] = slice(start, end, step)
    cut = labels[tuple(window)]
    return ([cut], []) if cut.size else None


def _gather(seen: Seen) -> Found:
    labels, axis, index = seen.labels, seen.axis(0), seen.operands[1]
    if index is None or index.rank is None or index.rank > 1:
        return None
    if labels.shape[axis] == 1:
        return [labels if index.rank else labels.squeeze(axis)], []
    places = index.read()
    return None if places is None or not places.size else ([np.take(labels, places, axis)], [])


def _bound(labels: Labels, axes: Sequence[int]) -> tuple[Labels, list[tuple[Labels, Labels]]]:
    """One label for all along some axes, and the ties that make it so."""
    kept = labels
    for axis in axes:
        kept = np.take(kept, [0], axis)
    return kept, [] if kept.size == labels.size else [(labels, np.broadcast_to(kept, labels.shape))]


def _binding(seen: Seen) -> Found:
    """Operators along an axis whose every result depends on all that lies there."""
    labels, axis, rank = seen.labels, seen.axis(-1), seen.labels.ndim
    norm = seen.node.op_type in NORMS
    if _used_beside_first(seen.node) or any(o is not None and o.rank != rank - axis for o in seen.operands[1:]):
        return None
    _, ties = _bound(labels, range(axis, rank) if norm else [axis])
    return [labels, *[None] * (len(seen.node.outputs) - 1)], ties


def _reduce(seen: Seen) -> Found:
    labels, rank = seen.labels, seen.labels.ndim
    axes = seen.fixed(1, "axes")
    if not axes:
        return None
    axes = sorted({axis % rank for axis in axes})
    kept, ties = _bound(labels, axes)
    return [kept if seen.attribute("keepdims", 1) else kept.squeeze(tuple(axes))], ties


def _matmul(seen: Seen) -> Found:
    """A product of two dynamic values: all that is summed over belongs together, and with what comes of it."""
    left, right = seen.operands[0], seen.operands[1]
    if left is None or right is None or left.rank is None or right.rank is None or left.rank < 2 or right.rank < 2:
        return None
    if left.constants is not None or right.constants is not None:
        return None
    rank = max(left.rank, right.rank)
    sides, ties = [], []
    for operand, over in ((left, -1), (right, -2)):
        assert operand.shape is not None
        shape = list(operand.shape)
        labels = operand.labels
        if labels is not None:
            labels, own = _bound(labels, [labels.ndim + over])
            ties += own
        shape[over] = 1
        if operand.labels is None:  # its other axis tells no features apart
            shape[-3 - over] = 1
        sides.append(replace(operand, labels=labels, shape=tuple(shape)))
    # The rows of the left meet the columns of the right: each is of extent 1 on the other's axis.
    labels, more = _together(sides)
    return None if labels is None or labels.ndim != rank else ([labels], ties + more)


RULES: dict[str, Callable[[Seen], Found]] = {
    **dict.fromkeys(POINTWISE | QUANTISING, _pointwise),
    **dict.fromkeys(RESHAPING, _reshape),
    **dict.fromkeys(NORMS | SOFTMAX, _binding),
    **dict.fromkeys(REDUCING, _reduce),
    "Expand": _expand,
    "Transpose": _transpose,
    "Split": _split,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "MatMul": _matmul,
}
