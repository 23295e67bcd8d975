"""A region cut into blocks: how they are to be computed, and what each of them owns of every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from ....ir.axes.region import Region
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Decomposition
from ....ir.plan.region_split import FeatureLayout
from ....ir.reason import Cause, Reason
from ...decompose.region import Selection, assign, selections

__all__ = ["UNEQUAL", "Group", "RegionBlocks", "RegionCut", "cut_up", "stacks_of"]

Group: TypeAlias = "tuple[int, ...]"
UNEQUAL = Reason(Cause.BLOCKS, "blocks of different sizes cannot be stacked")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionBlocks:
    """The blocks of a region, and one way to compute them.

    decompositions: of each of its linears, block i of each being one block of the region; layout, blocks_per_node: see
    `RegionSplit`; copies: linears that are selections, which multiply nothing.
    """

    decompositions: tuple[Decomposition, ...]
    layout: FeatureLayout = "features_last"
    blocks_per_node: int = 1
    copies: frozenset[Linear] = frozenset()

    @property
    def features_first(self) -> bool:
        """Whether features come first."""
        return self.layout == "features_first"

    @property
    def groups(self) -> list[Group]:
        """The blocks that are computed at once: where stacks are picked, those of one shape in every linear."""
        count = len(self.decompositions[0].blocks)
        if self.layout != "stacked":
            return stacks_of(count, self.blocks_per_node)
        shapes = [tuple(found.blocks[index].shape for found in self.decompositions) for index in range(count)]
        alike = (list(own) for _, own in groupby(range(count), key=shapes.__getitem__))
        return [tuple(own[at] for at in group) for own in alike for group in stacks_of(len(own), self.blocks_per_node)]


def stacks_of(count: int, blocks_per_node: int) -> list[Group]:
    """The blocks that are computed at once.

    >>> stacks_of(5, 2)
    [(0, 1), (2, 3), (4,)]
    """
    return [tuple(range(first, min(first + blocks_per_node, count))) for first in range(0, count, blocks_per_node)]


@dataclass(frozen=True, slots=True, eq=False)
class RegionCut:
    """A region in blocks.

    selected: for each value of the region what each block owns along each axis; owned: the same for each group of
    blocks.
    """

    blocks: RegionBlocks
    groups: Sequence[Group]
    selected: Mapping[ir.Value, Sequence[Selection]]
    owned: Sequence[Mapping[ir.Value, Sequence[Selection]]]


def cut_up(region: Region, blocks: RegionBlocks) -> RegionCut | Reason:
    """What each block owns of each value along each of its axes; the reason where that is not the same everywhere, or
    no rectangle, or where the blocks of a stack are not of one shape, or features not on the last of two axes where
    they are to come first."""
    block_of = assign(region, blocks.decompositions)
    if block_of is None:
        return Reason(Cause.BLOCKS, "its blocks contradict each other: what one writes another reads")
    groups = blocks.groups
    selected: dict[ir.Value, list[Selection]] = {}
    alike: dict[tuple[int, ...], list[Selection]] = {}  # values in a row carry the same features
    for value, parts in selections(region, block_of, region.written, sum(map(len, groups))):
        labels = region.features.labels[value]
        key = (id(parts), *labels.shape)
        if key in alike:
            selected[value] = alike[key]
            continue
        if blocks.features_first and (labels.ndim != 2 or labels.shape[0] > 1):
            return Reason(Cause.LAYOUT, f"the features of {value.name!r} are not on the last of two axes")
        owned = [found for found in parts if found is not None]
        if len(owned) < len(parts):
            return Reason(Cause.BLOCKS, f"block {parts.index(None)} is no rectangle of {value.name!r}")
        for group in groups:
            if len({tuple(axis.size for axis in owned[index]) for index in group}) > 1:
                return UNEQUAL
        selected[value] = alike[key] = owned
    each = [_of_group(selected, group) for group in groups]
    return RegionCut(blocks, groups, selected, each)


def _of_group(selected: Mapping[ir.Value, list[Selection]], group: Group) -> dict[ir.Value, list[Selection]]:
    """What the blocks of one group own of each value."""
    own = {id(found): [found[block] for block in group] for found in selected.values()}
    return {value: own[id(found)] for value, found in selected.items()}
