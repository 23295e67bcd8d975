"""What one linear is like, how little of it blocks and covers would need, and what a plan would do with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ..brief import brief, brief_line
from ..plan.plan import Plan
from ..reason import Reason

__all__ = ["FIELDS", "Inspected", "Inspection"]

FIELDS = (  # of a row, in the order in which they are written
    *("node", "scope", "operator", "weight", "type", "inputs", "outputs", "parameters", "nonzeros"),
    *("density", "degree", "distance", "components", "giant", "dormant_inputs", "dormant_outputs"),
    *("blocks", "covers", "left", "verdict", "gain", "cause", "reason", "rows"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One linear (K, N), or one direction of a recurrent operator, whose K are its features and its states.

    node: its address; scope: the path of the graph or function that it stands in, '' for the main graph; inputs,
    outputs: K and N; parameters: entries of the weight, of all gates together; nonzeros: edges; components: how many;
    giant: share of the K + N features in the largest one; blocks: share of the multiply-adds that the components need;
    covers: the share that groups of about sixteen outputs would need, which may read the same inputs, or the other way
    round, None where that saves no tenth;
    left: the share that the plan leaves, 1 where it leaves the operator dense; verdict: the lowering that it chooses;
    gain: predicted dense time over lowered time; reason: why; rows: activation rows that this is predicted for, one
    number for each batch of the plan.

    >>> from scission.ir.reason import Cause
    >>> one = Inspection(node="up", scope="", operator="MatMul", weight="W", type="float", inputs=4, outputs=9,
    ...     parameters=36, nonzeros=18, components=1, giant=1.0, dormant_inputs=0, dormant_outputs=0, blocks=1.0,
    ...     covers=None, left=1.0, verdict="dense", gain=None,
    ...     reason=Reason(Cause.CONNECTED, "one component"))
    >>> one.density, one.distance, round(one.degree, 2)
    (0.5, 3.0, 2.77)
    """

    node: str
    scope: str
    operator: str
    weight: str
    type: str
    inputs: int
    outputs: int
    parameters: int
    nonzeros: int
    components: int
    giant: float
    dormant_inputs: int
    dormant_outputs: int
    blocks: float
    covers: float | None
    left: float
    verdict: str
    gain: float | None
    reason: Reason
    rows: tuple[int, ...] = ()
    columns: ClassVar = ("node", "operator", "density", "components", "left", "verdict", "gain", "reason")

    __repr__ = brief_line

    @property
    def density(self) -> float:
        """Edges over entries, 0 to 1."""
        return self.nonzeros / max(self.inputs * self.outputs, 1)

    @property
    def degree(self) -> float:
        """Mean edges per feature."""
        return 2 * self.nonzeros / max(self.inputs + self.outputs, 1)

    @property
    def distance(self) -> float:
        """Density times sqrt(K N): how many times denser it is than where a random weight falls apart."""
        return self.density * math.sqrt(self.inputs * self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """Every figure of the row, for JSON and CSV."""
        told = self.reason.to_dict()
        return {name: told[name] if name in told else getattr(self, name) for name in FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A row for each linear and recurrent direction of a model, in the order of the graph, and the plan they tell."""

    plan: Plan
    rows: tuple[Inspection, ...]

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the rows, and what is no linear with its reason."""
        return {
            "model": self.plan.model,
            "provider": self.plan.provider,
            "linears": [row.to_dict() for row in self.rows],
            "skipped": [skip.to_dict() for skip in self.plan.skipped],
        }
