"""Channels of a model that do nothing, as a preparation of a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...ir.axes.axis_rule import Operand
from ...ir.errors import ModelError
from ...ir.graph.activations import Activations
from ...ir.graph.linear import scopes
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.decomposition import LARGEST
from ...ir.plan.removed_channels import CutAxis, RemovedChannels
from ...ir.plural import counted
from ...ir.reason import Cause, Reason
from ..decompose.fingerprint import fingerprint
from ..lowering.seconds import dense_seconds
from ..lowering.target import Target
from .axis_classes import Masks
from .contraction import Contraction
from .removal import Removal, removal_of

__all__ = ["find"]


def find(
    model: ir.Model,
    target: Target,
    sized: Callable[[], tuple[Setting, ...]],
    *,
    exact: bool = False,
    seen: View | None = None,
    visit: Callable[[ir.Node], None] | None = None,
) -> tuple[RemovedChannels, ...]:
    """What of a model can be left out: one preparation for all of it, or none; reads the model, changes nothing.

    target: what the smaller products are priced for; sized: finds the sizes that activations are predicted for; exact:
    whether a channel counts as dead only where every weight that reads it is exactly zero, not also where it is zero
    up to rounding; seen: the view of the model where that was made; visit: called with each of its nodes while the
    weights of that are at hand. Weights that cannot be read leave the model as it is.
    """
    seen = view(model) if seen is None else seen
    try:
        removal = removal_of(seen.model, seen.found.constants, exact=exact, visit=visit)
        if not removal.cut():
            return ()
        smaller = removal.smaller()
        weights = tuple(fingerprint(one.stored()) for one in smaller)
    except (ModelError, ValueError, IndexError, TypeError):  # of an invalid node nothing is known
        return ()
    addresses = {node: text for scope in scopes(seen.model) for node, text in scope.addresses.items()}
    axes = _axes(removal, smaller, addresses)
    if not axes or not smaller:
        return ()
    return (
        RemovedChannels(
            nodes=tuple(addresses[one.node] for one in smaller),
            weights=weights,
            axes=axes,
            exact=exact,
            gain=_gain(smaller, removal.masks, Activations(seen.model, sized), target),
            reason=_reason(removal, axes, smaller),
        ),
    )


def _axes(removal: Removal, smaller: Sequence[Contraction], addresses: Mapping[ir.Node, str]) -> tuple[CutAxis, ...]:
    """What goes, one entry for all axes that are cut alike, as long as an operator makes one or has it inside; none
    where one of them is longer than a plan tells."""
    read = {removal.masks.classes.sets.root(one.inner) for one in smaller}
    found = []
    for root, dims in removal.cut().items():
        stays, values = removal.masks.of(root), any(isinstance(place, ir.Value) for place, _ in dims)
        if stays.size > LARGEST:
            return ()
        made = [
            (maker, place.index() or 0, axis)
            for place, axis in dims
            if isinstance(place, ir.Value) and (maker := place.producer()) is not None and maker in addresses
        ]
        if not values and root in read:  # between two products of one operator
            made = [(place.node, place.index, axis) for place, axis in dims if isinstance(place, Operand)]
        if made:
            maker, slot, axis = made[0]
            gone, counts = np.flatnonzero(~stays), root in read
            cut = CutAxis(node=addresses[maker], slot=slot, axis=axis, size=stays.size, removed=gone, counts=counts)
            found.append(replace(cut, inside=not values))
    # Where products read only what is cut, as another view of it, every axis is told.
    return tuple(found) if any(one.counts for one in found) else tuple(replace(one, counts=True) for one in found)


def _reason(removal: Removal, axes: Sequence[CutAxis], smaller: Sequence[Contraction]) -> Reason:
    """What goes and why, in words."""
    count = sum(one.removed.size for one in axes if one.counts)
    whole = sum(one.size for one in axes if one.counts)
    constant = sum(one.constant_count(removal.masks) for one in smaller)
    tiny = sum(one.tiny_count(removal.masks) for one in smaller)
    parts = [f"{count:,} of {whole:,} channels do nothing, in {counted(len(smaller), 'product')} that read them"]
    if constant:
        parts.append(f"{constant:,} are constant and go into the next bias")
    if tiny:
        parts.append(f"{tiny:,} are read by weights only that are below all rounding (the option exact keeps them)")
    return Reason(Cause.DO_NOTHING, "; ".join(parts))


def _gain(smaller: Sequence[Contraction], masks: Masks, activations: Activations, target: Target) -> float | None:
    """Predicted time of the products before over that after, at its worst: they are dense before and after."""
    gains = []
    for place in range(len(activations.settings)):
        for prices in target.prices:
            before = after = 0.0
            for one in smaller:
                K, N, left_in, left_out = one.extents(masks)
                made = next(value for value in one.node.outputs if value.name)
                shape = activations.shape(made, place)
                axis = len(shape) - one.result_axis
                rows = max(1, math.prod(extent for at, extent in enumerate(shape) if at != axis))
                before += dense_seconds((K, N), rows, one.itemsize, prices)
                after += dense_seconds((left_in, left_out), rows, one.itemsize, prices)
            gains.append(before / after)
    return min(gains, default=None)
