"""Portraits: what a page shows of single linears, their patterns, groups and states."""

from __future__ import annotations

import functools
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.findings.inspection import Inspected, Inspection
from ....ir.findings.structure import Structure
from ....ir.graph.recurrent import Recurrent
from ....ir.graph.view import View, view
from ....ir.io.load import Model
from ....ir.phase import phase
from ....ir.plan.annealing import Annealing
from ....ir.plan.plan import Decomposition, Plan, PlanError, Step
from ....ir.progress import Progress
from ....passes.connectivity.edges import relate
from ....passes.decompose.blocks import in_order
from ....passes.decompose.cover.cover import WORTH
from ....passes.decompose.fingerprint import fingerprint
from ....passes.decompose.recurrent import RecurrentAnalysis, recurrent_hash
from ....passes.planning.analysis import Analysis
from ....passes.planning.inspect import in_groups
from ....passes.rewrite.prepare import planned_view
from ...weights.source import from_array
from ...weights.states import StateGraph, find, states_of
from ..picture.condensation_layout import Drawing, lay_out
from ..picture.structure import CONDENSED
from .thumbnail import Pattern, as_stored, grouped, magnitudes

__all__ = [
    "GroupRow",
    "Portrait",
    "StateView",
    "alike",
    "drawable",
    "finest",
    "has_structure",
    "portraits",
    "worth_showing",
]

Array = npt.NDArray[Any]

LARGEST = 40  # linears without any structure that are shown nevertheless
MOST_READ = 1 << 27  # entries of those: half a gigabyte to read
MOST_SHOWN = 60  # linears with structure that are
MOST_BYTES = 2_500_000  # of pictures; what comes later is told without
MOST_GROUPS = 40  # rows of a table
MOST_STATES = 4096  # a structure of more is not looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """Groups of one size that follow one another in the order of the picture, from `first` to `last`.

    inputs, outputs: of each, and how many of them others read, or where groups are split-K write, too; mac_share: of
    each, of the multiply-adds of the dense weight.
    """

    first: int
    last: int
    inputs: int
    outputs: int
    shared: int
    mac_share: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StateView:
    """A weight as a graph over states that are inputs and outputs at once; drawing: None where it has too many."""

    structure: Structure
    graph: StateGraph
    drawing: Drawing | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portrait:
    """What is shown of one linear, or direction of a recurrent operator.

    stored: its pattern as the model has it; arranged: the same group by group, without what the plan removes: in the
    groups of the plan, or where that leaves it dense in those that there are; of_groups: how many there are, of which
    `groups` are listed; states:
    where it is recurrent, or square with more than one SCC; annealing: what is removed, on what evidence; note: what
    is not drawn, and why; like: other linears that look nearly the same, which are not drawn.
    """

    row: Inspection
    stored: Pattern | None = None
    arranged: Pattern | None = None
    groups: tuple[GroupRow, ...] = ()
    of_groups: int = 0
    states: StateView | None = None
    annealing: Annealing | None = None
    note: str = ""
    like: tuple[str, ...] = ()


def finest(found: Analysis | RecurrentAnalysis) -> Decomposition | None:
    """The groups that a weight comes apart into, merged into few where they share inputs; None where there are none."""
    if len(found.decomposition.blocks) > 1:
        return found.decomposition
    covers = map(in_groups, found.covers if isinstance(found, Analysis) else ())
    best = min(covers, key=lambda cover: cover.mac_share, default=None)
    return best if best is not None and best.mac_share <= 1 - WORTH else None


def has_structure(step: Step) -> bool:
    """Whether there is more to see than one dense block."""
    found = step.decomposition
    many = len(found.blocks) > 1 or bool(found.residual) or step.components > 1
    return many or bool(step.dormant_inputs or step.dormant_outputs) or step.lowering != "dense"


def worth_showing(plan: Plan, groups: Collection[str] = ()) -> tuple[str, ...]:
    """The linears with structure that save most time, then those that leave out most, then the largest of the others.

    groups: linears known to have some besides those whose step tells. What a linear saves is predicted: its
    multiply-adds without those that its gain leaves of them.
    """
    known = {one.node for one in plan.annealing}.union(groups)
    found = [step for step in plan.steps if has_structure(step) or step.node in known]
    found = sorted(found, key=lambda step: (step.lowering == "dense", _saved(step)))
    names = {step.node for step in found}
    rest = sorted((step for step in plan.steps if step.node not in names), key=lambda step: -step.parameters)
    read = list(accumulate(step.parameters for step in rest))
    few = [step for step, sum_ in zip(rest, read, strict=True) if sum_ <= MOST_READ or sum_ == read[0]]
    return tuple(step.node for step in (*found[:MOST_SHOWN], *few[:LARGEST]))


def _saved(step: Step) -> float:
    """Less the more time its lowering saves, or where it stays dense the more multiply-adds its blocks leave out."""
    if step.lowering != "dense" and step.gain:
        return -step.parameters * (1 - 1 / max(step.gain, 1e-9))
    return -step.parameters * (1 - step.decomposition.mac_share)


def alike(plan: Plan, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Linears that are shown, in their order, each with those after it that look nearly the same.

    These are of one operator, size and lowering, have as many blocks, and leave the same share within one hundredth.
    What is annealed, or has states, is shown each for itself.
    """
    steps = {step.node: step for step in plan.steps}
    alone = {one.node for one in plan.annealing}
    first: dict[Hashable, str] = {}
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        step = steps[name]
        own = name in alone or step.states is not None
        key = name if own else _look(step)
        if key in first:
            found[first[key]] += (name,)
        else:
            first[key] = name
            found[name] = ()
    return found


