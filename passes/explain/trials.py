"""What was tried with one linear, what each is predicted to gain, and why it was refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...ir.axes.region import unfit
from ...ir.findings.explanation import Trial
from ...ir.graph.linear import Linear
from ...ir.graph.view import View
from ...ir.plan.factored_weight import FactoredWeight, FramedProduct, HierarchicalWeight
from ...ir.plan.plan import LoweringName, Plan, Step
from ...ir.plan.rewritten_convolution import RewrittenConvolution
from ...ir.plural import counted
from ...ir.reason import Cause, Reason
from ..decompose.cover.cover import WORTH
from ..lowering.linear.dormant import absorb_dormant, apart, computes_dormant
from ..lowering.linear.lowerings import LOWERINGS, suited
from ..lowering.linear.protocol import LinearLowering, why_not_dense
from ..lowering.prices import MARGIN
from ..lowering.target import Target
from ..planning.analysis import Analysis, analyse_linear
from ..planning.candidates import LinearCandidate, Question, best_of, candidates, refusals
from ..planning.inspect import cover_share
from ..planning.linear import names_of
from ..planning.regions import Candidate, candidate, grow, region_options

__all__ = ["Case", "analysis_of", "first_named", "stayed_apart", "trials"]

BECOMING = {  # what one operator alone would become, by kind of preparation
    FactoredWeight.kind: "a product of smaller weights",
    FramedProduct.kind: "products of pieces of frames",
    HierarchicalWeight.kind: "products of blocks and of what these tell",
    RewrittenConvolution.kind: "a product with a constant",
}
NAMED = 4  # operators of a region that are named


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A linear with what is known of it: what its weight is like, its step in the plan, the view that the plan is
    about, what other weights of that view are like, as far as that is known, by address, and what costs are predicted
    for."""

    linear: Linear
    analysis: Analysis
    step: Step
    plan: Plan
    seen: View
    known: Mapping[str, Any]
    target: Target


def trials(case: Case) -> tuple[Trial, ...]:
    """What was tried with a linear, what it is predicted to gain, and why it was refused.

    Reads the weights of operators that may be split together with it, where they are not known.
    """
    return (
        *stayed_apart(case.step.node, case.plan),
        _components(case),
        *_covers(case),
        _region(case),
        *_lowerings(case),
    )


def stayed_apart(node: str, plan: Plan) -> Iterator[Trial]:
    """What could have been done to an operator and others before anything is split, and why it is not."""
    for one in plan.refused:
        if node in one.nodes:
            found = BECOMING.get(one.kind) or f"{counted(len(one.nodes), 'operator')} together"
            told = f"{found}, before anything is split"
            yield Trial(what=one.kind, found=told, gain=one.gain, refused=one.reason)


def _components(case: Case) -> Trial:
    parts, found = case.analysis.components, case.analysis.decomposition
    K, N = case.linear.shape
    idle = parts.dormant
    what = (
        f"{parts.count:,} component{'s' * (parts.count != 1)}, the largest with {parts.giant:.1%} of the features"
        f"{f', {idle:,} features without an edge' if idle else ''}: {found.mac_share:.1%} of the multiply-adds"
    )
    if computes_dormant(case.linear) and found.blocks and found.dormant_outputs.size:
        made = absorb_dormant(found).mac_share
        what += f", {made:.1%} as {case.linear.op} can be split here, where outputs without an edge are computed too"
    what += f"; found {case.plan.analysed}" if case.plan.analysed else ""
    refused = None
    if parts.count == 0:
        refused = Reason(Cause.ALL_ZERO, "every entry is zero")
    elif parts.count == 1:
        told = f"one component: all {parts.nonzeros:,} edges of {K * N:,} entries hang together"
        refused = Reason(Cause.CONNECTED, f"{told} beside what is dormant" if idle else told)
    return Trial(what="components", found=what, refused=refused)


def _covers(case: Case) -> Iterator[Trial]:
    linear, analysis = case.linear, case.analysis
    K, N = linear.shape
    for found in analysis.covers:
        owned, shared = ("inputs", "outputs") if found.split_k else ("outputs", "inputs")
        beside = f" and {len(found.residual):,} entries apart" if found.residual else ""
        what = f"up to {len(found.blocks)} groups of {owned} that share {shared}{beside}"
        refused = apart(linear, found)
        yield Trial(what="covers", found=f"{what}: {cover_share(found):.1%} of the multiply-adds", refused=refused)
    if not analysis.covers:
        full = analysis.components.nonzeros / max(K * N * analysis.decomposition.mac_share, 1e-300)
        if full > 1 - WORTH:
            why = f"{full:.1%} of the entries inside the components are edges, so that no group can leave out a tenth"
        else:
            why = "in no order of the outputs do groups of sixteen leave out a tenth of the multiply-adds"
        yield Trial(what="covers", found="no groups that share inputs", refused=Reason(Cause.CONNECTED, why))


