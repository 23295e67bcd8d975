"""What other tools get: a split model that is proved equal, or the one that came in, or an error and nothing done."""

from __future__ import annotations

import os

from ...ir.errors import ScissionError
from ...ir.given.sources import Source
from ..ort.trials import Trials
from ..pipeline.optimize import optimize
from ..pipeline.options import OptimizeOptions, PlanOptions
from ..pipeline.result import Result

__all__ = ["UNTIMED", "SplitError", "proved"]


UNTIMED = OptimizeOptions(bench=False)  # of steps of an export, which repeat


class SplitError(ScissionError):
    """A split model that differs from the original, which is why there is none."""


def proved(
    model: Source,
    options: PlanOptions | None,
    further: OptimizeOptions | None,
    trials: Trials | None = None,
    output: str | os.PathLike[str] | None = None,
    anneal: str | None = None,
) -> Result:
    """What `optimize` makes of a model, which then can be used; anneal: a method, where the result may differ within
    the budget of `further`.

    Raises SplitError where the split model is not the same, and all that `optimize` raises.
    """
    result = optimize(model, output, options, further=further, trials=trials, anneal=anneal)
    if result.outcome == "failed":
        raise SplitError(f"the split model is not equal to the original, which stays as it is: {result.reason}")
    return result
