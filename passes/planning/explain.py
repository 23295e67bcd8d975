"""Explain one operator of a model: what it is like, what was tried and why not taken, and what holds it together."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.axes.region import unfit
from ...ir.errors import INSPECT
from ...ir.findings.explanation import Explanation, Percolation, Trial, UnknownNodeError
from ...ir.findings.inspection import Inspected
from ...ir.graph.addressing import meant
from ...ir.graph.functions import weight_takers
from ...ir.graph.linear import Linear, scopes
from ...ir.graph.operators import PRODUCTS
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.sizes import Setting, input_dims, open_dims
from ...ir.graph.skipped import Skipped
from ...ir.graph.view import View, view
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.plan import LoweringName, Plan, Step
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ..connectivity.percolation import half_giant
from ..connectivity.small_cuts import glued_by_few, glued_by_size
from ..decompose.cover.cover import WORTH
from ..decompose.recurrent import joint_edges
from ..lowering.linear.dormant import absorb_dormant, apart, computes_dormant
from ..lowering.linear.lowerings import LOWERINGS, suited
from ..lowering.linear.protocol import LinearLowering, why_not_dense
from ..lowering.prices import MARGIN
from ..lowering.protocol import worst_gain
from ..lowering.recurrent.lowering import CELLS
from ..lowering.target import Target
from ..rewrite.preparations import prepared
from ..rewrite.prepare import planned_view
from .analysis import Analysis, analyse_linear
from .candidates import LinearCandidate, Question, best_of, candidates, refusals
from .inspect import cover_share, inspect_model, scopes_of
from .linear import names_of
from .recurrent import runs_of
from .regions import Candidate, candidate, grow, joint_options
from .settings import PlanSettings

__all__ = ["Case", "explain_node", "trials"]

Array: TypeAlias = "npt.NDArray[Any]"

NEAREST = 5  # names that are offered for one that is unknown
NAMED = 4  # operators of a region that are named


def explain_node(
    model: Model,
    node: str,
    settings: PlanSettings | None = None,
    *,
    sized: Callable[[], tuple[Setting, ...]] | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Explanation:
    """Everything that is known about one operator of a model; changes nothing.

    node: its address, or the name of a node where that is in one graph only; settings, sized, progress: those of
    `make_plan`, so that the verdict is that of a plan with the same settings; seed: of the search for a small cut. An
    operator that is no linear is explained by the reason why. Raises UnknownNodeError where there is no such node,
    naming the nearest, and what `make_plan` raises.
    """
    if not isinstance(node, str):
        what = f"an operator is named by a string, not by a {type(node).__name__}; "
        raise UnknownNodeError(f"{model.name}: {what}", INSPECT, " lists them")
    known: dict[str, Any] = {}
    found = inspect_model(model, settings, sized=sized, progress=progress, observe=known.__setitem__)
    with phase("explain"):
        return _explained(model, node, found, known, (settings or PlanSettings()).threads, seed)


def _explained(
    model: Model, node: str, found: Inspected, known: dict[str, Any], threads: int, seed: int
) -> Explanation:
    """known: what every weight is like, by address, before streams get another order."""
    operators = {address: one for scope in scopes(model.graph) for one, address in scope.addresses.items()}
    node = _known(model, node, found, operators)
    plan = found.plan
    scope = scopes_of(model, plan).get(node, "")
    row = next((row for row in found.rows if row.node == node), None)
    head: dict[str, Any] = {"model": model.name, "node": node, "scope": scope}
    if row is None:
        skip = next((skip for skip in plan.skipped if skip.node == node), None) or _gone(node, plan, operators)
        if skip is None:
            skip = _no_linear(node, str(operators[node].op_type), found, _called(model, operators[node], found))
        return Explanation(**head, operator=skip.op, skipped=skip)
    seen = planned_view(model.graph, plan)
    if node not in _homes(seen):
        # It stands in a function that stays one: then it is named as it would be in the place of the call.
        graph = prepared(model.graph, plan.preparations)
        plan = replace(plan, inline=tuple(sorted(weight_takers(graph)[0])), reorderings=())
        seen = view(graph, plan.inline)
    step = next(step for step in plan.steps if step.node == node)
    head |= {"operator": step.op, "inspection": row, "rows": _rows(step, plan, model)}
    linear = next((one for one in seen.found.linears if one.address == node), None)
    if linear is None:
        way = next(one for one in seen.found.recurrents if one.address == node)
        W, R = way.stored(seen.found.constants)
        return Explanation(**head, trials=_trials_of_states(way, step, plan, threads), percolation=_states(W, R))
    # Entries are named by their places in the model as it is; what was tried is about the order of the plan.
    stored = view(prepared(model.graph, plan.preparations), plan.inline) if plan.reorderings else seen
    own = next(one for one in stored.found.linears if one.address == node)
    weight = own.canonical(stored.found.constants)
    half = half_giant(weight)
    glue = (glued_by_few(weight, _analysis(own, known, stored).components, seed), glued_by_size(weight, half))
    if plan.reorderings:
        known = {}
    analysis = _analysis(linear, known, seen)
    return Explanation(
        **head,
        trials=trials(Case(linear, analysis, step, plan, seen, known, threads)),
        percolation=Percolation(
            threshold=half.threshold,
            gone=1 - half.kept,
            giant=half.giant,
            components=half.components,
            random=_random(*weight.shape),
        ),
        glue=tuple(one for one in glue if one is not None),
    )


def _gone(node: str, plan: Plan, operators: Mapping[str, ir.Node]) -> Skipped | None:
    """Why a node of the model is none of the plan: it went, or became another, before anything is split."""
    found = next((one for one in plan.preparations if node in one.nodes), None)
    return None if found is None else Skipped(node, str(operators[node].op_type), found.reason, 0)


def _rows(step: Step, plan: Plan, model: Model) -> str:
    """What the activation rows of a linear are made of, for each batch of the plan; once where all are alike."""
    fixed = not open_dims(input_dims(model.graph)) or (len(plan.batch) > 1 and len(set(step.extents)) == 1)
    told = []
    for batch, extents, rows in zip(plan.batch, step.extents, step.rows, strict=False):
        product = f" = {' x '.join(f'{extent:,}' for extent in extents)}" if len(extents) > 1 else ""
        told.append(f"{rows:,}{product}" + ("" if fixed else f" (batch {batch:,})"))
    return "; ".join(dict.fromkeys(told))


def _homes(seen: View) -> dict[str, ir.Node]:
    """The node of each linear and recurrent operator, by address."""
    operators: list[Linear | Recurrent] = [*seen.found.linears, *seen.found.recurrents]
    return {one.address: one.node for one in operators}


def _called(model: Model, node: ir.Node, found: Inspected) -> list[str]:
    """The linears in the function that a node calls, as the plan names them; nothing where it calls none."""
    if node.op_identifier() not in model.graph.functions:
        return []
    seen = view(model.graph, sorted(weight_takers(model.graph)[0]))
    inside = {node.op_identifier()}
    while (
        more := {
            other.op_identifier()
            for function in inside
            for other in model.graph.functions[function].all_nodes()
            if other.op_identifier() in model.graph.functions
        }
        - inside
    ):
        inside |= more
    homes = {address: seen.origins.get(one) for address, one in _homes(seen).items()}
    own = "::".join(part for part in node.op_identifier() if part) + "/"
    return [row.node for row in found.rows if homes.get(row.node) in inside or row.node.startswith(own)]


def _no_linear(node: str, op: str, found: Inspected, called: Sequence[str]) -> Skipped:
    """Why an operator that is not even skipped has nothing to split."""
    ways = [row.node for row in found.rows if row.node.startswith(f"{node}[")]
    cause, why = Cause.NO_PRODUCT, f"{op} is no product of matrices: there is no constant weight to split"
    if called:
        cause, why = Cause.IN_FUNCTION, f"it calls a function, whose products are taken by themselves: {_named(called)}"
    elif ways:
        cause, why = Cause.FUSED, f"each of its directions is taken by itself: {', '.join(ways)}"
    elif op in PRODUCTS and "::" in node:
        cause = Cause.IN_FUNCTION
        why = "it stands in a function, which is handed its factors: its calls are looked at where one of them splits"
    elif op in PRODUCTS:
        cause = Cause.NOT_CONSTANT
        why = "its factors are computed when the model runs: there is no constant weight to split"
    return Skipped(node, op, Reason(cause, why), 0)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A linear with what is known of it: what its weight is like, its step in the plan, the view that the plan is
    about, what other weights of that view are like, as far as that is known, by address, and the threads it runs on."""

    linear: Linear
    analysis: Analysis
    step: Step
    plan: Plan
    seen: View
    known: Mapping[str, Any]
    threads: int

    @property
    def target(self) -> Target:
        """What costs are predicted for."""
        return Target(provider=self.plan.provider, threads=self.threads)


