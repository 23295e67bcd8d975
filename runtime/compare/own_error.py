"""What a failed comparison is worth where ONNX Runtime's kernels are inexact: both models against the truth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..measure.deviation import OutputReport
from ..ort.library import SessionError

if TYPE_CHECKING:
    from ...ir.onnx_ir import onnx_ir as ir
    from .verdict import Verdict

__all__ = ["Compare", "excused", "nearer", "with_exact_frames"]

SHARE = 2.0  # how many times the original's own error the changed model may have: other blocks are rounded otherwise
# How many times the largest error, and the mean of all and their quantile, where another order of sums rounds them.
LARGEST, TYPICAL = 1.25, 1.5


class Compare(Protocol):
    """Compare the original with the changed model, or with itself, each with ONNX Runtime's optimisations or not."""

    def __call__(self, *, optimize: tuple[bool, bool], itself: bool = False) -> Verdict:
        """The verdict over the feeds of the first comparison."""


def excused(verdict: Verdict, compare: Compare) -> Verdict:
    """A verdict that two models differ, taken back where the original itself is as far from the truth.

    ONNX Runtime multiplies quantised weights in kernels that round the activation to 8 bits, so that the original is
    off by a hundredth of its largest value. The truth is what the original computes without any optimisation. Two
    models are equal where they are so without optimisations, every product within its bound, and where with them the
    changed model is no further from the truth than twice what the original is.
    """
    try:
        exact = compare(optimize=(False, False))
        if not exact.equal:
            return verdict
        own = compare(optimize=(False, True), itself=True)
        ours = compare(optimize=(False, True))
    except SessionError:  # some models have kernels for their fused operators only
        return verdict
    allowed = {report.name: report for report in own.outputs}
    if not all(_is_as_near(report, allowed[report.name]) for report in ours.outputs):
        return verdict
    far, near = _worst(own.outputs), _worst(ours.outputs)
    return replace(
        exact,
        identical=False,
        seconds=verdict.seconds + exact.seconds + own.seconds + ours.seconds,
        reason=f"equal without ONNX Runtime's optimisations: {exact.reason}; with them the original itself is off by "
        f"{far:.2g} of its largest value, the changed model by {near:.2g}",
    )


def with_exact_frames(original: ir.Model, changed: ir.Model, origins: Collection[str]) -> ir.Model | None:
    """The original with its products of frames in double precision, where the changed model computes some of them in
    another way; None where it does not.

    origins: addresses of the nodes of the original that nodes of the changed model stand in for.
    """
    from ...passes.rewrite.comparable.exact_frames import framing
    from ...passes.rewrite.comparable.widening import transforms, widened

    if transforms(changed) >= transforms(original) and not framing(original, origins):
        return None
    return widened(original, origins)


def nearer(verdict: Verdict, exact: Verdict, own: Callable[[], Verdict]) -> Verdict:
    """A verdict that two models differ, taken back where the changed one is equal to the exact result, or off by what
    the original itself is.

    exact: the changed model beside the original with its products of frames in double precision; own: compares the
    original with that. ONNX Runtime computes Fourier transforms whose length is no power of two by way of longer ones,
    which costs two of seven digits, and a logarithm of a power that is nearly zero shows the rounding of whatever
    computed it. The largest of such errors is that of one element, and as likely larger as smaller where all of them
    are rounded in another order: a convolution without places that are multiplied with zeros is off by 1.07 of what the
    original is. A wrong weight moves all that it takes part in, not the worst element alone: the mean of the errors
    and their quantile are bounded as well.
    """
    if verdict.parts:
        return verdict
    far, near = _worst(verdict.outputs), _worst(exact.outputs)
    if not exact.equal:
        if not all(probe.within for probe in exact.probes):
            return verdict
        allowed = {report.name: report for report in own().outputs}
        if not all(_is_nearer(report, allowed.get(report.name)) for report in exact.outputs):
            return verdict
    how = "equal to" if exact.equal else "about as near as the original itself to"
    return replace(
        exact,
        equal=True,
        identical=False,
        seconds=verdict.seconds + exact.seconds,
        reason=f"{how} the original with its products of frames in double precision: that is off by {near:.2g} of its "
        f"largest value from the changed model, and by about {far:.2g} from the original",
    )


def _is_nearer(report: OutputReport, own: OutputReport | None) -> bool:
    """Whether an output is equal to the exact result, or about as far from it as the original is, whichever way errors
    are told."""
    if report.equal:
        return True
    if own is None or not report.in_place or report.tolerance is None or not own.max_rel < 1:
        return False
    typical = report.q99_rel <= TYPICAL * own.q99_rel and report.mean_rel <= TYPICAL * own.mean_rel
    return typical and report.max_rel <= LARGEST * own.max_rel


def _is_as_near(report: OutputReport, own: OutputReport) -> bool:
    if report.equal:
        return True
    return report.in_place and report.tolerance is not None and report.max_rel <= SHARE * own.max_rel < 1


def _worst(reports: Sequence[OutputReport]) -> float:
    return max((report.max_rel for report in reports), default=0.0)
