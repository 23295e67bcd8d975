"""`scission bench`: two models side by side."""

from __future__ import annotations

from ...ort.trials import Trials
from ...pipeline.options import PlanOptions
from ..common.arguments import First, Second
from ..common.from_fields import group, takes
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar

__all__ = ["bench"]


@takes(
    group(Patience),
    trials=group(Trials, without=("rtol", "atol"), seconds=5.0),
    planning=group(PlanOptions, only=("batch",)),
    printing=group(Printing, without=("everything",)),
)
def bench(original: First, changed: Second, *, trials: Trials, planning: PlanOptions, printing: Printing) -> None:
    """Time two models side by side, interleaved."""
    from ...compare import compare

    with progress_bar(printing.bare) as progress:
        benches = compare.bench(original, changed, trials=trials, batch=planning.batches, progress=progress)
    printing.show(lambda: [one.to_dict() for one in benches], lambda report: report.timings(benches))