def trials(case: Case) -> tuple[Trial, ...]:
    """What was tried with a linear, what it is predicted to gain, and why it was refused.

    Reads the weights of operators that may be split together with it, where they are not known.
    """
    return (_components(case), *_covers(case), _region(case), *_lowerings(case))


def _known(model: Model, node: str, found: Inspected, operators: dict[str, ir.Node]) -> str:
    """The address that is meant by a name, which may be that of a node or of its weight."""
    every = dict.fromkeys([row.node for row in found.rows] + [skip.node for skip in found.plan.skipped])
    every |= dict.fromkeys(operators)
    if node in every:
        return node
    names = {address: (str(one.name),) for address, one in operators.items()}
    weights = {row.node: (row.weight,) for row in found.rows}
    constants = {address: _constants_of(one) for address, one in operators.items()}
    called, reading = meant(node, names), meant(node, weights, constants)
    named = called or reading
    if len(named) == 1:
        return named[0]
    if named:
        what = f"several nodes are called {node!r}" if called else f"several nodes read {node!r}"
        raise UnknownNodeError(f"{model.name}: {what}; name one of {', '.join(named[:NEAREST])}")
    every |= {row.weight: None for row in found.rows if row.weight}
    near = difflib.get_close_matches(node, every, n=NEAREST, cutoff=0.3)
    near = near or [row.node for row in found.rows][:NEAREST]
    offer = f"the nearest are {', '.join(near)}" if near else "it has no node with a name"
    raise UnknownNodeError(f"{model.name}: there is no node {node!r}; {offer}; ", INSPECT, " lists them")


