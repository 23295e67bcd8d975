"""What a sweep judges annealing by, as a value; the command line is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from ...ir.errors import option
from ..fields import setting
from ..validation import OptionError, check_fields

if TYPE_CHECKING:
    from .metric.metric import Budget, Metric

__all__ = ["SweepKeywords", "SweepOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions:
    """At which levels a model is annealed, and what its outputs are worth there.

    labels: an array, or a source of them, where the metric needs any; metric: also a Metric, by default that of
    `max_drop`, or cosine; levels: alphas of the whole weight, in any order; max_drop: the metric and the drop
    up to which a level is of use, a hundredth of its range unless given; explain: report why the model does not
    decompose.
    Raises OptionError, which names the option, for a value that it cannot have, MetricError for a metric or a limit
    that is none.
    """

    labels: Any = setting(None, "their labels, in the same forms", metavar="FILE")
    metric: Metric | str | None = setting(
        None,
        "argmax, top5, cosine (the default), mse, perplexity, or python:M.F, a function F of a module M; also @OUTPUT",
        metavar="NAME",
    )
    levels: Sequence[float] | None = setting(
        None, "levels of the test (0.5 down to 1e-30, twelve of them)", metavar="A,B,…"
    )
    max_drop: Budget | str | None = setting(
        None, "how much a metric may lose, such as 'argmax<=0.01'", metavar="METRIC<=X"
    )
    explain: bool = setting(True, "when nothing decomposes, say how far each weight is from it")

    def __post_init__(self) -> None:
        check_fields(self)
        budget, judge = self.budget, self.judge
        if budget is not None and self.metric is not None and judge.name != budget.metric.name:
            about = f" is about {budget.metric.name}, ", f" about {judge.name}; leave one out"
            raise OptionError(option("max_drop"), about[0], option("metric"), about[1])

    @property
    def budget(self) -> Budget | None:
        """What the metric may lose, None where that was not given."""
        from .metric.metric import parse_budget

        return parse_budget(self.max_drop) if isinstance(self.max_drop, str) else self.max_drop

    @property
    def judge(self) -> Metric:
        """What outputs are worth."""
        from .metric.metric import parse_metric

        if self.metric is None and (budget := self.budget) is not None:
            return budget.metric
        asked = self.metric or "cosine"
        return parse_metric(asked) if isinstance(asked, str) else asked


class SweepKeywords(TypedDict, total=False):
    """The fields of SweepOptions as keywords, for type checkers."""

    labels: Any
    metric: Metric | str | None
    levels: Sequence[float] | None
    max_drop: Budget | str | None
    explain: bool
