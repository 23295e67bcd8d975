"""Evidence: what a test said about a weight, kept beside the decision; and the annealing that was decided upon."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, asdict, dataclass, field
from typing import Any, Literal, cast, get_args

from ..brief import brief
from ..errors import ScissionError
from ..record import REQUIRED, Record, shown
from .null import Null, NullError

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
    largest: float  # p-value of the largest entry outside, residual entries taken out; reported and never judged
    homogeneity: float  # p-value that all features have equal energy outside their blocks
    residual: int  # entries outside that are too large for the null
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
    def from_dict(data: Any) -> Evidence:
        """Inverse of `to_dict`; raises EvidenceError when a field is missing, unknown or nonsense."""
        fields = Record.of(data, UNREADABLE, EvidenceError).fields
        if fields.get("null") is not None:
            try:
                fields["null"] = Null.from_dict(fields["null"])
            except NullError as error:
                raise EvidenceError(f"{UNREADABLE}: {error}") from None
        for name, kind in (("fit", Fit), ("certificate", Certificate)):
            if fields.get(name) is not None:
                fields[name] = _made(kind, Record.of(fields[name], f"{UNREADABLE}: {name}", EvidenceError))
        return cast("Evidence", _made(Evidence, Record(UNREADABLE, fields, EvidenceError)))


UNREADABLE = "the evidence cannot be read"
NUMBER = (int, float)
KINDS: dict[str, tuple[type, ...]] = {  # by the annotation of a field; a plan may have been edited by hand
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": NUMBER,
    "tuple[float, ...]": NUMBER,
    "tuple[str, ...]": (str,),
    "tuple[int, int, int]": (int,),
    "Null": (Null,),
    "Fit": (Fit,),
    "Certificate": (Certificate,),
    "Misfit": (str,),
}


def _made(kind: type, record: Record) -> Any:
    """The value of a dataclass of evidence, of fields that were read from JSON."""
    made = {}
    for one in dataclasses.fields(kind):
        plain = one.default if one.default is not MISSING else () if one.default_factory is not MISSING else REQUIRED
        value = record.any(one.name, plain)
        annotation = str(one.type)
        if value is plain or (value is None and annotation.endswith("None")):
            made[one.name] = value
            continue
        several = "tuple" in annotation
        if several != isinstance(value, list | tuple) or not _fits(value, annotation.removesuffix(" | None")):
            raise record.wrong(f"{one.name!r} is {shown(value)}")
        made[one.name] = tuple(value) if several else value
    record.done()
    return kind(**made)


def _fits(value: Any, annotation: str) -> bool:
    if annotation == "Misfit":
        return value in get_args(Misfit)
    values = value if isinstance(value, list | tuple) else (value,)
    if annotation == "tuple[int, int, int]" and len(values) != 3:
        return False
    return all(isinstance(one, KINDS[annotation]) and (annotation == "bool" or type(one) is not bool) for one in values)
