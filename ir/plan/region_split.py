"""Linears that are split together: their blocks run side by side from where the first begins to where the last ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from ..brief import brief
from ..record import shown
from .decomposition import PlanError

__all__ = ["Flow", "Joint"]

Flow = Literal["rows", "columns"]
MOST = 1e9  # a gain above this was never predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Several linears of a plan whose blocks belong together: block i of each reads what block i of the others wrote.

    nodes: the addresses of the linears, whose steps say which features block i owns; flow: whether features stay on
    the axis that they are on ('rows'), or come first ('columns', activations of two dimensions only); stack: how many
    equal blocks are computed by one node, stacked along a new first axis, 1 where each has nodes of its own; gain:
    predicted dense time over split time, at its worst over the row counts of the plan; reason: why this was chosen.
    Raises PlanError when one of them is nonsense.

    >>> Joint.from_dict(Joint(nodes=("up", "down"), reason="4 blocks").to_dict()).flow
    'rows'
    """

    nodes: tuple[str, ...]
    flow: Flow = "rows"
    stack: int = 1
    gain: float | None = None
    reason: str = ""

    __repr__ = brief

    def __post_init__(self) -> None:
        if not self.nodes or not all(isinstance(node, str) for node in self.nodes):
            raise PlanError(f"a joint of {shown(list(self.nodes))}: it needs the names of its operators")
        where = f"joint of {', '.join(self.nodes)}"
        if len(set(self.nodes)) < len(self.nodes):
            raise PlanError(f"{where}: it names an operator twice")
        if self.flow not in get_args(Flow):
            raise PlanError(f"{where}: flow is {shown(self.flow)}, which is none of {', '.join(get_args(Flow))}")
        if not isinstance(self.stack, int) or isinstance(self.stack, bool) or self.stack < 1:
            raise PlanError(f"{where}: stack is {shown(self.stack)}, which is no number of blocks")
        gain = 0.0 if self.gain is None else self.gain
        if not isinstance(gain, (int, float)) or isinstance(gain, bool) or not 0 <= gain < MOST:
            raise PlanError(f"{where}: gain is {shown(self.gain)}, which is no speed-up")
        if not isinstance(self.reason, str):
            raise PlanError(f"{where}: reason is {shown(self.reason)}, which is no text")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "nodes": list(self.nodes)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Joint:
        """Inverse of `to_dict`; raises PlanError when a field is missing, unknown or nonsense."""
        if not isinstance(data, Mapping) or not isinstance(data.get("nodes"), list):
            raise PlanError("a joint is no object with a list of nodes")
        if unknown := sorted(set(data) - {field.name for field in fields(Joint)}):
            raise PlanError(f"joint of {shown(data['nodes'])}: there is no field {unknown[0]!r}")
        return Joint(**{**data, "nodes": tuple(data["nodes"])})
