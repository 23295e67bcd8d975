"""Which operators may be annealed, and how strongly, within a budget of the task metric.

Each operator is tried alone at each level, weakest first, until it costs more than the whole budget. Then the operators
are put together, the least sensitive first, each at the strongest level at which all of them together stay inside it.
What comes out is verified on data that took no part in any of that.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..ir.annealing import Annealing
from ..ir.levels import within
from ..ir.model import Model
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.phase import phase
from ..ir.survey import Survey
from ..passes.anneal_model import Found, anneal_model
from ..passes.rewrite import anneal
from .annealer import Annealer, Prepared, prepare
from .compare import Trials
from .labelled import Labelled
from .labelled import split as split_data
from .metric import Budget
from .side_by_side import Measured, SideBySide
from .validation import LEVELLESS, Progress, activity_of

if TYPE_CHECKING:
    from ..passes.activity import Activity

__all__ = ["RUNGS", "Candidate", "Selection", "select", "without_useless"]

Array = npt.NDArray[Any]
RUNGS = 6  # levels tried, each a hundredth of the one before
FACTOR = 0.01
PER_INPUT = 4  # calibration rows for each input of a block, below which a refit fits the noise of the samples
NO_GAIN = "annealed it would not be split, since that is not predicted to be faster"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One operator at one level: what would be removed, and what that costs when nothing else is."""

    annealing: Annealing
    level: float
    mac_share: float
    drop: float
    weight: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """The annealings within the budget, and how it came to them.

    chosen: least sensitive first; refused: (node, why) of the others; tuning, held_back: all chosen ones together on
    either half of the data, None when none are; samples: in the half held back; reason: why nothing is chosen, or ''.
    """

    chosen: tuple[Candidate, ...]
    refused: tuple[tuple[str, str], ...]
    tuning: Measured | None
    held_back: Measured | None
    samples: int
    reason: str
    metric: str
    limit: float

    @property
    def annealing(self) -> tuple[Annealing, ...]:
        """What is removed."""
        return tuple(candidate.annealing for candidate in self.chosen)

    @property
    def refitted(self) -> dict[str, Array]:
        """Weights that were fitted again, by address."""
        return {c.annealing.node: c.weight for c in self.chosen if c.weight is not None}

    @property
    def effect(self) -> str:
        """What was measured, in one line, for the metadata."""
        if self.held_back is None:
            return ""
        found = self.held_back
        return (
            f"{self.metric} {found.baseline:.6g} -> {found.metric:.6g} on {self.samples} samples held back, "
            f"largest relative deviation {found.deviation:.3g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without weights."""
        return {
            "metric": self.metric,
            "limit": self.limit,
            "effect": self.effect,
            "reason": self.reason,
            "chosen": [
                {"node": c.annealing.node, "level": c.level, "mac_share": c.mac_share, "drop_alone": c.drop}
                for c in self.chosen
            ],
            "refused": [{"node": node, "reason": why} for node, why in self.refused],
            "removed": [
                {"node": one.node, "weight": one.weight, "entries": one.removed, "sha256": one.sha256}
                for one in self.annealing
            ],
        }


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
        return SideBySide(model, part, budget.metric, trials.provider, trials.threads, trials.custom_ops)

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
    """The selection without the operators that are annealed and then not split: they would only lose.

    split: addresses of the operators that are; what is left is measured again on the half of the data held back.
    """
    useful = tuple(c for c in selection.chosen if c.annealing.node in split)
    if len(useful) == len(selection.chosen):
        return selection
    idle = [(c.annealing.node, NO_GAIN) for c in selection.chosen if c.annealing.node not in split]
    refused = (*selection.refused, *idle)
    if not useful:
        return replace(
            selection, chosen=(), refused=refused, tuning=None, held_back=None, reason=_nothing(refused, budget)
        )
    parts = split_data(data, 0.5, seed)
    found = [
        SideBySide(model, part, budget.metric, trials.provider, trials.threads, trials.custom_ops).measure(
            _apply(model, useful)
        )
        for part in parts
    ]
    if not budget.allows(found[1].drop):
        why = "without the operators that are not split the budget no longer holds on the data held back"
        refused = (*refused, *((c.annealing.node, why) for c in useful))
        return replace(
            selection, chosen=(), refused=refused, tuning=None, held_back=None, reason=_nothing(refused, budget)
        )
    return replace(selection, chosen=useful, refused=refused, tuning=found[0], held_back=found[1])


def _nothing(refused: Sequence[tuple[str, str]], budget: Budget) -> str:
    if not refused:
        return "there is no operator to anneal"
    reasons: dict[str, int] = {}
    for _, why in refused:
        reasons[why] = reasons.get(why, 0) + 1
    why, count = max(reasons.items(), key=lambda pair: pair[1])
    limit = f"{budget.metric.name} <= {budget.limit:g}"
    return f"no operator is annealed (budget {limit}): for {count} of {len(refused)}, {why}"


def _apply(model: Model, chosen: Sequence[Candidate]) -> ir.Model:
    weights = {c.annealing.node: c.weight for c in chosen if c.weight is not None}
    return anneal(model.graph, [c.annealing for c in chosen], weights)


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

    def ladders(self) -> tuple[dict[str, list[Candidate]], list[tuple[str, str]]]:
        """For each operator the candidates that stay within the budget on their own, weakest first; and the
        refusals."""
        rungs = [self.options.alpha * FACTOR**step for step in range(RUNGS)]
        if self.options.method in LEVELLESS:
            rungs = rungs[:1]
        ladders: dict[str, list[Candidate]] = {}
        last: dict[str, str] = {}
        open_: set[str] | None = None
        for index, level in enumerate(rungs):
            decided = anneal_model(self.model, replace(self.prepared.settings, level=level))
            for done, found in enumerate(decided.found):
                if self.progress:
                    self.progress(index * len(decided.found) + done, len(rungs) * len(decided.found), found.node)
                if open_ is not None and found.node not in open_:
                    continue
                candidate = self._candidate(found, level)
                if isinstance(candidate, str):
                    last.setdefault(found.node, candidate)
                    continue
                known = ladders.setdefault(found.node, [])
                if known and known[-1].annealing.removed == candidate.annealing.removed:
                    continue  # the stronger level removes nothing more
                known.append(candidate)
            open_ = {found.node for found in decided.found} - {
                node for node, why in last.items() if why.startswith("alone")
            }
        return ladders, [(node, why) for node, why in last.items() if node not in ladders]

    def _candidate(self, found: Found, level: float) -> Candidate | str:
        """An operator annealed alone, or why it may not be."""
        if found.annealing is None:
            return found.reason
        if found.mac_share >= 1:
            return "removing single edges leaves it one component, so nothing is gained"
        annealing, weight, problem = self._refined(found.annealing)
        if problem:
            return problem
        measured = self.runner.measure(_apply(self.model, [_bare(annealing, weight)]))
        if not self.budget.allows(measured.drop):
            return f"alone it already costs {measured.drop:.4g}, more than {self.budget.limit:g}"
        return Candidate(annealing=annealing, level=level, mac_share=found.mac_share, drop=measured.drop, weight=weight)

    def _refined(self, annealing: Annealing) -> tuple[Annealing, Array | None, str]:
        """With calibration data: vetoed where the change of its outputs is too large, its blocks fitted again."""
        found = self.activity.get(annealing.node) if self.activity else None
        if found is None or found.gram is None or annealing.blocks is None:
            return annealing, None, ""
        from ..passes.damage import relative_error
        from ..passes.refit import refit

        W = _canonical(self.prepared.survey, annealing.node)
        kept = np.where(annealing.kept(), W, 0)
        for k, n in annealing.strays:
            kept[k, n] = W[k, n]
        error = relative_error(W, kept, found.gram)
        weight: Array | None = None
        widest = max((block.inputs.size for block in annealing.blocks.blocks), default=0)
        scarce = self.options.refit and found.samples < PER_INPUT * widest
        if self.options.refit and not scarce:
            inside = W.copy()
            for k, n in annealing.strays:  # they stay as they are, beside the blocks
                inside[k, n] = 0
            made = refit(inside, annealing.blocks, found.gram)
            weight, error = made.weight, made.error_after
            annealing = replace(annealing, refitted=True)
        if self.options.veto is not None and error > self.options.veto:
            return (
                annealing,
                None,
                f"calibration: its outputs change by {error:.1%}, above the veto of {self.options.veto:.1%}",
            )
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
        return _noted(annealing, note), weight, ""

    def together(
        self, ladders: Mapping[str, Sequence[Candidate]]
    ) -> tuple[list[Candidate], list[tuple[str, str]], Measured | None]:
        """Operators added one by one, the least sensitive first, each at its strongest level that fits."""
        order = sorted(ladders.items(), key=lambda pair: (max(pair[1][-1].drop, 0.0), -_saved(pair[1][-1])))
        chosen: list[Candidate] = []
        refused: list[tuple[str, str]] = []
        last: Measured | None = None
        for node, rungs in order:
            for candidate in reversed(rungs):
                found = self.runner.measure(_apply(self.model, [*chosen, candidate]))
                if self.budget.allows(found.drop):
                    chosen.append(candidate)
                    last = found
                    break
            else:
                refused.append((node, "together with the others it costs more than the budget"))
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


def _bare(annealing: Annealing, weight: Array | None) -> Candidate:
    return Candidate(annealing=annealing, level=0.0, mac_share=1.0, drop=0.0, weight=weight)


def _saved(candidate: Candidate) -> float:
    K, N = candidate.annealing.shape
    return (1 - candidate.mac_share) * K * N


def _canonical(found: Survey, address: str) -> Array:
    linear = next(one for one in found.linears if one.address == address)
    return linear.canonical(found.constants)


def _verified(
    model: Model, chosen: Sequence[Candidate], runner: SideBySide, budget: Budget
) -> tuple[list[Candidate], Measured | None, list[tuple[str, str]]]:
    """What also holds on the data held back, which is looked at once: all of it or nothing."""
    if not chosen:
        return [], None, []
    found = runner.measure(_apply(model, chosen))
    if within(found.drop, budget.limit):
        return list(chosen), found, []
    why = f"on the data held back they cost {found.drop:.4g} together; more data would tell how much it really is"
    return [], None, [(candidate.annealing.node, why) for candidate in chosen]