def _region(case: Case) -> Trial:
    """Whether it is split together with others, and why not."""
    linear, step, plan = case.linear, case.step, case.plan
    made = next((region for region in plan.regions if step.node in region.nodes), None)
    if made is not None:
        stacks = made.blocks_per_node
        how = f"{made.reason}, {'each block on its own' if stacks == 1 else f'stacks of {stacks}'}"
        with_ = first_named(node for node in made.nodes if node != step.node)
        return Trial(what="region", found=f"{how}, with {with_}", gain=made.gain, taken=True)
    alone = "no region: it is on its own"
    constants = case.seen.found.constants
    own = candidate(linear, case.analysis, constants)
    if own is None:
        whole = Reason(Cause.CONNECTED, "it has neither several components nor groups that share inputs")
        why = unfit(linear) or why_not_dense(linear, None) or whole
        return Trial(what="region", found=alone, refused=why)
    others = list(_candidates(case))
    regions = grow([own, *others], constants) if others else []
    grown = next((one for one in regions if linear in one.region.linears), None)
    if grown is None:
        told = "no other linear has blocks" if not others else "nowhere do its blocks go on in those of a neighbour"
        return Trial(what="region", found=alone, refused=Reason(Cause.BLOCKS, told))
    together = [one.address for one in grown.region.linears]
    options = region_options(grown, plan.rows_of(together), case.target, plan.grain)
    gain = options[0].gain if options else None
    with_ = first_named(one.address for one in grown.region.linears if one is not linear)
    told = "too little gain is predicted" if gain is None or gain < MARGIN else "more is predicted for each alone"
    blocks = len(grown.decompositions[0].blocks)
    why = Reason(Cause.NO_GAIN, told)
    return Trial(what="region", found=f"{blocks} common blocks with {with_}", gain=gain, refused=why)


def _candidates(case: Case) -> Iterator[Candidate]:
    """Other linears of the same graph that may be split together with one."""
    constants = case.seen.found.constants
    hopeful = {step.node for step in case.plan.steps if step.sha256 is not None}
    for one in case.seen.found.linears:
        if one is case.linear or one.node.graph is not case.linear.node.graph or one.address not in hopeful:
            continue
        if (made := candidate(one, analysis_of(one, case.known, case.seen), constants)) is not None:
            yield made


def analysis_of(linear: Linear, known: Mapping[str, Any], seen: View) -> Analysis:
    """What its weight is like; known: of each address that was looked at already."""
    found: Analysis | None = known.get(linear.address)
    return found or analyse_linear(linear, seen.found.constants)


def _lowerings(case: Case) -> Iterator[Trial]:
    """Each way to write it alone: what it is predicted to gain, or why it cannot be; those last that are only taken
    where they are asked for."""
    linear, step, target = case.linear, case.step, case.target
    fit = [one for one in suited(linear, target) if one.name in case.analysis.takes]
    alone = next((one for one in fit if not one.multiplies), None)  # none of the others is looked at then
    best, against = _best(case, None)
    looked_at = bool(best or against)
    best = best if fit else {}  # what suits nothing is predicted all the same
    top = max(best.values(), key=lambda one: one.gain, default=None)
    for lowering in sorted(LOWERINGS, key=lambda one: one.on_request) if looked_at else ():
        way = lowering.name
        asked = step.lowering == way and way not in best
        if (lowering.on_request or asked) and lowering.why_not(linear, None, target) is None:
            literal, why_so = _best(case, way)
            best |= literal
            against |= why_so
        if way in best:
            made, taken = best[way], step.lowering == way
            share = f"{made.decomposition.mac_share:.1%} of the multiply-adds"
            blocks = len(made.decomposition.blocks)
            what = f"{blocks} block{'s' * (blocks != 1)}, {share}"
            why = None if taken else _why_not(made, case, top)
            yield Trial(what=way, found=what, gain=round(made.gain, 3), taken=taken, refused=why)
            continue
        yield Trial(what=way, found="cannot be", refused=_cannot(case, lowering, alone, against.get(way)))


def _cannot(case: Case, lowering: LinearLowering, alone: LinearLowering | None, against: Reason | None) -> Reason:
    """Why a lowering cannot be; alone: the one without products that is looked at alone, where there is one."""
    if alone is not None:
        told = f"every output is one input, so that '{alone.name}' does it without a product"
        return Reason(Cause.SELECTION, told)
    if lowering.name not in case.analysis.takes:
        return Reason(Cause.BLOCKS, "not every output is one input as it is")
    idle = Reason(Cause.NO_GAIN, "nothing has to be moved, so 'split' does it without index work")
    return lowering.why_not(case.linear, None, case.target) or against or idle


def _best(
    case: Case, asked: LoweringName | None
) -> tuple[dict[LoweringName, LinearCandidate], dict[LoweringName, Reason]]:
    """The groups of blocks or covers with which each way gains most, and what is against the ways that do not fit;
    asked: the only one to look at, if any."""
    rows = case.plan.rows_of([case.step.node])
    question = Question(target=case.target, rows=rows, grain=case.plan.grain, asked=asked)
    found = list(candidates(case.linear, case.analysis, question))
    best: dict[LoweringName, LinearCandidate] = {}
    for lowering in {one.lowering.name for one in found}:
        own = best_of(one for one in found if one.lowering.name == lowering)
        best |= {} if own is None else {lowering: own}
    return best, refusals(found)


def _why_not(made: LinearCandidate, case: Case, top: LinearCandidate | None) -> Reason:
    """Why what fits is not taken; top: what gains most of all that need not be asked for."""
    step, lowering = case.step, made.lowering
    if step.lowering == "region":
        return Reason(Cause.REGION, "the whole region gains more")
    asked = case.plan.wanted.way(*names_of(case.linear))
    if asked is not None:
        return Reason(Cause.AS_ASKED, f"'{asked}' was asked for")
    if lowering.on_request and made.gain > (top.gain if top else 0.0):
        return Reason(Cause.AS_ASKED, f"it is taken only where '{lowering.name}' is asked for")
    if top is not None and lowering is not top.lowering:
        return Reason(Cause.NO_GAIN, f"'{top.lowering.name}' is predicted to gain more ({top.gain:.2f}x)")
    if made.gain < MARGIN:
        told = f"less than {MARGIN}x the speed of dense is predicted, which is not worth a larger graph"
        return Reason(Cause.NO_GAIN, told)
    return step.reason


def first_named(nodes: Iterable[str]) -> str:
    """Some addresses in words, the first few by name."""
    names = list(nodes)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