def _look(step: Step) -> Hashable:
    whole = step.decomposition
    share = round(whole.mac_share, 2), round(step.nonzeros / max(step.parameters, 1), 2)
    return step.op, step.shape, step.lowering, len(whole.blocks), step.components > 1, step.giant > 0.5, share


@phase("pictures")
def portraits(
    model: Model,
    found: Inspected,
    groups: Mapping[str, Decomposition] | None = None,
    progress: Progress | None = None,
) -> tuple[Portrait, ...]:
    """What is worth showing of a model, in the order of `worth_showing`; reads those weights one by one.

    groups: those that linears come apart into, where the plan leaves them dense; progress: called with (done, total,
    what). Raises ModelError when a weight cannot be read, PlanError when the plan is for another model.
    """
    plan = found.plan
    before = view(model.graph, plan.inline)
    drawn = drawable(plan)
    after = planned_view(model.graph, drawn) if plan.annealing or plan.preparations or plan.reorderings else before
    exact = drawn == plan
    inlined = functools.cache(lambda: view(model.graph, tuple(model.graph.functions)))  # of what stays in functions
    rows = {row.node: row for row in found.rows}
    steps = {step.node: step for step in plan.steps}
    annealed = {one.node: one for one in plan.annealing}
    made: list[Portrait] = []
    used = 0
    groups = groups or {}
    names = alike(plan, worth_showing(plan, groups))
    for index, node in enumerate(names):
        if progress:
            progress(index, len(names), node)
        was, now = (before, after) if _has(before, node) else (after, after)  # of one that a preparation made
        if not _has(now, node):
            was = now = inlined()
        one = _portrait(
            rows[node], steps[node], was, now, annealed.get(node), groups.get(node), used < MOST_BYTES, exact
        )
        used += sum(len(pattern.png) for pattern in (one.stored, one.arranged) if pattern is not None)
        made.append(replace(one, like=names[node]))
    return tuple(made)


