"""Evidence: what a test said about a weight, kept beside the decision; and the annealing that was decided upon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..brief import brief
from ..errors import ScissionError
from .null import Null

__all__ = ["Certificate", "Evidence", "EvidenceError", "Fit", "Misfit"]

Misfit = Literal["law", "unequal"]  # learning on top of the null has no such law; influence is equal in no band


class EvidenceError(ScissionError):
    """Evidence that cannot be read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well the null describes a weight.

    ks: Kolmogorov-Smirnov distance of its p-values from uniform, 0 to 1; share: of the whole population that the null
    fits, 1 for pure initialisation; quantiles: of |w| in units of the null's sigma at the probabilities `at`, observed
    and expected, for a quantile plot; ratio: of the median magnitudes, observed over expected, which is 1 where most
    entries are untouched; surplus: of `entries` that are finite and not zero, the share that lies where neither the
    null nor anything learned on top of it would have put it.
    """

    ks: float
    share: float
    ratio: float
    at: tuple[float, ...]
    observed: tuple[float, ...]
    expected: tuple[float, ...]
    surplus: float = 0.0
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Why blocks found by co-clustering may be believed, or not.

    "Outside" is every entry outside the blocks. A default is what a test says that finds nothing.
    """

    blocks: int  # that were found
    # p-value that held-out entries are no larger inside the blocks than outside: no search can have invented it
    split: float
    level: float  # p-value that what lies outside is not larger than the null
    ratio: float  # energy outside over the null's
    largest: float  # p-value of the largest entry outside, strays taken out; reported and never judged
    homogeneity: float  # p-value that all features have equal energy outside their blocks
    strays: int  # entries outside that are too large for the null
    misplaced: float  # expected share of features in a wrong block
    accepted: bool  # the verdict
    reason: str  # of the verdict
    mean: float = 1.0  # p-value that what lies outside has mean 0, over all and between any two blocks
    coherence: float = 1.0  # largest singular value outside over that with random signs
    shape: float = 0.0  # Kolmogorov-Smirnov distance of the magnitudes outside from a law of initialisation
    unplaced: float = 1.0  # p-value that features in no block have no energy in any
    existence: float = 1.0  # largest p-value that a block is none, corrected for their number, by held-out entries
    dropped: int = 0  # blocks that held-out entries did not confirm, whose features went elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one test said about one weight."""

    test: str  # its name
    level: float  # alpha of the whole weight
    correction: str  # for many tests
    confirmed: float  # share of the entries that are
    null: Null | None = None  # of an untouched weight; None where the initial checkpoint itself is known
    per_edge: float | None = None  # p-value below which an edge is confirmed; None where the test has no p-values
    expected_false: float | None = None  # confirmed entries that an untouched weight would have had
    bandwidth: float | None = None  # delta* of the random-walk tests, in units of 1/N
    classes: tuple[int, int, int] | None = None  # (preferred, random, suppressed) entries of the random-walk tests
    smallest: float | None = None  # the smallest |w| that could have been confirmed
    power: str = ""  # what the test could see at all, in words
    fit: Fit | None = None
    misfit: Misfit | None = None  # how the weight contradicts the null; None where it does not
    certificate: Certificate | None = None
    notes: tuple[str, ...] = field(default=())

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what was not found out is left out."""
        found = asdict(self)
        found["null"] = self.null.to_dict() if self.null else None
        return {key: value for key, value in found.items() if value is not None and value not in ("", ())}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Evidence:
        """Inverse of `to_dict`; raises EvidenceError when a field is missing or unknown."""
        try:
            fields = dict(data)
            if fields.get("null") is not None:
                fields["null"] = Null.from_dict(fields["null"])
            if fields.get("fit") is not None:
                fit = fields["fit"]
                as_tuples: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fit.items()}
                fields["fit"] = Fit(**as_tuples)
            if fields.get("certificate") is not None:
                fields["certificate"] = Certificate(**fields["certificate"])
            for name in ("classes", "notes"):
                if name in fields:
                    fields[name] = tuple(fields[name])
            found = Evidence(**fields)
            if found.misfit not in (None, *get_args(Misfit)):
                raise TypeError(f"misfit is {found.misfit!r}")
            for name, kinds in TYPES.items():
                _check(name, getattr(found, name), kinds)
            for part, rest in ((found.fit, (int, float, tuple)), (found.certificate, (int, float, str))):
                for name, value in (asdict(part) if part else {}).items():
                    _check(name, value, rest)
            if found.classes is not None and len(found.classes) != 3:
                raise TypeError(f"classes are three counts, not {found.classes!r}")
            return found
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise EvidenceError(f"the evidence cannot be read: {error}; make a new plan") from None


NUMBER = (int, float)
TYPES: dict[str, tuple[type, ...]] = {  # of what was read; a plan may have been edited by hand
    **dict.fromkeys(("test", "correction", "power"), (str,)),
    **dict.fromkeys(("level", "confirmed"), NUMBER),
    **dict.fromkeys(("per_edge", "expected_false", "bandwidth", "smallest"), (*NUMBER, type(None))),
    "notes": (str,),
    "classes": (int, type(None)),
}


def _check(name: str, value: Any, kinds: tuple[type, ...]) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(one, kinds) for one in values):
        raise TypeError(f"{name} is {value!r}")
