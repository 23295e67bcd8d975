"""The null: the distribution of a weight that training never touched, and how surprising a weight is under it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ScissionError
from ..record import Record

__all__ = ["FAMILIES", "Null", "NullError"]

FAMILIES = ("normal", "uniform")


class NullError(ScissionError):
    """A null distribution that makes no sense; the message says which value is wrong and what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Null:
    """A symmetric distribution of mean 0: Normal(0, σ) or Uniform(-a, a).

    family: 'normal' or 'uniform'; scale: σ or a, in the units of the weights; source: where it comes from, for the
    evidence; estimated: fitted to the trained weights themselves, so that a test against it is circular.
    Raises NullError for another family, and for a scale that is not positive and finite.
    """

    family: str
    scale: float
    source: str
    estimated: bool = False

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise NullError(f"a null is one of {', '.join(FAMILIES)}, not {self.family!r}")
        if isinstance(self.scale, bool) or not isinstance(self.scale, (int, float, np.floating, np.integer)):
            raise NullError(f"the scale of a {self.family} null is a number, not {self.scale!r}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise NullError(f"the scale of a {self.family} null is positive and finite, not {self.scale}")
        object.__setattr__(self, "scale", float(self.scale))

    @property
    def sigma(self) -> float:
        """The standard deviation: σ of a normal null, a/√3 of a uniform one."""
        return self.scale if self.family == "normal" else self.scale / math.sqrt(3)

    def p_value(self, weights: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """P(|X| ≥ |w|) for every weight, same shape, float64; 0 at infinity, NaN where w is.

        Normal: 2(1 − Φ(|w|/σ)); uniform: max(0, 1 − |w|/a), which is 0 everywhere outside the support.
        Takes a few float64 arrays of that shape, so large weights are best given in pieces. Source: section 3.2.1.

        >>> Null(family="uniform", scale=2, source="example").p_value([0, -1, 3]).tolist()
        [1.0, 0.5, 0.0]
        """
        size = np.abs(np.asarray(weights, dtype=np.float64))
        with np.errstate(over="ignore"):  # a weight beyond 1e308 scales
            size = size / self.scale
        if self.family == "uniform":
            return np.asarray(np.maximum(1 - size, 0), dtype=np.float64)
        from scipy.special import erfc

        return np.asarray(erfc(size / math.sqrt(2)), dtype=np.float64)

    def threshold(self, level: float) -> float:
        """The |w| whose p-value is `level`, so that p < level exactly where |w| lies above it.

        Infinite for a normal null at level 0. Raises NullError for a level outside [0, 1]. Source: section 3.2.1.

        >>> round(Null(family="normal", scale=1, source="example").threshold(0.05), 6)
        1.959964
        """
        if not 0 <= level <= 1:
            raise NullError(f"a level is a probability between 0 and 1, not {level}")
        if self.family == "uniform":
            return self.scale * (1 - level)
        from scipy.special import erfcinv

        return self.scale * (math.sqrt(2) * float(erfcinv(level)))

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {"family": self.family, "scale": self.scale, "source": self.source, "estimated": self.estimated}

    @classmethod
    def from_dict(cls, fields: Any) -> Null:
        """The null that `to_dict` wrote. Raises NullError when fields are missing or of the wrong kind."""
        record = Record.of(fields, "not a null", NullError)
        found = cls(
            family=record.text("family"),
            scale=record.number("scale"),
            source=record.text("source"),
            estimated=record.flag("estimated", default=False),
        )
        record.done()
        return found
