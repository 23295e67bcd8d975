"""Rules of operators over windows and places: pools, padding, resizing, norms of channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph.node import from_first
from .axis_rule import AxisRule, RuleView, UnknownRuleError, aligned, kept, makes, reads

__all__ = ["WINDOW_RULES"]


def _global_pool(view: RuleView) -> AxisRule:
    """Over all axes but the first two."""
    rank = view.rank(0)
    mixed = frozenset(map(reads, range(2, rank)))
    return AxisRule(same=kept(range(2), range(2)), mixed=mixed, ranks={0: rank})


def _pool(view: RuleView) -> AxisRule:
    """Windows along all axes but the first two, which need their places."""
    if len(view.results) > 1:
        raise UnknownRuleError("counts the places of its largest elements over all axes")
    # In no group, so pinned: a window takes neighbours.
    return AxisRule(same=kept(range(2), range(2)), ranks={0: view.rank(0)})


def _batch_norm(view: RuleView) -> AxisRule:
    """Each channel, the second axis, with numbers of its own."""
    rank = view.rank(0)
    if view.attribute("training_mode", 0) or not view.attribute("spatial", 1) or rank < 2:
        raise UnknownRuleError("is no norm of channels")
    first, channel, *others = aligned(view, (0,))
    same = (first, (*channel, *(reads(0, index) for index in view.present[1:])), *others)
    return AxisRule(same=same, ranks={0: rank})


def _instance_norm(view: RuleView) -> AxisRule:
    """Each channel, the second axis, normalised over all axes behind it, with two numbers of its own."""
    rank = view.rank(0)
    batch, channel, *others = aligned(view, (0,))
    same = (batch, (*channel, reads(0, 1), reads(0, 2)), *others)
    return AxisRule(same=same, mixed=frozenset(map(reads, range(2, rank))), ranks={0: rank})


def _lp_norm(view: RuleView) -> AxisRule:
    """Features go on, each over the norm of all."""
    rank = view.rank(0)
    return AxisRule(same=aligned(view, (0,)), mixed=frozenset({reads(view.axis(rank, -1))}), ranks={0: rank})


def _pad(view: RuleView) -> AxisRule:
    """Axes that get nothing in front or behind go on."""
    rank, pads = view.rank(0), view.integers("pads", 1)
    axes = view.told("axes", 3)
    if pads is None:
        raise UnknownRuleError("takes its pads from what is computed")
    axes = list(range(rank)) if axes is None else [from_first(axis, rank) for axis in axes]
    if len(pads) != 2 * len(axes):
        raise UnknownRuleError("cannot be understood")
    padded = {axis for place, axis in enumerate(axes) if pads[place] or pads[place + len(axes)]}
    stay = [axis for axis in range(rank) if axis not in padded]
    return AxisRule(same=kept(stay, stay), ranks={0: rank})


def _resize(view: RuleView) -> AxisRule:
    """Axes that are scaled by 1 go on."""
    extents, rank = view.extents(0), view.rank(0)
    if view.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise UnknownRuleError("takes a part of what it resizes")
    axes = view.attribute("axes")
    axes = list(range(rank)) if axes is None else [from_first(int(axis), rank) for axis in axes]
    place = 1 if view.node.op_type == "Upsample" or view.constants.opset < SIZES else 2
    scales = view.small(place)
    if scales is None and "scales" in view.node.attributes:
        scales = np.array(view.attribute("scales"))
    if scales is not None and scales.size:
        scaled = {axis for axis, scale in zip(axes, scales.reshape(-1).tolist(), strict=True) if scale != 1}
    else:
        sizes = view.integers("sizes", 3)
        if sizes is None:
            raise UnknownRuleError("takes its sizes from what is computed")
        # A size that is asked for is the scale itself, so that an axis of that extent is left as it is.
        scaled = {axis for axis, size in zip(axes, sizes, strict=True) if extents[axis] != size}
        if view.attribute("keep_aspect_ratio_policy", "stretch") != "stretch" and scaled:
            scaled = set(axes)
    stay = [axis for axis in range(rank) if axis not in scaled]
    return AxisRule(same=kept(stay, stay), ranks={0: rank})


SIZES = 11  # the operator set from which a Resize may be told sizes, and an area


def _tile(view: RuleView) -> AxisRule:
    """Axes that are not repeated go on."""
    rank, repeats = view.rank(0), view.integers("repeats", 1)
    if repeats is None or len(repeats) != rank:
        raise UnknownRuleError("takes its repeats from what is computed")
    stay = [axis for axis, count in enumerate(repeats) if count == 1]
    return AxisRule(same=kept(stay, stay), ranks={0: rank})


def _grid_sample(view: RuleView) -> AxisRule:
    """Places of a picture, the same of all channels."""
    rank = view.rank(0)
    return AxisRule(same=((reads(0), reads(0, 1), makes(0)), (reads(1), makes(1))), ranks={0: rank})


WINDOW_RULES: dict[str, Callable[[RuleView], AxisRule]] = {
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _pool),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "BatchNormalization": _batch_norm,
    "GridSample": _grid_sample,
    "InstanceNormalization": _instance_norm,
    "LpNormalization": _lp_norm,
    "Pad": _pad,
    "Tile": _tile,
}
