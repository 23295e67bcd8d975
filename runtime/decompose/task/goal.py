"""What a smaller model must be: within a budget of a metric, at least so much faster, or both."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ....ir.errors import option
from ....ir.findings.level_sweep import within
from ...calibrate.metric.metric import Metric, parse_budget, parse_metric
from ...validation import OptionError

__all__ = ["Goal", "parse_goal"]

DEFAULT = "cosine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """limit: how much worse the metric may become, in its units; target: how many times faster the model must be
    measured; None where that is not asked for. Raises OptionError where neither is, or a target is no speed-up."""

    metric: Metric
    limit: float | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        if self.limit is None and self.target is None:
            raise OptionError("nothing is asked for; give ", option("budget"), ", ", option("target"), " or both")
        if self.target is not None and not 1 < self.target < math.inf:
            raise OptionError(option("target"), f" is a speed-up above 1, such as 2.0x, not {self.target:g}")

    def allows(self, drop: float) -> bool:
        """Whether the metric may become worse by so much: any number where no limit is set, but no NaN or infinity."""
        return drop < math.inf if self.limit is None else within(drop, self.limit)

    def reached(self, speedup: float) -> bool:
        """Whether that is fast enough; always where no target is set."""
        return self.target is None or speedup >= self.target

    @property
    def text(self) -> str:
        """Both as they were asked for."""
        limit = "" if self.limit is None else f"{self.metric.name}<={self.limit:g}"
        return " at ".join(part for part in (limit, f"{self.target:g}x" if self.target else "") if part)


def parse_goal(budget: str | None = None, target: str | float | None = None, metric: str | None = None) -> Goal:
    """The goal that options name: 'argmax<=0.01', '2.0x', and the metric where no budget names one, else cosine.

    Raises MetricError for a budget or a metric that is none, OptionError for a target that is none, or two metrics.

    >>> parse_goal("argmax<=0.01", "2.0x").text
    'argmax<=0.01 at 2x'
    """
    asked = None if budget is None else parse_budget(budget)
    if asked is not None and metric is not None and parse_metric(metric).name != asked.metric.name:
        raise OptionError(option("budget"), f" is about {asked.metric.name}, ", option("metric"), " about another")
    judge = asked.metric if asked is not None else parse_metric(metric or DEFAULT)
    return Goal(metric=judge, limit=asked.limit if asked else None, target=_factor(target))


def _factor(target: str | float | None) -> float | None:
    if target is None or isinstance(target, (int, float)):
        return target
    if (found := re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*x?\s*", target)) is None:
        raise OptionError(option("target"), f" is a speed-up such as 2.0x, not {target!r}")
    return float(found[1])
