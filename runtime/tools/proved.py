"""What other tools get: a split model that is proved equal, or the one that came in, or an error and nothing done."""

from __future__ import annotations

from ...ir.errors import ScissionError
from ...ir.given.sources import Source
from ..ort.trials import Trials
from ..pipeline.optimize import optimize
from ..pipeline.options import OptimizeOptions, PlanOptions
from ..pipeline.result import Result

__all__ = ["SplitError", "proved", "require_split"]


class SplitError(ScissionError):
    """A split model that differs from the original, which is why there is none."""


def proved(
    model: Source, options: PlanOptions | None, further: OptimizeOptions | None, trials: Trials | None
) -> Result:
    """What `optimize` makes of a model in memory; not timed unless `further` says so, since steps of an export repeat.

    Raises SplitError where the split model is not the same, and all that `optimize` raises.
    """
    result = optimize(model, options=options, further=further or OptimizeOptions(bench=False), trials=trials)
    require_split(result)
    return result


def require_split(result: Result) -> None:
    """Raise SplitError where there is no model because the split one differs."""
    if result.outcome == "failed":
        raise SplitError(f"the split model is not equal to the original, which stays as it is: {result.reason}")
