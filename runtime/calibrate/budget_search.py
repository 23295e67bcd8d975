"""Which operators may be annealed, and how strongly, within a budget of the task metric.

Each operator is tried alone at each level, weakest first, until it costs more than the whole budget. Then the operators
are put together, the least sensitive first, each at the strongest level at which all of them together stay inside it.
What comes out is verified on data that took no part in any of that.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.findings.level_sweep import within
from ...ir.graph.survey import Survey
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.annealing import Annealing
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ...passes.anneal.annealed import Found
from ...passes.anneal.model import anneal_model
from ...passes.rewrite.remove_edges import remove_edges
from ..ort.trials import Trials
from .annealer import Annealer
from .dataset import Labelled
from .dataset import split as split_data
from .level_sweep import LEVELLESS, activity_of
from .metric.metric import Budget
from .metric_runner import Measured, SideBySide, side_by_side
from .prepare import Prepared, prepare
from .selection import AnnealingCandidate, Refusal, Selection

if TYPE_CHECKING:
    from ...passes.anneal.activity.activity import Activity

__all__ = ["RUNGS", "select", "without_useless"]

Array = npt.NDArray[Any]
RUNGS = 6  # levels tried, each a hundredth of the one before
FACTOR = 0.01
PER_INPUT = 4  # calibration rows for each input of a block, below which a refit fits the noise of the samples
NO_GAIN = Reason(Cause.NO_GAIN, "annealed it would not be split, since that is not predicted to be faster")


@phase("select")
def select(
    model: Model,
    options: Annealer,
    data: Labelled,
    budget: Budget,
    trials: Trials,
    progress: Progress | None = None,
) -> Selection:
    """Anneal as strongly as a budget allows, operator by operator; decides on one half of the data, verifies on the
    other.

    The levels tried are alpha, alpha/100 … Only operators that lose multiply-adds are candidates. Raises what `prepare`
    and `anneal_model` raise, LabelledError when there are too few samples to hold some back.
    """
    tuning, held_back = split_data(data, 0.5, options.seed)
    activity = activity_of(model, options, tuning, trials)
    prepared = prepare(model, options, activity)

    def beside(part: Labelled) -> SideBySide:
        return side_by_side(model, part, budget.metric, trials)

    search = _Search(model, options, prepared, activity, budget, beside(tuning), progress)
    ladders, refused = search.ladders()
    chosen, more, tuned = search.together(ladders)
    refused += more
    chosen, verified, dropped = _verified(model, chosen, beside(held_back), budget)
    refused += dropped
    return Selection(
        chosen=tuple(chosen),
        refused=tuple(refused),
        tuning=tuned if chosen else None,
        held_back=verified,
        samples=held_back.samples,
        reason="" if chosen else _nothing(refused, budget),
        metric=budget.metric.name,
        limit=budget.limit,
    )


def without_useless(
    model: Model, selection: Selection, split: Container[str], data: Labelled, seed: int, budget: Budget, trials: Trials
) -> Selection:
    """The selection without the operators that are annealed and then not split: they would not be faster.

    split: addresses of the operators that are; what is left is measured again on the half of the data held back, and so
    is whether the error falls without what the others would lose: then the reason offers that.
    """
    useful = tuple(c for c in selection.chosen if c.annealing.node in split)
    if len(useful) == len(selection.chosen):
        return selection
    parts = split_data(data, 0.5, seed)

    def measure(part: Labelled, chosen: Sequence[AnnealingCandidate]) -> Measured:
        runner = side_by_side(model, part, budget.metric, trials)
        return runner.measure(_apply(model, chosen))

    idle = [c for c in selection.chosen if c.annealing.node not in split]
    refused = (*selection.refused, *_idle(idle, lambda chosen: measure(parts[1], chosen), budget))
    if not useful:
        return replace(
            selection, chosen=(), refused=refused, tuning=None, held_back=None, reason=_nothing(refused, budget)
        )
    found = [measure(part, useful) for part in parts]
    if not budget.allows(found[1].drop):
        why = Reason(
            Cause.HELD_BACK, "without the operators that are not split the budget no longer holds on the data held back"
        )
        refused = (*refused, *(Refusal(c.annealing.node, why) for c in useful))
        return replace(
            selection, chosen=(), refused=refused, tuning=None, held_back=None, reason=_nothing(refused, budget)
        )
    return replace(selection, chosen=useful, refused=refused, tuning=found[0], held_back=found[1])


def _idle(
    candidates: Sequence[AnnealingCandidate],
    measure: Callable[[Sequence[AnnealingCandidate]], Measured],
    budget: Budget,
) -> list[Refusal]:
    """Why operators that would not be split go back; those that lower the error on data held back too are offered."""
    better = [c for c in candidates if c.drop < 0]
    offer = ""
    if better:
        found = measure(better)
        if found.drop < 0:
            offer = (
                f"; but the model is better without what goes: {budget.metric.name} {found.baseline:.4g} -> "
                f"{found.metric:.4g} on data held back; force anneals and splits it all the same"
            )
    return [
        Refusal(c.annealing.node, Reason(Cause.ERROR_ONLY, NO_GAIN.text + offer) if offer and c.drop < 0 else NO_GAIN)
        for c in candidates
    ]


def _nothing(refused: Sequence[Refusal], budget: Budget) -> str:
    if not refused:
        return "there is no operator to anneal"
    reasons: dict[str, int] = {}
    for one in refused:
        reasons[one.reason.text] = reasons.get(one.reason.text, 0) + 1
    why, count = max(reasons.items(), key=lambda pair: pair[1])
    limit = f"{budget.metric.name} <= {budget.limit:g}"
    return f"no operator is annealed (budget {limit}): for {count} of {len(refused)}, {why}"


def _apply(model: Model, chosen: Sequence[AnnealingCandidate]) -> ir.Model:
    weights = {c.annealing.node: c.weight for c in chosen if c.weight is not None}
    return remove_edges(model.graph, [c.annealing for c in chosen], weights)


@dataclass(slots=True)
class _Search:
    """What the steps of the selection share."""

    model: Model
    options: Annealer
    prepared: Prepared
    activity: Mapping[str, Activity] | None
    budget: Budget
    runner: SideBySide
    progress: Progress | None

    def ladders(self) -> tuple[dict[str, list[AnnealingCandidate]], list[Refusal]]:
        """For each operator the candidates that stay within the budget on their own, weakest first; and the
        refusals."""
        rungs = [self.options.alpha * FACTOR**step for step in range(RUNGS)]
        if self.options.method in LEVELLESS:
            rungs = rungs[:1]
        ladders: dict[str, list[AnnealingCandidate]] = {}
        last: dict[str, Refusal] = {}
        open_: set[str] | None = None
        for index, level in enumerate(rungs):
            decided = anneal_model(self.model, replace(self.prepared.settings, level=level))
            for done, found in enumerate(decided.found):
                if self.progress:
                    self.progress(index * len(decided.found) + done, len(rungs) * len(decided.found), found.node)
                if open_ is not None and found.node not in open_:
                    continue
                candidate = self._candidate(found, level)
                if isinstance(candidate, Refusal):
                    last.setdefault(found.node, candidate)
                    continue
                known = ladders.setdefault(found.node, [])
                if known and known[-1].annealing.removed == candidate.annealing.removed:
                    continue  # the stronger level removes nothing more
                known.append(candidate)
            open_ = {found.node for found in decided.found} - {
                node for node, refusal in last.items() if refusal.reason.cause is Cause.TOO_COSTLY_ALONE
            }
        return ladders, [refusal for node, refusal in last.items() if node not in ladders]

    def _candidate(self, found: Found, level: float) -> AnnealingCandidate | Refusal:
        """An operator annealed alone, or why it may not be."""
        if found.annealing is None:
            assert found.reason is not None
            return Refusal(found.node, found.reason)
        if found.mac_share >= 1:
            why = "removing single edges leaves it one component, so nothing is gained"
            return Refusal(found.node, Reason(Cause.CONNECTED, why))
        annealing, weight, problem = self._refined(found.annealing)
        if problem:
            return Refusal(found.node, problem)
        measured = self.runner.measure(_apply(self.model, [_bare(annealing, weight)]))
        if not self.budget.allows(measured.drop):
            why = f"alone it already costs {measured.drop:.4g}, more than {self.budget.limit:g}"
            return Refusal(found.node, Reason(Cause.TOO_COSTLY_ALONE, why))
        return AnnealingCandidate(
            annealing=annealing, level=level, mac_share=found.mac_share, drop=measured.drop, weight=weight
        )

    def _refined(self, annealing: Annealing) -> tuple[Annealing, Array | None, Reason | None]:
        """With calibration data: vetoed where the change of its outputs is too large, its blocks fitted again."""
        found = self.activity.get(annealing.node) if self.activity else None
        if found is None or found.gram is None or annealing.blocks is None:
            return annealing, None, None
        from ...passes.anneal.activity.damage import relative_error
        from ...passes.anneal.activity.refit import refit

        W = _canonical(self.prepared.survey, annealing.node)
        kept = np.where(annealing.kept(), W, 0)
        for k, n in annealing.residual:
            kept[k, n] = W[k, n]
        error = relative_error(W, kept, found.gram)
        weight: Array | None = None
        widest = max((block.inputs.size for block in annealing.blocks.blocks), default=0)
        scarce = self.options.refit and found.samples < PER_INPUT * widest
        if self.options.refit and not scarce:
            inside = W.copy()
            for k, n in annealing.residual:  # they stay as they are, beside the blocks
                inside[k, n] = 0
            made = refit(inside, annealing.blocks, found.gram)
            weight, error = made.weight, made.error_after
            annealing = replace(annealing, refitted=True)
        if self.options.veto is not None and error > self.options.veto:
            why = f"calibration: its outputs change by {error:.1%}, above the veto of {self.options.veto:.1%}"
            return annealing, None, Reason(Cause.VETOED, why)
        if scarce:
            annealing = _noted(
                annealing,
                f"not refitted: {found.samples:,} calibration rows are too few for blocks of {widest:,} inputs, which "
                f"would only learn them by heart; give {PER_INPUT * widest:,}",
            )
        annealing = _noted(annealing, *_seen_in(annealing, found))
        note = f"on calibration data its outputs change by {error:.2%}" + (
            " after the refit" if weight is not None else ""
        )
        return _noted(annealing, note), weight, None

    def together(
        self, ladders: Mapping[str, Sequence[AnnealingCandidate]]
    ) -> tuple[list[AnnealingCandidate], list[Refusal], Measured | None]:
        """Operators added one by one, the least sensitive first, each at its strongest level that fits."""
        order = sorted(ladders.items(), key=lambda pair: (max(pair[1][-1].drop, 0.0), -_saved(pair[1][-1])))
        chosen: list[AnnealingCandidate] = []
        refused: list[Refusal] = []
        last: Measured | None = None
        for node, rungs in order:
            for candidate in reversed(rungs):
                found = self.runner.measure(_apply(self.model, [*chosen, candidate]))
                if self.budget.allows(found.drop):
                    chosen.append(candidate)
                    last = found
                    break
            else:
                why = "together with the others it costs more than the budget"
                refused.append(Refusal(node, Reason(Cause.TOO_COSTLY_TOGETHER, why)))
        return chosen, refused, last


def _noted(annealing: Annealing, *notes: str) -> Annealing:
    return replace(annealing, evidence=replace(annealing.evidence, notes=(*annealing.evidence.notes, *notes)))


def _seen_in(annealing: Annealing, activity: Activity) -> list[str]:
    """What calibration data say of the decision: co-occurrence classes of the inputs, exposure of what is removed."""
    count = int(activity.labels.max(initial=-1)) + 1
    notes = [f"calibration data activate the inputs in {count:,} class{'es' if count > 1 else ''} that never meet"]
    if activity.exposure is not None:
        removed = ~annealing.kept()
        never = float((activity.exposure[removed] == 0).mean()) if removed.any() else 0.0
        notes.append(f"they never exposed {never:.1%} of the removed weights")
    return notes


def _bare(annealing: Annealing, weight: Array | None) -> AnnealingCandidate:
    return AnnealingCandidate(annealing=annealing, level=0.0, mac_share=1.0, drop=0.0, weight=weight)


def _saved(candidate: AnnealingCandidate) -> float:
    K, N = candidate.annealing.shape
    return (1 - candidate.mac_share) * K * N


def _canonical(found: Survey, address: str) -> Array:
    linear = next(one for one in found.linears if one.address == address)
    return linear.canonical(found.constants)


def _verified(
    model: Model, chosen: Sequence[AnnealingCandidate], runner: SideBySide, budget: Budget
) -> tuple[list[AnnealingCandidate], Measured | None, list[Refusal]]:
    """What also holds on the data held back, which is looked at once: all of it or nothing."""
    if not chosen:
        return [], None, []
    found = runner.measure(_apply(model, chosen))
    if within(found.drop, budget.limit):
        return list(chosen), found, []
    why = f"on the data held back they cost {found.drop:.4g} together; more data would tell how much it really is"
    return [], None, [Refusal(candidate.annealing.node, Reason(Cause.HELD_BACK, why)) for candidate in chosen]
