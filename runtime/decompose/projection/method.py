"""The method `projection`: weights become products of smaller ones where that saves most time for the least error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ....ir.graph.linear import Linear
from ....ir.graph.view import View, view
from ....ir.plural import counted
from ....ir.reason import Cause, Reason
from ....passes.anneal.obstacle import obstacle
from ....passes.factor.find import fits, pays_to_look
from ...calibrate.activations import observable
from ..task.method import Declined, DecomposeTask, MethodName, ModelCandidate
from .fitting import ProjectionFitting
from .memory import require_memory

__all__ = ["Projection", "with_edges"]

SHARES = (0.05, *(round(0.1 * step, 1) for step in range(1, 10)))  # of the seconds that could be saved
EDGE, SAME = 8.0, 2.0  # times the loss before: much more, and not much more
HALVINGS = 8  # of the step between two shares
LONGEST = 1 << 12  # inputs of a product whose covariances are held, and taken apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Weights as products of thin factors, as blocks beside these, and as Monarch products, without training.

    shares: of the predicted seconds that could be saved, one candidate each, and one more where losses begin to leap.
    Each weight is projected to the forms that are predicted to be faster, by least squares on the calibration samples;
    a candidate takes forms where they cost the least error of the outputs for a second, and is then fitted layer by
    layer, each to the results that it has in the original, behind layers that are others already. Source: reduced-rank
    regression (Izenman, 1975), DRONE (Chen et al., 2021), SVD-LLM (Wang et al., 2024), Monarch (Dao et al., 2022).
    """

    shares: Sequence[float] = SHARES

    @property
    def name(self) -> MethodName:
        """Which one it is."""
        return "projection"

    def propose(self, task: DecomposeTask) -> Iterator[ModelCandidate | Declined]:
        """Candidates, each faster by prediction than the one before it."""
        seen = view(task.model.graph)
        linears, reason = _linears(task, seen)
        if not linears:
            yield Declined(method="projection", reason=reason)
            return
        require_memory(task, linears)
        fitting = ProjectionFitting(task, seen, linears)
        if fitting.nothing_pays:
            yield Declined(method="projection", reason=_no_gain(linears))
            return
        before: list[int] | None = None
        for share in with_edges(self.shares, fitting.loss):
            places = fitting.places(share)
            if any(places) and places != before:
                yield fitting.candidate(places, share)
            before = places


def with_edges(shares: Sequence[float], loss: Callable[[float], float]) -> Iterator[float]:
    """Shares, and before each that loses many times as much as the one before it the largest that does not: where
    weights are nearly products that is where they are these.

    >>> [round(share, 2) for share in with_edges((0.2, 0.4, 0.6), lambda share: 1.0 if share < 0.53 else 100.0)]
    [0.2, 0.4, 0.53, 0.6]
    """
    for place, share in enumerate(shares):
        before = shares[place - 1] if place else None
        if before is not None and loss(share) > EDGE * loss(before):
            low, high = before, share
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                low, high = (middle, high) if loss(middle) <= SAME * loss(before) else (low, middle)
            if low > before:
                yield low
        yield share


def _linears(task: DecomposeTask, seen: View) -> tuple[list[Linear], Reason]:
    """Those that can be projected, and why others cannot, which is the reason of the first of these."""
    found: list[Linear] = []
    reasons: list[Reason] = []
    for linear in seen.found.linears:
        why = _obstacle(task, linear)
        if why is None:
            found.append(linear)
        else:
            reasons.append(why.told(f"{linear.address} stays dense: {why}"))
    nothing = Reason(Cause.NO_PRODUCT, "no operator multiplies with a constant weight")
    return found, reasons[0] if reasons else nothing


def _obstacle(task: DecomposeTask, linear: Linear) -> Reason | None:
    """Why the weight of a linear cannot become a product of others; None where it can."""
    if (why := obstacle(linear)) is not None:
        return why
    if skipped := observable(task.model, [linear])[1]:
        return skipped[0].reason
    if not fits(linear, rows_first=True) or linear.alpha != 1.0 or linear.addend is not None:
        told = "products of smaller weights are written for float32 with features on the last axis, and no other factor"
        return Reason(Cause.UNSUPPORTED, told)
    if not pays_to_look(linear):
        return Reason(Cause.NO_GAIN, "it is too small, or too large to be taken apart")
    if max(linear.shape) > LONGEST:
        return Reason(Cause.UNSUPPORTED, f"of {max(linear.shape):,} features, where at most {LONGEST:,} are looked at")
    return None


def _no_gain(linears: Sequence[Linear]) -> Reason:
    told = f"of {counted(len(linears), 'weight')} none is predicted to be faster as a product of smaller ones"
    return Reason(Cause.NO_GAIN, told)
