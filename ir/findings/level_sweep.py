"""A sweep over levels of annealing: what each level keeps, what it costs, and where the results jump."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from ..brief import brief
from ..errors import ScissionError
from ..plain import plain_dict
from ..reason import Reason

__all__ = ["Jump", "LevelError", "LevelResult", "OperatorLevel", "Sweep", "strongest", "summarise", "within"]


class LevelError(ScissionError):
    """Numbers of a level that contradict each other, or levels that make no sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLevel:
    """What one level leaves of one linear of shape (K, N).

    confirmed: share of the entries that the test confirmed; kept: share that stays, after block-fill; components:
    independent blocks of what stays; giant: share of the features in the largest; dormant: features without any edge;
    mac_share: multiply-adds left, 1 = all; reason: why it was left as it is, None where it was annealed.
    Raises LevelError when a share is outside [0, 1] or a dimension is not positive.
    """

    node: str
    shape: tuple[int, int]
    confirmed: float
    kept: float
    components: int
    giant: float
    dormant: int
    mac_share: float
    reason: Reason | None = None

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise LevelError(f"{self.node}: a shape of {self.shape} holds no weight")
        for name in ("confirmed", "kept", "giant", "mac_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise LevelError(f"{self.node}: {name} is a share between 0 and 1, got {value}")

    @property
    def entries(self) -> int:
        """K·N: the parameters of the operator, and its multiply-adds for one row of input."""
        return self.shape[0] * self.shape[1]

    @property
    def splits(self) -> bool:
        """Whether the operator has several independent blocks; dormant features alone are no split."""
        return self.components > 1

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        told = {"cause": None, "reason": ""} if self.reason is None else self.reason.to_dict()
        return plain_dict(asdict(self)) | told


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelResult:
    """One level over the whole model; `summarise` computes it.

    confirmed, kept, mac_share: over all entries of all operators; components, dormant: their sums; splits: operators
    with more than one component; giant: the largest of all operators; metric: of the annealed model; drop: how much
    worse that is than the original, positive = worse whatever the direction of the metric; deviation: largest relative
    error of the outputs; cosine: mean over the outputs. What was not measured is None.
    """

    level: float
    confirmed: float
    kept: float
    components: int
    dormant: int
    splits: int
    giant: float
    mac_share: float
    metric: float | None
    drop: float | None
    deviation: float
    cosine: float | None
    operators: tuple[OperatorLevel, ...]

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a number that is not finite is None there."""
        return plain_dict(asdict(replace(self, operators=()))) | {
            "operators": [operator.to_dict() for operator in self.operators]
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """Two neighbouring levels between which the results change by `change`, far more than `threshold`.

    operators: the nodes that changed most between the two, first the one that changed most.
    """

    level_from: float
    level_to: float
    change: float
    threshold: float
    operators: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a change to or from what is not finite is None there."""
        return plain_dict(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The same model annealed at several levels, from the weakest, which keeps most, to the strongest (paper 4.5.1).

    test: how edges are confirmed; baseline: the metric of the original; samples: on which the metric was measured;
    leveled: whether the test has a level at all, otherwise that of the only row means nothing; bounded: 'stated' or
    'estimated' where every null is a bounded law, whose entries no level tells apart, and by which of the two it is.
    Raises LevelError when there is no level, or levels repeat or are not in order.
    """

    model: str
    test: str
    metric_name: str
    higher_is_better: bool
    baseline: float | None
    samples: int
    levels: tuple[LevelResult, ...]
    jumps: tuple[Jump, ...]
    notes: tuple[str, ...]
    seconds: float
    leveled: bool = True
    bounded: Literal["stated", "estimated"] | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        values = [result.level for result in self.levels]
        if not values:
            raise LevelError(f"{self.model}: a sweep needs at least one level")
        steps = [after - before for before, after in itertools.pairwise(values)]
        if not (all(step < 0 for step in steps) or all(step > 0 for step in steps)):
            raise LevelError(f"{self.model}: the levels {values} repeat or are not in order; sort them, weakest first")

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a number that is not finite is None there."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain_dict(own | {name: [one.to_dict() for one in own[name]] for name in ("levels", "jumps")})


def summarise(
    level: float,
    operators: Sequence[OperatorLevel],
    *,
    deviation: float,
    metric: float | None = None,
    baseline: float | None = None,
    higher_is_better: bool = True,
    cosine: float | None = None,
) -> LevelResult:
    """The totals of one level; they do not depend on the order of the operators.

    baseline: the metric of the original. Raises LevelError when there is no operator.

    >>> big = OperatorLevel(node="a", shape=(3, 10), confirmed=0.1, kept=0.5, components=2, giant=0.5, dormant=0,
    ...                     mac_share=0.5)
    >>> small = OperatorLevel(node="b", shape=(1, 10), confirmed=1, kept=1, components=1, giant=1, dormant=0,
    ...                       mac_share=1)
    >>> result = summarise(0.05, [big, small], deviation=0.2, metric=0.75, baseline=1.0)
    >>> result.kept, result.components, result.splits, result.giant, result.drop
    (0.625, 3, 1, 1, 0.25)
    """
    if not operators:
        raise LevelError(f"level {level:g}: there is no operator to anneal in this model")
    entries = sum(operator.entries for operator in operators)

    def over_entries(name: str) -> float:
        total = math.fsum(getattr(operator, name) * operator.entries for operator in operators)
        return min(1.0, total / entries)

    worse = None
    if metric is not None and baseline is not None:
        worse = baseline - metric if higher_is_better else metric - baseline
    return LevelResult(
        level=level,
        confirmed=over_entries("confirmed"),
        kept=over_entries("kept"),
        components=sum(operator.components for operator in operators),
        dormant=sum(operator.dormant for operator in operators),
        splits=sum(operator.splits for operator in operators),
        giant=max(operator.giant for operator in operators),
        mac_share=over_entries("mac_share"),
        metric=metric,
        drop=worse,
        deviation=deviation,
        cosine=cosine,
        operators=tuple(operators),
    )


def within(drop: float | None, limit: float) -> bool:
    """Whether a drop is allowed, up to the rounding of its own subtraction; one that is unknown or NaN is not.

    >>> within(0.95 - 0.94, 0.01), within(0.02, 0.01), within(None, 0.01), within(float("nan"), 0.01)
    (True, False, False, False)
    """
    return drop is not None and (drop <= limit or math.isclose(drop, limit, rel_tol=1e-9, abs_tol=1e-12))


def strongest(levels: Sequence[LevelResult], limit: float) -> LevelResult | None:
    """The last level, weakest first, before any exceeds the limit of the drop; None when already the first does.

    A strong level that is within the limit while a weaker one is not is luck, and is not taken.
    """
    allowed = itertools.takewhile(lambda result: within(result.drop, limit), levels)
    return next(reversed(list(allowed)), None)
