"""Everything known about one operator: what it is like, what was tried, and what keeps it from falling apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..brief import brief, brief_line
from ..errors import ScissionError
from ..graph.skipped import Skipped
from ..plain import plain
from ..reason import Reason
from .inspection import Inspection
from .near_products import NearProducts
from .recording import RecordingObstacle
from .touched import Touched

__all__ = ["Explanation", "Glue", "Percolation", "Trial", "UnknownNodeError"]


class UnknownNodeError(ScissionError):
    """A node that a model does not have; the message names those with the nearest names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing that was tried with an operator.

    what: 'components', 'covers', 'region', the kind of a preparation or the name of a lowering; found: what came of it;
    gain: predicted dense time over lowered time at its worst, None where nothing was predicted; taken: whether the plan
    does it; refused: why not, None where it is taken or nothing is against it.
    """

    what: str
    found: str
    gain: float | None = None
    taken: bool = False
    refused: Reason | None = None

    __repr__ = brief_line

    def to_dict(self) -> dict[str, Any]:
        """For JSON: with the cause of the refusal beside its sentence, which is empty where there is none."""
        why = self.refused
        return {
            "what": self.what,
            "found": self.found,
            "gain": self.gain,
            "taken": self.taken,
            "refused": why.text if why else "",
            "cause": why.cause.value if why else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Glue:
    """The entries between the parts of a weight, without which they are apart.

    how: 'cut', the parts that the fewest entries join, or 'size', the two largest parts that are joined last when
    entries are added by |w|, largest first; parts: (inputs, outputs) of each, largest first; count: entries between
    them; share: of the edges of the weight; entries: the largest of them as (input, output, value), at most 100.
    """

    how: Literal["cut", "size"]
    parts: tuple[tuple[int, int], ...]
    count: int
    share: float
    entries: tuple[tuple[int, int, float], ...]

    __repr__ = brief


@dataclass(frozen=True, slots=True, kw_only=True)
class Percolation:
    """Where the largest component first holds fewer than half of the features.

    threshold: of |w|, 0 where the weight has no such component as it is; gone: share of the edges that are no larger
    and would have to go; giant: share of the features in the largest component then; components: how many there are
    then; random: share of the entries that a random weight of this shape has where it falls apart.
    """

    threshold: float
    gone: float
    giant: float
    components: int
    random: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One operator of a model explained.

    inspection: what it is like, None where it is no linear; skipped: why it is none; touched: what was done to it
    before, of which the rest tells; recording: what of it keeps the model from being recorded as a CUDA graph, looked
    for where it is planned for CUDA; rows: what its activation rows are
    made of, as in '12,544 = 4 x 56 x 56 (batch 4)'; trials: what was tried, in order;
    percolation: what would make it fall apart, None where the weight has no edge or cannot be read; glue: what holds
    its parts together, nothing where there is nothing to tell; near: how near the weight is to products of smaller
    ones, an analysis that nothing applies, None where it has no such extents or is no linear.
    """

    model: str
    node: str
    scope: str
    operator: str
    inspection: Inspection | None = None
    skipped: Skipped | None = None
    touched: tuple[Touched, ...] = ()
    recording: tuple[RecordingObstacle, ...] = ()
    rows: str = ""
    trials: tuple[Trial, ...] = ()
    percolation: Percolation | None = None
    glue: tuple[Glue, ...] = ()
    near: NearProducts | None = None

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON; an infinite number or NaN is None there."""
        return {
            "model": self.model,
            "node": self.node,
            "scope": self.scope,
            "operator": self.operator,
            "inspection": self.inspection and self.inspection.to_dict(),
            "skipped": self.skipped and self.skipped.to_dict(),
            "preparations": [
                {
                    "kind": one.by.kind,
                    "reason": one.by.reason.text,
                    "gone": one.gone,
                    "changes": [change.to_dict() for change in one.changes],
                }
                for one in self.touched
            ],
            "recording": [one.to_dict() for one in self.recording],
            "rows": self.rows,
            "trials": [one.to_dict() for one in self.trials],
            "percolation": self.percolation and plain(asdict(self.percolation)),
            "glue": [
                asdict(one)
                | {
                    "parts": plain(one.parts),
                    "entries": plain(one.entries),
                }
                for one in self.glue
            ],
            "near": self.near and self.near.to_dict(),
        }