def _portrait(
    row: Inspection,
    step: Step,
    before: View,
    after: View,
    annealing: Annealing | None,
    groups: Decomposition | None,
    draw: bool,
    exact: bool,
) -> Portrait:
    weight = _weight(before, step.node)
    left = weight if after is before else _weight(after, step.node)
    if left.shape != step.shape or (exact and not _is_planned(after, step)):
        raise PlanError(f"{step.node}: the plan was made for another weight; make a new plan of this model")
    dense = step.lowering == "dense" and groups is not None
    decomposition = groups if dense and groups is not None else step.decomposition
    structured = dense or has_structure(step) or annealing is not None
    stored = arranged = None
    if draw and structured:
        by_output = relate(weight.T)
        stored = as_stored(by_output)
        if decomposition.blocks:
            arranged = grouped(by_output if left is weight else relate(left.T), decomposition)
    elif draw and row.nonzeros == row.inputs * row.outputs:
        stored = magnitudes(weight)
    elif draw:
        stored = as_stored(relate(weight.T))
    return Portrait(
        row=row,
        stored=stored,
        arranged=arranged,
        groups=tuple(_groups(decomposition)),
        of_groups=len(decomposition.blocks),
        states=_states(after, step, left),
        annealing=annealing,
        note="" if draw else f"not drawn: the pictures of this page are {MOST_BYTES / 1e6:.1f} MB already",
    )


def drawable(plan: Plan) -> Plan:
    """The same plan without fitting entries again: they are not in it, but their places are, which is all that is
    drawn."""
    return replace(plan, annealing=tuple(replace(one, refitted=False) for one in plan.annealing))


def _has(seen: View, node: str) -> bool:
    return any(one.address == node for one in seen.found.linears) or _way(seen, node) is not None


def _weight(seen: View, node: str) -> Array:
    """The canonical weight (K, N); of a recurrent operator the largest |w| of all gates, features before states."""
    constants = seen.found.constants
    for linear in seen.found.linears:
        if linear.address == node:
            return linear.canonical(constants)
    way = _way(seen, node)
    if way is None:
        raise PlanError(f"{node}: the model has no such linear; the plan is for another model")
    parts = [np.abs(part).max(axis=0).T for part in way.stored(constants)]
    return np.concatenate(parts)


def _is_planned(seen: View, step: Step) -> bool:
    """Whether the weight is the one that the plan was made for, as far as the step says which one that is."""
    constants = seen.found.constants
    if step.sha256 is None:
        return True
    way = _way(seen, step.node)
    if way is not None:
        return recurrent_hash(*way.stored(constants), way.direction) == step.sha256
    linear = next(linear for linear in seen.found.linears if linear.address == step.node)
    return fingerprint(linear.stored(constants)) == step.sha256


def _way(seen: View, node: str) -> Recurrent | None:
    return next((way for way in seen.found.recurrents if way.address == node), None)


def _groups(whole: Decomposition) -> Iterator[GroupRow]:
    if len(whole.blocks) < 2:
        return
    several = np.zeros(whole.shape[whole.split_k], bool)
    several[whole.shared] = True
    sizes = (
        (*block.shape, int(several[block.outputs if whole.split_k else block.inputs].sum()))
        for block in in_order(whole)
    )
    first = 0
    for (inputs, outputs, shared), alike in islice(groupby(sizes), MOST_GROUPS):
        count = sum(1 for _ in alike)
        share = inputs * outputs / (whole.shape[0] * whole.shape[1])
        last = first + count - 1
        yield GroupRow(first=first, last=last, inputs=inputs, outputs=outputs, shared=shared, mac_share=share)
        first += count


def _states(seen: View, step: Step, weight: Array) -> StateView | None:
    """The states of a recurrent operator, or of a square weight that is no single SCC."""
    K, N = step.shape
    recurrent = _way(seen, step.node) is not None
    if N > MOST_STATES or not (recurrent or (K == N and step.nonzeros < K * N)):
        return None
    graph = states_of(from_array(weight[K - N :], step.node), scope="state")
    structure = find(graph)
    if not recurrent and structure.sccs < 2:
        return None
    return StateView(structure=structure, graph=graph, drawing=_drawn(structure))


def _drawn(structure: Structure) -> Drawing | None:
    return lay_out(structure) if 0 < structure.size <= CONDENSED else None
