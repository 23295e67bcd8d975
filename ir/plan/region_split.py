"""Linears that are split together: their blocks run side by side from where the first begins to where the last ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from ..brief import brief
from ..record import shown
from .decomposition import PlanError

__all__ = ["FeatureLayout", "RegionSplit"]

FeatureLayout = Literal["features_last", "features_first", "stacked"]
MOST = 1e9  # a gain above this was never predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSplit:
    """Several linears of a plan whose blocks belong together: block i of each reads what block i of the others wrote.

    nodes: the addresses of the linears, whose steps say which features block i owns; layout: whether features stay on
    the axis that they are on ('features_last'), or come first ('features_first', activations of two dimensions only),
    or stay and are picked for a whole stack of blocks at once ('stacked', blocks of equal shape one after another);
    blocks_per_node: how many equal blocks are computed by one node at most, stacked along a new first axis, 1 where
    each has nodes of its own; gain: predicted dense time over split time, at its worst over the row counts of the plan;
    reason: why this was chosen. Raises PlanError when one of them is nonsense.

    >>> RegionSplit.from_dict(RegionSplit(nodes=("up", "down"), reason="4 blocks").to_dict()).layout
    'features_last'
    """

    nodes: tuple[str, ...]
    layout: FeatureLayout = "features_last"
    blocks_per_node: int = 1
    gain: float | None = None
    reason: str = ""

    __repr__ = brief

    def __post_init__(self) -> None:
        if not self.nodes or not all(isinstance(node, str) for node in self.nodes):
            raise PlanError(f"a region of {shown(list(self.nodes))}: it needs the names of its operators")
        where = f"region of {', '.join(self.nodes)}"
        if len(set(self.nodes)) < len(self.nodes):
            raise PlanError(f"{where}: it names an operator twice")
        if self.layout not in get_args(FeatureLayout):
            raise PlanError(
                f"{where}: layout is {shown(self.layout)}, which is none of {', '.join(get_args(FeatureLayout))}"
            )
        if type(self.blocks_per_node) is not int or self.blocks_per_node < 1:
            raise PlanError(f"{where}: blocks_per_node is {shown(self.blocks_per_node)}, which is no number of blocks")
        gain = 0.0 if self.gain is None else self.gain
        if not isinstance(gain, (int, float)) or isinstance(gain, bool) or not 0 <= gain < MOST:
            raise PlanError(f"{where}: gain is {shown(self.gain)}, which is no speed-up")
        if not isinstance(self.reason, str):
            raise PlanError(f"{where}: reason is {shown(self.reason)}, which is no text")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "nodes": list(self.nodes)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> RegionSplit:
        """Inverse of `to_dict`; raises PlanError when a field is missing, unknown or nonsense."""
        if not isinstance(data, Mapping) or not isinstance(data.get("nodes"), list):
            raise PlanError("a region is no object with a list of nodes")
        if unknown := sorted(set(data) - {field.name for field in fields(RegionSplit)}):
            raise PlanError(f"region of {shown(data['nodes'])}: there is no field {unknown[0]!r}")
        return RegionSplit(**{**data, "nodes": tuple(data["nodes"])})