def _constants_of(node: ir.Node) -> tuple[str, ...]:
    """The names of the constants that a node reads."""
    return tuple(str(value.name) for value in node.inputs if value is not None and value.const_value is not None)


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
    refused = ""
    if parts.count == 0:
        refused = "every entry is zero"
    elif parts.count == 1:
        refused = f"one component: all {parts.nonzeros:,} edges of {K * N:,} entries hang together"
        refused += " beside what is dormant" if idle else ""
    return Trial(what="components", found=what, refused=refused)


def _covers(case: Case) -> Iterator[Trial]:
    linear, analysis = case.linear, case.analysis
    K, N = linear.shape
    for found in analysis.covers:
        owned, shared = ("inputs", "outputs") if found.summed else ("outputs", "inputs")
        beside = f" and {len(found.strays):,} entries apart" if found.strays else ""
        what = f"up to {len(found.blocks)} groups of {owned} that share {shared}{beside}"
        refused = apart(linear, found) or ""
        yield Trial(what="covers", found=f"{what}: {cover_share(found):.1%} of the multiply-adds", refused=refused)
    if not analysis.covers:
        full = analysis.components.nonzeros / max(K * N * analysis.decomposition.mac_share, 1e-300)
        if full > 1 - WORTH:
            why = f"{full:.1%} of the entries inside the components are edges, so that no group can leave out a tenth"
        else:
            why = "in no order of the outputs do groups of sixteen leave out a tenth of the multiply-adds"
        yield Trial(what="covers", found="no groups that share inputs", refused=why)


def _region(case: Case) -> Trial:
    """Whether it is split together with others, and why not."""
    linear, step, plan = case.linear, case.step, case.plan
    made = next((joint for joint in plan.joints if step.node in joint.nodes), None)
    if made is not None:
        how = f"{made.reason}, {'each block on its own' if made.stack == 1 else f'stacks of {made.stack}'}"
        with_ = _named(node for node in made.nodes if node != step.node)
        return Trial(what="region", found=f"{how}, with {with_}", gain=made.gain, taken=True)
    alone = "no region: it is on its own"
    constants = case.seen.found.constants
    own = candidate(linear, case.analysis, constants)
    if own is None:
        why = (
            unfit(linear)
            or why_not_dense(linear, None)
            or "it has neither several components nor groups that share inputs"
        )
        return Trial(what="region", found=alone, refused=why)
    others = list(_candidates(case))
    regions = grow([own, *others], constants) if others else []
    grown = next((one for one in regions if linear in one.region.linears), None)
    if grown is None:
        why = "no other linear has blocks" if not others else "nowhere do its blocks go on in those of a neighbour"
        return Trial(what="region", found=alone, refused=why)
    together = [one.address for one in grown.region.linears]
    options = joint_options(grown, plan.rows_of(together), case.target, plan.grain)
    gain = options[0].gain if options else None
    with_ = _named(one.address for one in grown.region.linears if one is not linear)
    why = "too little gain is predicted" if gain is None or gain < MARGIN else "more is predicted for each alone"
    blocks = len(grown.decompositions[0].blocks)
    return Trial(what="region", found=f"{blocks} common blocks with {with_}", gain=gain, refused=why)


