"""Where a region begins and ends: its activations in the order of the blocks, its results in the order of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....ir.axes.feature_ids import feature_axis_in
from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ...decompose.blocks import is_run
from ...decompose.region import Ids, Selection
from ..nodes.emitter import Emitter
from ..nodes.kept_apart import feeds_vector, kept_apart
from ..nodes.last_axis import take_columns
from ..nodes.primitives import bias_of
from .cut import Group
from .linear import role_of

__all__ = ["Entrance", "biased", "leave", "why_not_left"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entrance:
    """How activations enter a region, each once however many linears read it.

    features_first: whether features come first; picked: whether one Gather on the axis of the features picks those of
    a whole stack; now: what stands in the place of a value already.
    """

    groups: Sequence[Group]
    features_first: bool
    picked: bool
    now: Mapping[ir.Value, ir.Value]
    entered: dict[Any, list[ir.Value]] = field(default_factory=dict)
    turned: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def pieces(self, emitter: Emitter, linear: Linear, wanted: Sequence[Ids]) -> list[ir.Value]:
        """What each group reads of the activation of a linear, which is computed outside of the region.

        wanted: the features that each block reads, in its order, equally many in each block of a stack.
        """
        key = (linear.activation, tuple(one.tobytes() for one in wanted))
        if key not in self.entered:
            enter = self._columns if self.features_first else self._picked if self.picked else self._rows
            self.entered[key] = enter(emitter, linear, wanted)
        return self.entered[key]

    def _columns(self, emitter: Emitter, linear: Linear, wanted: Sequence[Ids]) -> list[ir.Value]:
        value = linear.activation
        if value not in self.turned:
            self.turned[value] = emitter.one("Transpose", [self.now.get(value, value)], "enter", perm=[1, 0])
        found = []
        for group in self.groups:
            rows = wanted[group[0]] if len(group) == 1 else np.stack([wanted[index] for index in group])
            index = emitter.constant(rows.astype(np.int64), f"{role_of(group)}/inputs")
            found.append(emitter.one("Gather", [self.turned[value], index], role_of(group), axis=0))
        return found

    def _picked(self, emitter: Emitter, linear: Linear, wanted: Sequence[Ids]) -> list[ir.Value]:
        """One Gather (…, count, each) for each stack, or a Slice where features follow one another."""
        source = self.now.get(linear.activation, linear.activation)
        axis = feature_axis_in(linear)
        assert axis is not None, "checked before"
        found = []
        for group in self.groups:
            places, role = np.concatenate([wanted[index] for index in group]), role_of(group)
            count, each = len(group), wanted[group[0]].size
            if _follows(places):
                piece = source if places.size == linear.shape[0] else _window(emitter, source, places, axis, role)
                found.append(piece if count == 1 else _pile(emitter, piece, axis, count, each))
                continue
            rows = places if count == 1 else places.reshape(count, each)
            index = emitter.constant(rows.astype(np.int64), f"{role}/inputs")
            piece = emitter.one("Gather", [source, index], role, axis=axis)
            found.append(piece if count == 1 else _piled(emitter, piece, axis))
        return found

    def _rows(self, emitter: Emitter, linear: Linear, wanted: Sequence[Ids]) -> list[ir.Value]:
        source = self.now.get(linear.activation, linear.activation)
        axis, extent = feature_axis_in(linear), linear.shape[0]
        assert axis is not None, "checked before"
        order = np.concatenate(wanted)
        natural = order.size == extent and _is_natural(order)
        if not natural and max(map(len, self.groups)) == 1 and all(_follows(one) for one in wanted):
            return [
                _window(emitter, source, one, axis, role_of(group))
                for one, group in zip(wanted, self.groups, strict=True)
            ]
        whole = source if natural else take_columns(emitter, source, order, extent=extent, rank=axis + 1, role="enter")
        sizes = [sum(wanted[index].size for index in group) for group in self.groups]
        pieces = [whole]
        if len(sizes) > 1:
            lengths = emitter.integers(sizes, "enter/sizes")
            pieces = emitter.node("Split", [whole, lengths], "enter", {"axis": axis}, len(sizes))
        return [
            piece if len(group) == 1 else _pile(emitter, piece, axis, len(group), wanted[group[0]].size)
            for piece, group in zip(pieces, self.groups, strict=True)
        ]


def _is_natural(order: Ids) -> bool:
    return bool((order == np.arange(order.size)).all())


def _follows(places: Ids) -> bool:
    """Whether places follow one another, in their order."""
    return is_run(places) and bool((np.diff(places) == 1).all())


def _window(emitter: Emitter, source: ir.Value, one: Ids, axis: int, role: str) -> ir.Value:
    bounds = ((int(one[0]), "start"), (int(one[-1]) + 1, "stop"), (axis, "axis"))
    return emitter.one("Slice", [source, *(emitter.integers([v], f"{role}/{n}") for v, n in bounds)], role)


def _pile(emitter: Emitter, piece: ir.Value, axis: int, count: int, each: int) -> ir.Value:
    """(…, count · each) to (count, …, each)."""
    shape = emitter.integers([0] * axis + [count, each], "enter/shape")
    return _piled(emitter, emitter.one("Reshape", [piece, shape], "enter"), axis)


def _piled(emitter: Emitter, apart: ir.Value, axis: int) -> ir.Value:
    """(…, count, each) to (count, …, each)."""
    piled = emitter.one("Transpose", [apart], "enter", perm=[axis, *range(axis), axis + 1])
    # ONNX Runtime (1.31) would merge the Transpose into a product behind it, which divides by zero without any rows.
    return emitter.one("Reshape", [piled, emitter.integers([0] * (axis + 2), "enter/same")], "enter")


def why_not_left(value: ir.Value, selections: Sequence[Selection], groups: Sequence[Group]) -> Reason | None:
    """Why a value cannot leave a region whole; None when it can. selections: what each block owns along each axis."""
    told = _told(selections)
    if len(told) > 1:
        return Reason(Cause.BLOCKS, f"the blocks of {value.name!r} lie on several axes")
    stacked = max(map(len, groups)) > 1
    if stacked and told and told[0] != len(selections[0]) - 1:
        return Reason(Cause.LAYOUT, f"the blocks of {value.name!r} are not on its last axis")
    return None


def _told(selections: Sequence[Selection]) -> list[int]:
    """The axes along which blocks own different features."""
    return [axis for axis in range(len(selections[0])) if len({one[axis].tobytes() for one in selections}) > 1]


def leave(
    emitter: Emitter,
    value: ir.Value,
    pieces: Sequence[ir.Value],
    selections: Sequence[Selection],
    entrance: Entrance,
) -> ir.Value:
    """A value of a region whole, each feature in its place.

    pieces: one for each group; selections: what each block owns of the value along each axis; entrance: how what it was
    computed from came in.
    """
    groups, features_first = entrance.groups, entrance.features_first
    rank = len(selections[0])
    axis = next(iter(_told(selections)), rank - 1)
    order = np.concatenate([one[axis] for one in selections])
    if features_first and max(map(len, groups)) == 1:
        whole = _turned(emitter, value, pieces, order)
    else:
        ends = zip(pieces, groups, strict=True)
        flat = [
            _flat(emitter, value, piece, axis, selections, group, features_first=features_first)
            for piece, group in ends
        ]
        whole = flat[0] if len(flat) == 1 else _typed(emitter.one("Concat", flat, "leave", axis=axis), value)
        if not _is_natural(order):
            whole = _restored(emitter, whole, axis, None if entrance.picked else rank, order)
    if features_first and feeds_vector(value):  # ONNX Runtime moves Transposes behind a Concat of them, too
        whole = kept_apart(emitter, _typed(whole, value), "leave")
    return _typed(whole, value)


def biased(emitter: Emitter, linear: Linear, whole: ir.Value, constants: Constants) -> ir.Value:
    """What left a region at a linear, with the bias of that, which was not added to its blocks."""
    bias = bias_of(linear, constants)
    assert bias is not None, "checked before"
    return _typed(emitter.one("Add", [whole, emitter.constant(bias, "leave/bias")], "leave"), linear.output)


def _flat(
    emitter: Emitter,
    value: ir.Value,
    piece: ir.Value,
    axis: int,
    selections: Sequence[Selection],
    group: Group,
    *,
    features_first: bool,
) -> ir.Value:
    """What a group computed with all its features on one axis: (count, …, each) to (…, count · each)."""
    if len(group) == 1:
        return _typed(emitter.one("Transpose", [piece], "leave", perm=[1, 0]), value) if features_first else piece
    perm = [2, 0, 1] if features_first else [*range(1, axis + 1), 0, axis + 1]
    apart = _typed(emitter.one("Transpose", [piece], "leave", perm=perm), value)
    total = sum(selections[index][axis].size for index in group)
    # No -1, which would be ambiguous without any rows.
    return _typed(
        emitter.one("Reshape", [apart, emitter.integers([0] * axis + [total], "leave/shape")], "leave"), value
    )


def _restored(emitter: Emitter, whole: ir.Value, axis: int, rank: int | None, order: Ids) -> ir.Value:
    """Features that follow one another in `order` in their natural order; rank: None where one Gather picks them."""
    back = np.argsort(order)
    if rank is not None and axis == rank - 1:
        return take_columns(emitter, whole, back, extent=order.size, rank=rank, role="leave")
    return emitter.one("Gather", [whole, emitter.integers(back, "leave/order")], "leave", axis=axis)


def _turned(emitter: Emitter, value: ir.Value, pieces: Sequence[ir.Value], order: Ids) -> ir.Value:
    """What blocks computed with features first, rows first again."""
    if _is_natural(order) and len(pieces) > 1:  # a piece is transposed while it is in the cache
        flat = [_typed(emitter.one("Transpose", [piece], "leave", perm=[1, 0]), value) for piece in pieces]
        return emitter.one("Concat", flat, "leave", axis=1)
    whole = pieces[0] if len(pieces) == 1 else _typed(emitter.one("Concat", pieces, "leave", axis=0), value)
    if not _is_natural(order):
        back = emitter.integers(np.argsort(order), "leave/order")
        whole = _typed(emitter.one("Gather", [whole, back], "leave", axis=0), value)
    whole = emitter.one("Transpose", [whole], "leave", perm=[1, 0])
    if value.is_graph_output() or value.dtype == ir.DataType.FLOAT16:  # see `layout.guarded`
        whole = emitter.one("Reshape", [_typed(whole, value), emitter.integers([0, 0], "leave/same")], "leave")
    return whole


def _typed(made: ir.Value, like: ir.Value) -> ir.Value:
    made.type = like.type
    return made
