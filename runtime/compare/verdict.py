"""The verdict over two models: whether they are the same function, output by output and product by product."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.brief import brief
from ...ir.errors import ScissionError
from ...ir.notebook import as_html
from ...ir.plain import plain_dict
from ..measure.deviation import OutputReport
from .unexercised import PartReport

__all__ = ["EquivalenceError", "Probe", "ProbeReport", "Verdict"]

Float64 = npt.NDArray[np.float64]


class EquivalenceError(ScissionError):
    """Two models that cannot be compared: another interface, no inputs, or a probe that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A rewritten linear: the activation that enters it and the value that leaves it, both in the top-level graph.

    reference(x) is the exact product in float64 and an elementwise bound on what rounding may change, for the
    activation x as it was: `product_bound` makes both. narrow: a narrower type that the changed model computes it in,
    which is handed to the reference there. by_rows: whether a row of the result comes from the same row of x alone,
    features on the last axis, so that some rows can be held against the reference at a time.
    """

    node: str
    input: str
    output: str
    reference: Callable[..., tuple[Float64, Float64]]
    narrow: np.dtype[Any] | None = None
    by_rows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """How near a rewritten product came to its error bound: largest |y - exact| / bound, 1 being the bound itself.

    checked: elements that could be checked in the two models together; the others have a NaN or an Inf before them or
    overflow the type.
    """

    node: str
    within: bool
    original: float
    changed: float
    checked: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether two models are the same function, as far as the inputs tried tell; `reason` says why in one line.

    equal: shown equal; shown: False where no difference was found, but a part in which the models differ never ran, so
    that they are neither equal nor different; parts: branches and bodies of loops, and how often they ran;
    masked: what masks hid in every trial, and inputs that did not pick all of their table, a sentence each.
    """

    equal: bool
    identical: bool
    outputs: tuple[OutputReport, ...]
    probes: tuple[ProbeReport, ...]
    trials: int
    provider: str
    seconds: float
    reason: str
    shown: bool = True
    parts: tuple[PartReport, ...] = ()
    masked: tuple[str, ...] = ()

    @property
    def different(self) -> bool:
        """Whether a difference was found."""
        return not self.equal and self.shown

    __repr__ = brief
    _repr_html_ = as_html(
        ("equal", "reason"),
        outputs=(
            "output|name",
            "type|dtype",
            "equal",
            "max error|max_abs",
            "relative|max_rel",
            "allowed|tolerance",
            "reason",
        ),
        probes=("node", "within its bound|within", "of it|changed", "reason"),
        parts=("place", "kind", "runs", "differs"),
    )

    def to_dict(self) -> dict[str, Any]:
        """The verdict for JSON; an infinite number is None there."""
        return plain_dict(dataclasses.asdict(self)) | {"parts": [part.to_dict() for part in self.parts]}