def _candidates(case: Case) -> Iterator[Candidate]:
    """Other linears of the same graph that may be split together with one."""
    constants = case.seen.found.constants
    hopeful = {step.node for step in case.plan.steps if step.sha256 is not None}
    for one in case.seen.found.linears:
        if one is case.linear or one.node.graph is not case.linear.node.graph or one.address not in hopeful:
            continue
        if (made := candidate(one, _analysis(one, case.known, case.seen), constants)) is not None:
            yield made


def _analysis(linear: Linear, known: Mapping[str, Any], seen: View) -> Analysis:
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
            why = "" if taken else _why_not(made, case, top)
            yield Trial(what=way, found=what, gain=round(made.gain, 3), taken=taken, refused=why)
            continue
        yield Trial(what=way, found="cannot be", refused=_cannot(case, lowering, alone, against.get(way, "")))


def _cannot(case: Case, lowering: LinearLowering, alone: LinearLowering | None, against: str) -> str:
    """Why a lowering cannot be; alone: the one without products that is looked at alone, where there is one."""
    if alone is not None:
        return f"every output is one input, so that '{alone.name}' does it without a product"
    if lowering.name not in case.analysis.takes:
        return "not every output is one input as it is"
    reason = lowering.why_not(case.linear, None, case.target) or against
    return reason or "nothing has to be moved, so 'split' does it without index work"


def _best(
    case: Case, asked: LoweringName | None
) -> tuple[dict[LoweringName, LinearCandidate], dict[LoweringName, str]]:
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


def _why_not(made: LinearCandidate, case: Case, top: LinearCandidate | None) -> str:
    """Why what fits is not taken; top: what gains most of all that need not be asked for."""
    step, lowering = case.step, made.lowering
    if step.lowering == "joint":
        return "the whole region gains more"
    asked = case.plan.wanted.way(*names_of(case.linear))
    if asked is not None:
        return f"'{asked}' was asked for"
    if lowering.on_request and made.gain > (top.gain if top else 0.0):
        return f"it is only taken with --lowering {lowering.name}"
    if top is not None and lowering is not top.lowering:
        return f"'{top.lowering.name}' is predicted to gain more ({top.gain:.2f}x)"
    if made.gain < MARGIN:
        return f"less than {MARGIN}x the speed of dense is predicted, which is not worth a larger graph"
    return step.reason.text


def _trials_of_states(way: Recurrent, step: Step, plan: Plan, threads: int) -> tuple[Trial, ...]:
    """What was tried with one direction of a recurrent operator."""
    count = step.components
    what = f"{count:,} component{'s' * (count != 1)} of states, the largest with {step.giant:.1%} of all features"
    refused = "" if count > 1 else "one component holds every state" if count else "every entry is zero"
    found = [Trial(what="components", found=what, refused=refused)]
    whole = step.decomposition
    if not whole.blocks:
        return tuple(found)
    gain = worst_gain(CELLS, way, whole, runs_of(way, step.extents), Target(provider=plan.provider, threads=threads))
    taken = step.lowering == CELLS.name
    what = f"{len(whole.blocks)} operators side by side, {whole.mac_share:.1%} of the multiply-adds"
    why = "" if taken else step.reason.text
    return (*found, Trial(what=CELLS.name, found=what, gain=round(gain, 3), taken=taken, refused=why))


def _states(W: Array, R: Array) -> Percolation | None:
    """Where the states of a recurrent operator fall apart: by the largest entry of any gate.

    W: (gates, H, I); R: (gates, H, H). A state as it was and as it becomes is one, whatever the threshold.
    """
    size = np.concatenate([np.abs(W).max(axis=0).T, np.abs(R).max(axis=0).T]).astype(np.float64)
    edges = int(np.count_nonzero(joint_edges(W, R)))
    H, I = size.shape[1], size.shape[0] - size.shape[1]  # noqa: E741 - ONNX's names
    if not edges:
        return None
    tied = size.copy()
    tied[I + np.arange(H), np.arange(H)] = np.inf
    half = half_giant(tied)
    gone = 1 - int(np.count_nonzero(size > half.threshold)) / edges
    return Percolation(
        threshold=half.threshold, gone=gone, giant=half.giant, components=half.components, random=_random(*size.shape)
    )


def _random(K: int, N: int) -> float:
    """The density at which mean degrees of inputs and outputs multiply to 1, see `percolation`."""
    return 1 / math.sqrt(K * N) if K and N else 1.0


def _named(nodes: Iterable[str]) -> str:
    names = list(nodes)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
